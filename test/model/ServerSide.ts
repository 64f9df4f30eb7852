/**
 * The server's machine and what `Connection`, `QueryDriver` and `FrameWriter` do around it, with the rules that
 * an onlooker holds it to. The rules are those of `src/PROTOCOL.md`, section 2.
 */
import type * as Control from "../../src/connection/Control.ts"
import { broken, check, type Draft, head, type Letter, length, type Query, type Steps } from "./State.ts"

type Step = typeof Control.step

/** What the table of the protocol says of a frame that arrives. */
type Verdict = "run" | "cancel" | "ignore" | "violation"

const verdict = (draft: Draft, letter: Letter): Verdict => {
  if (letter === "R") return draft.answering === 0 ? "run" : "violation"
  if (letter !== "C") return "violation"
  if (draft.answering !== 0) return draft.cancelRead ? "violation" : "cancel"
  return draft.stale ? "ignore" : "violation"
}

/** Steps the machine, and performs its action in the same moment. */
const dispatch = (draft: Draft, step: Step, event: Control.Event): Control.Action => {
  const [state, action] = step(draft.server, event)
  draft.server = state
  switch (action._tag) {
    case "None":
      break
    case "StartQuery":
      startQuery(draft)
      break
    case "StopQuery":
      if (draft.query === undefined || draft.query.stopping)
        broken(draft, "It stops a query that does not run")
      else draft.query = { ...draft.query, stopping: true }
      break
    case "Respond":
      check(draft, draft.query === undefined, "It answers before the query has ended")
      check(draft, !draft.answerWaits, "It answers twice")
      draft.answerWaits = true
      break
    case "Close":
      close(draft, action.how)
  }
  check(draft, (state._tag === "Closed") === (draft.socket !== "open"), "Closed and the socket disagree")
  return action
}

const startQuery = (draft: Draft): void => {
  check(draft, draft.query === undefined, "It runs two queries")
  check(draft, draft.drained === 0, "It runs a query after it was told to stop")
  check(draft, !draft.beyondLimit, "It runs a query on a connection beyond the limit")
  draft.query = {
    waiting: draft.write === "terminal" || draft.write === "answer",
    engine: "deciding",
    accept: false,
    chunks: 0,
    left: 0,
    stopping: false
  }
}

const close = (draft: Draft, how: "flush" | "abort"): void => {
  check(draft, draft.server._tag === "Closed", "It closes and goes on")
  if (how === "abort") {
    destroy(draft)
    return
  }
  check(draft, draft.query === undefined && !draft.answerWaits, "It leaves a query running")
  draft.socket = "flushing"
}

/** The socket goes, and with it the scope that owns the query. */
const destroy = (draft: Draft): void => {
  // What the kernel has for the peer is lost with a reset: after unread data, or if it was not all taken.
  draft.lossy = draft.socket !== "flushing" || draft.toServer !== ""
  draft.socket = "destroyed"
  draft.toServer = ""
  draft.write = undefined
  draft.answerWaits = false
  if (draft.query !== undefined) draft.query = abandoned
  // Nobody asks for the rest any more: what differs in it only is the same from here on.
  draft.heartbeats = 0
  draft.expiries = 0
  draft.answering = 0
  draft.acceptSent = false
  draft.cancelRead = false
  draft.stale = false
  draft.stopped = ""
  draft.drained = 0
}

const abandoned: Query = {
  waiting: false,
  engine: "deciding",
  accept: false,
  chunks: 0,
  left: 0,
  stopping: true
}

/** A frame begins to be written. */
const begin = (draft: Draft, letter: Letter): void => {
  if (!draft.clientEnded) draft.toClient += `${letter}${letter === "H" ? 0 : draft.answering}`
  if (letter === "H") return
  check(draft, draft.answering !== 0, `${letter} without a request to answer`)
  check(draft, !draft.violated, `${letter} in answer to a violation`)
  if (letter === "A") {
    check(draft, !draft.acceptSent, "A twice")
    draft.acceptSent = true
    return
  }
  const afterAccept = letter === "I" || letter === "F" || letter === "E"
  if (afterAccept) check(draft, draft.acceptSent, `${letter} before A`)
  if (letter === "J") check(draft, !draft.acceptSent, "J after A")
  if (letter === "I") return
  check(draft, draft.cancelRead === (letter === "K"), draft.cancelRead ? `${letter} after C` : "K without C")
  draft.answering = 0
  draft.acceptSent = false
  draft.cancelRead = false
  draft.stale = letter !== "K"
  draft.stopped = ""
}

/** What happens in the turn in which the message that ends the response is handed to the socket. */
const terminalBegun = (draft: Draft, step: Step): void => {
  dispatch(draft, step, { _tag: "TerminalBegun" })
  const last = draft.drained > 0 || draft.beyondLimit
  if (last) check(draft, draft.socket === "flushing", "It goes on after its last response")
  else check(draft, draft.socket === "open", "It closes after a response")
}

/** What may happen on the server's side. */
export const add = (steps: Steps): void => {
  const { state } = steps
  if (state.query !== undefined) addQuery(steps, state.query)
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
      check(draft, stops ? draft.query?.stopping === true : unchanged, "The query's limit stops a query")
      if (stops) draft.stopped = "timeout"
    })
  }
  if (drained === 0) {
    told("server drains", { _tag: "Drain" }, (draft, unchanged) => {
      draft.drained = 1
      check(draft, idle ? draft.socket === "flushing" : unchanged, "Draining closes what is idle, no more")
    })
  }
  if (drained === 1) {
    told("drain takes too long", { _tag: "DrainExpired" }, (draft) => {
      draft.drained = 2
      if (query === undefined || query.stopping) return
      check(draft, draft.query?.stopping === true, "A query goes on after drainTimeout")
      draft.stopped = "drain"
    })
  }
}
