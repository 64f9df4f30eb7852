/**
 * What may happen on the server's side: what `Connection`, `QueryDriver` and `FrameWriter` do around the machine,
 * and what the table of `src/protocol/PROTOCOL.md`, section 2, says about it.
 */
import type * as Control from "../../src/protocol/ServerMachine.ts"
import { begin, destroy, dispatch, interrupt, type Step, terminalBegun } from "./ServerActions.ts"
import { broken, check, type Draft, head, type Letter, length, type Query, type Steps } from "./State.ts"

/** What the table of the protocol says of a frame that arrives. */
type Verdict = "run" | "cancel" | "ignore" | "violation"

const verdict = (draft: Draft, letter: Letter): Verdict => {
  if (letter === "R") return draft.answering === 0 ? "run" : "violation"
  if (letter !== "C") return "violation"
  if (draft.answering !== 0) return draft.cancelRead ? "violation" : "cancel"
  return draft.stale ? "ignore" : "violation"
}

/** What may happen on the server's side. */
export const add = (steps: Steps): void => {
  const { state } = steps
  if (state.query !== undefined) addQuery(steps, state.query)
  if (state.stopDue) steps.add("progress", "server stops the query", (draft) => interrupt(draft))
  if (state.socket === "flushing" && state.write === undefined) {
    steps.add("progress", "server closes", (draft) => destroy(draft))
  }
  if (state.socket === "destroyed") return
  addWriter(steps)
  if (state.socket === "flushing") {
    addLastRead(steps)
    return
  }
  addReader(steps)
  addLimits(steps)
}

const addQuery = (steps: Steps, query: Query): void => {
  const step = steps.machines.server
  if (query.stopping) {
    steps.add("progress", "query has ended", (draft) => {
      draft.query = undefined
      if (draft.server._tag === "Stopping") dispatch(draft, step, { _tag: "QueryStopped" })
    })
    return
  }
  if (query.waiting) return
  const engine = (label: string, change: Partial<Query>) =>
    steps.add("engine", `engine ${label}`, (draft) => {
      draft.query = { ...query, ...change }
    })
  if (query.engine === "deciding") {
    engine("accepts", { engine: "streaming", accept: true, left: steps.bounds.chunks })
    engine("rejects", { engine: "rejected" })
    engine("cannot initialise", { engine: "broken" })
  }
  if (query.engine === "streaming") {
    if (query.left > 0) engine("offers a chunk", { chunks: query.chunks + 1, left: query.left - 1 })
    engine("is done", { engine: "complete", left: 0 })
    engine("fails", { engine: "failed", left: 0 })
  }
  if (query.engine === "broken") {
    steps.add("progress", "driver gives up", (draft) => {
      draft.query = undefined
      dispatch(draft, step, { _tag: "InitFailed", detail: "no database" })
    })
  } else {
    steps.add("choice", "driver breaks", (draft) => {
      draft.query = undefined
      dispatch(draft, step, { _tag: "RunFailed", detail: "a bug" })
    })
    addDriver(steps, query)
  }
}

const terminals = { complete: "F", failed: "E", rejected: "J" } as const

/** The driver writes what is in the buffer: all of it, or what fits in one write. */
const addDriver = (steps: Steps, query: Query): void => {
  const { engine } = query
  const ended = engine === "complete" || engine === "failed" || engine === "rejected"
  if (steps.state.write !== undefined || !(query.accept || query.chunks > 0 || ended)) return
  if (query.chunks > 1) {
    steps.add("progress", "driver writes one chunk", (draft) => {
      takeAccept(draft, query, steps.machines.server)
      begin(draft, "I")
      draft.query = { ...query, accept: false, chunks: query.chunks - 1 }
      draft.write = "chunks"
    })
  }
  steps.add("progress", "driver writes all there is", (draft) => {
    takeAccept(draft, query, steps.machines.server)
    // The last chunk at hand is the final one.
    const intermediate = engine === "complete" ? query.chunks - 1 : query.chunks
    for (let chunk = 0; chunk < intermediate; chunk++) begin(draft, "I")
    if (ended) {
      draft.query = undefined
      draft.write = "terminal"
      begin(draft, terminals[engine])
      terminalBegun(draft, steps.machines.server)
    } else {
      draft.query = { ...query, accept: false, chunks: 0 }
      draft.write = "chunks"
    }
  })
}

const takeAccept = (draft: Draft, query: Query, step: Step): void => {
  if (!query.accept) return
  begin(draft, "A")
  dispatch(draft, step, { _tag: "AcceptBegun" })
}

const addWriter = (steps: Steps): void => {
  const { bounds, machines, state } = steps
  const { answerWaits, clientEnded, heartbeats, toClient, write } = state
  if (write === undefined) {
    if (answerWaits) steps.add("progress", "answer is written", (draft) => answer(draft, machines.server))
    if (heartbeats > 0) {
      steps.add("choice", "heartbeat is written", (draft) => {
        draft.heartbeats--
        draft.write = "heartbeat"
        begin(draft, "H")
      })
    }
    return
  }
  const room = clientEnded || length(toClient) <= bounds.toClient
  if (room) steps.add("progress", "socket took the write", (draft) => written(draft))
  if (clientEnded || !room) steps.add("choice", "write fails", (draft) => writeFails(draft, machines.server))
}

const letters = { CancelAcknowledged: "K", Reject: "J", Error: "E" } as const

const answer = (draft: Draft, step: Step): void => {
  draft.answerWaits = false
  if (draft.server._tag !== "Stopping") {
    broken(draft, "An answer has its turn, and there is nothing to say")
    return
  }
  check(draft, draft.query === undefined, "It answers before the query has ended")
  const { answer: given } = draft.server
  if (given.type !== "CancelAcknowledged") {
    check(draft, given.code === expectedCode(draft), `${given.type} says ${given.code}`)
  }
  draft.write = "answer"
  begin(draft, letters[given.type])
  terminalBegun(draft, step)
}

const expectedCode = (draft: Draft): Control.ServerCode => {
  if (draft.beyondLimit) return "overloaded"
  if (draft.stopped === "drain") return "shutting_down"
  // Nothing was run before the accept: a reject says that trying again is safe.
  return draft.acceptSent ? "timeout" : "overloaded"
}

const written = (draft: Draft): void => {
  if (draft.write === "terminal" || draft.write === "answer") nextTurn(draft)
  draft.write = undefined
}

const nextTurn = (draft: Draft): void => {
  if (draft.query !== undefined) draft.query = { ...draft.query, waiting: false }
}

/** The peer is gone, or took nothing for too long: the one who writes hears of it, or else the one who reads. */
const writeFails = (draft: Draft, step: Step): void => {
  const { query, write } = draft
  written(draft)
  if (write === "chunks") {
    if (query === undefined || query.stopping) {
      dispatch(draft, step, { _tag: "ReadFailed", detail: "the socket broke" })
      return
    }
    draft.query = undefined
  }
  dispatch(draft, step, { _tag: "WriteFailed", detail: "the socket broke" })
  check(draft, draft.server._tag === "Closed", "It goes on after WriteFailed")
}

const addReader = (steps: Steps): void => {
  const { machines, state } = steps
  const dispatched = (kind: "choice" | "progress", label: string, event: Control.Event) =>
    steps.add(kind, label, (draft) => {
      dispatch(draft, machines.server, event)
      check(draft, draft.server._tag === "Closed", `It goes on after ${event._tag}`)
    })
  dispatched("choice", "server's read fails", { _tag: "ReadFailed", detail: "reset" })
  if (state.toServer !== "") {
    steps.add("progress", `server reads ${state.toServer.slice(0, 2)}`, (draft) =>
      read(draft, machines.server)
    )
  } else if (state.clientEnded) {
    dispatched("progress", "server reads the end", { _tag: "PeerClosed" })
  }
}

/** Frames of the read in which the connection was closed are still given to the machine. */
const addLastRead = (steps: Steps): void => {
  if (steps.state.toServer === "") return
  steps.add("choice", "server reads on", (draft) => {
    const [letter] = head(draft.toServer)
    draft.toServer = draft.toServer.slice(2)
    const action = dispatch(draft, steps.machines.server, frameEvent(letter))
    check(draft, draft.server._tag === "Closed" && action._tag === "None", "Closed is not the end")
  })
}

const frameEvent = (letter: Letter): Control.Event => {
  switch (letter) {
    case "R":
      return { _tag: "Request" }
    case "C":
      return { _tag: "Cancel" }
    case "X":
      return { _tag: "Malformed", detail: "no frame" }
    default:
      return { _tag: "Unexpected", detail: `${letter} from a client` }
  }
}

const read = (draft: Draft, step: Step): void => {
  const [letter, request] = head(draft.toServer)
  draft.toServer = draft.toServer.slice(2)
  const expected = verdict(draft, letter)
  const before = draft.server
  if (letter === "C" && draft.answering !== 0) {
    check(draft, draft.answering === request, "A cancel meets another request than it was sent for")
  }
  switch (expected) {
    case "run":
      draft.answering = request
      draft.stale = false
      break
    case "cancel":
      draft.cancelRead = true
      break
    case "ignore":
      draft.stale = false
      break
    case "violation":
      draft.violated = true
  }
  const action = dispatch(draft, step, frameEvent(letter))
  const { server } = draft
  if (expected === "violation") {
    const cutOff = server._tag === "Closed" && server.reason === "protocol" && draft.socket === "destroyed"
    check(draft, cutOff, `A violation is not one: ${letter} in ${before._tag}`)
    return
  }
  check(draft, server._tag !== "Closed", `${letter} is cut off in ${before._tag}`)
  if (expected === "ignore") check(draft, action._tag === "None", "A stale cancel is not ignored")
}

const isStopped = (draft: Draft): boolean => draft.query?.stopping === true || draft.stopDue

const addLimits = (steps: Steps): void => {
  const { machines, state } = steps
  const { answering, drained, expiries, query, server } = state
  const told = (
    label: string,
    event: Control.Event,
    afterwards: (draft: Draft, unchanged: boolean) => void
  ) =>
    steps.add("choice", label, (draft) => {
      const action = dispatch(draft, machines.server, event)
      afterwards(draft, action._tag === "None" && draft.server._tag === server._tag)
    })
  const idle = answering === 0
  told("request comes too slowly", { _tag: "RequestExpired" }, (draft) =>
    check(draft, draft.socket === "destroyed", "It waits on for a slow request")
  )
  told("no request came", { _tag: "IdleExpired" }, (draft, unchanged) =>
    check(draft, idle ? draft.socket === "flushing" : unchanged, "The idle limit is for idle connections")
  )
  if (expiries > 0) {
    told("query takes too long", { _tag: "QueryExpired" }, (draft, unchanged) => {
      draft.expiries--
      const stops = query !== undefined && !query.stopping
      check(draft, stops ? isStopped(draft) : unchanged, "The query's limit stops a query")
      if (stops) draft.stopped = "timeout"
    })
  }
  if (drained === 0) {
    told("server drains", { _tag: "Drain" }, (draft, unchanged) => {
      draft.drained = 1
      check(draft, idle ? draft.socket === "flushing" : unchanged, "Draining closes what is idle, no more")
    })
  }
  if (drained < 2) {
    // Also without a word before it, for a connection that was not there to be told.
    told("drain takes too long", { _tag: "DrainExpired" }, (draft) => {
      draft.drained = 2
      if (idle) check(draft, draft.socket === "flushing", "An idle connection stays open after drainTimeout")
      if (query === undefined || query.stopping) return
      check(draft, isStopped(draft), "A query goes on after drainTimeout")
      draft.stopped = "drain"
    })
  }
}
