/**
 * What may happen around the server's machine: what `Control`, `PendingResponse`, `QueryRunner` and the writer do with
 * its steps and messages.
 */
import * as Message from "../../src/protocol/Message.ts"
import type { End, Response } from "../../src/protocol/Response.ts"
import type * as ServerMachine from "../../src/protocol/ServerMachine.ts"
import * as Rules from "./Rules.ts"
import type { Machines } from "./State.ts"
import {
  check,
  copy,
  type Draft,
  head,
  type Letter,
  length,
  nobodyAsked,
  type Query,
  type Steps
} from "./State.ts"

/** What may happen on the server's side. */
export const add = (steps: Steps): void => {
  const { state } = steps
  if (state.query !== undefined) addQuery(steps, state.query)
  if (state.socket === "destroyed") return
  if (state.socket === "lingering") {
    addLingering(steps)
    return
  }
  if (state.socket === "flushing" && state.response === undefined && state.write === undefined) addEnd(steps)
  addWriter(steps)
  if (state.socket === "flushing") {
    addLastRead(steps)
    return
  }
  addReader(steps)
  addLimits(steps)
}

/** Nothing is left to be written but the goodbye. */
const addEnd = (steps: Steps): void => {
  if (steps.state.goodbye === "due") {
    steps.add("progress", "server says goodbye", (draft) => {
      draft.goodbye = "said"
      if (!draft.clientEnded) draft.toClient += "j0"
    })
  } else {
    steps.add("progress", "server sends its end", (draft) => {
      draft.socket = "lingering"
      draft.heartbeats = 0
      draft.expiries = 0
    })
  }
}

/** What comes is thrown away until the client closes too, or has had its time. */
const addLingering = (steps: Steps): void => {
  const { state } = steps
  if (state.toServer !== "") addLastRead(steps)
  else if (state.clientEnded) steps.add("progress", "server closes", (draft) => destroy(draft))
  if (!state.clientEnded) steps.add("choice", "server lingers no longer", (draft) => destroy(draft))
}

/** Steps the machine, and performs its action in the same moment. */
const dispatch = (draft: Draft, { step }: Machines, event: ServerMachine.Event): ServerMachine.Action => {
  const [state, action] = step(draft.server, event)
  draft.server = state
  perform(draft, action)
  return action
}

const perform = (draft: Draft, action: ServerMachine.Action): void => {
  switch (action._tag) {
    case "StopQuery":
      check(draft, draft.query?.stopping === false, "It stops a query that does not run")
      check(draft, !draft.committing, "It stops a query that commits")
      if (draft.query !== undefined) draft.query = { ...draft.query, stopping: true }
      break
    case "Write":
      check(draft, draft.response !== undefined, "It writes a response to nothing")
      draft.submitted = draft.response !== undefined
      break
    case "Close":
      close(draft, action.how)
  }
  check(
    draft,
    (draft.server._tag === "Closed") === (draft.socket !== "open"),
    "Closed and the socket disagree"
  )
}

const close = (draft: Draft, how: "flush" | "abort"): void => {
  check(draft, draft.server._tag === "Closed", "It closes and goes on")
  if (how === "abort") {
    destroy(draft)
    return
  }
  check(draft, draft.query === undefined, "It leaves a query running")
  draft.socket = "flushing"
  if (draft.server._tag === "Closed" && draft.server.goAway !== undefined) {
    check(draft, draft.goodbye === "", "It says goodbye twice")
    draft.goodbye = "due"
  }
}

/** The socket goes, and with it the scope that owns the query. */
const destroy = (draft: Draft): void => {
  // What the kernel has for the peer is lost with a reset: after unread data, or if it was not all taken.
  draft.lossy = draft.socket !== "lingering" || draft.toServer !== ""
  draft.socket = "destroyed"
  draft.toServer = ""
  draft.write = undefined
  if (draft.query !== undefined) draft.query = abandoned
  // Nobody asks for the rest any more: what differs in it only is the same from here on.
  draft.response = undefined
  draft.submitted = false
  draft.heartbeats = 0
  draft.expiries = 0
  Object.assign(draft, nobodyAsked)
}

const abandoned: Query = { engine: "deciding", left: 0, stopping: true }

/** Changes the response under way, which every query has. */
const respond = (draft: Draft, change: (response: Response) => void): void => {
  if (draft.response === undefined) {
    check(draft, draft.socket === "destroyed", "The response is over, and its query goes on")
    return
  }
  const response = copy(draft.response)
  draft.response = response
  change(response)
}

const addQuery = (steps: Steps, query: Query): void => {
  const { bounds, machines, state } = steps
  if (query.stopping) {
    steps.add("progress", "query is interrupted", (draft) => queryEnded(draft, machines))
  }
  if (state.response === undefined) return
  // An engine that cannot be interrupted goes on for a while.
  const engine = (
    label: string,
    change: Partial<Query>,
    offer?: (response: Response, draft: Draft) => void
  ) =>
    steps.add("engine", `engine ${label}`, (draft) => {
      draft.query = { ...query, ...change }
      if (offer === undefined) return
      respond(draft, (response) => offer(response, draft))
      draft.submitted = true
    })
  if (query.engine === "deciding") {
    engine("accepts", { engine: "streaming", left: bounds.chunks }, (response) => response.accepted(nothing))
    engine("rejects", { engine: "rejected" })
    engine("cannot initialise", { engine: "broken" })
    engine("dies", { engine: "dead" })
  } else if (query.engine === "streaming") {
    // It is asked for more when there is room.
    if (state.response.isFull) return
    if (query.left > 0) engine("offers a chunk", { left: query.left - 1 }, offer)
    engine("is done", { engine: "complete", left: 0 })
    if (bounds.commits) engine("is done and would commit", { engine: "handing over", left: 0 })
    engine("fails", { engine: "failed", left: 0 })
    engine("dies", { engine: "dead", left: 0 })
  } else if (query.engine === "handing over") {
    if (state.write === "part" || state.response.hasMore) return
    // A fiber that has been interrupted may be about to ask.
    if (query.stopping) steps.add("choice", "query would commit", (draft) => refuseCommit(draft, steps))
    else steps.add("progress", "query begins to commit", (draft) => commit(draft, steps, query))
  } else if (query.engine === "committing") {
    engine("commits", { engine: "complete" })
    engine("does not commit", { engine: "failed" })
    engine("breaks while it commits", { engine: "unknown" })
  } else {
    steps.add("progress", "query's finalizers have run", (draft) => queryEnded(draft, machines, query.engine))
  }
  function offer(response: Response, draft: Draft): void {
    check(draft, ahead(draft) < bounds.prefetchSize, "The engine is asked for more than prefetchSize")
    const first = Rules.bytesOf(draft.offered++)
    draft.lent++
    response.offer([Uint8Array.from({ length: draft.offered + 1 }, (_, at) => first + at)])
  }
}

const commit = (draft: Draft, { machines }: Steps, query: Query): void => {
  const action = dispatch(draft, machines, { _tag: "CommitBegun" })
  check(draft, draft.server._tag === "Committing" && action._tag === "None", "It may not commit")
  Rules.commits(draft)
  draft.query = { ...query, engine: "committing" }
}

const refuseCommit = (draft: Draft, { machines }: Steps): void => {
  dispatch(draft, machines, { _tag: "CommitBegun" })
  check(draft, draft.server._tag !== "Committing", "It commits although it was stopped")
}

const nothing = new Uint8Array(0)

/** How many bytes are held for the socket, headers included. */
const ahead = ({ offered, passed }: Draft): number => {
  let whole = 0
  while (Rules.bytesOf(whole + 1) <= passed) whole++
  return Message.headerSize * (offered - whole) + Rules.bytesOf(offered) - passed
}

const isRunning = ({ server }: Draft): boolean =>
  server._tag === "Initialising" || server._tag === "Responding"

/** The query's finalizers have run; `how` says what the engine said last, unless the query was interrupted. */
const queryEnded = (draft: Draft, machines: Machines, how?: Query["engine"]): void => {
  draft.query = undefined
  if (how === "broken") {
    dispatch(draft, machines, { _tag: "InitFailed", detail: "no database" })
    return
  }
  if (how !== undefined || isRunning(draft)) {
    respond(draft, (response) => response.ended(endOf(response, how)))
    if (draft.answering !== 0) draft.ended = how ?? "dead"
  }
  dispatch(draft, machines, { _tag: "QueryEnded" })
}

const endOf = (response: Response, how: Query["engine"] | undefined): End => {
  switch (how) {
    case "complete":
      return { _tag: "Complete" }
    case "failed":
      return { _tag: "Failed", payload: Rules.bodies.failed }
    case "unknown":
      return { _tag: "Failed", payload: Rules.encode("unknown_outcome") }
    case "rejected":
      return { _tag: "Rejected", payload: Rules.bodies.rejected }
    default:
      return { _tag: response.isAccepted ? "Failed" : "Rejected", payload: Rules.encode("internal") }
  }
}

const heartbeat = Message.make(Message.Type.Heartbeat)

const addWriter = (steps: Steps): void => {
  const { bounds, machines, state } = steps
  const { clientEnded, heartbeats, submitted, toClient, write } = state
  if (write === undefined) {
    if (submitted) steps.add("progress", "server writes", (draft) => take(draft, machines))
    if (heartbeats > 0) {
      steps.add("choice", "heartbeat is written", (draft) => {
        draft.heartbeats--
        draft.write = "heartbeat"
        Rules.begin(draft, heartbeat)
      })
    }
    return
  }
  const room = clientEnded || length(toClient) <= bounds.toClient
  if (room) steps.add("progress", "socket took the write", (draft) => written(draft, machines))
  if (clientEnded || !room) {
    steps.add("choice", "write fails", (draft) => {
      if (write !== "heartbeat") draft.response = undefined
      draft.submitted = false
      draft.write = undefined
      dispatch(draft, machines, { _tag: "WriteFailed", detail: "the socket broke" })
      check(draft, draft.server._tag === "Closed", "It goes on after WriteFailed")
    })
  }
}

/** The response has its turn. */
const take = (draft: Draft, machines: Machines): void => {
  draft.submitted = false
  respond(draft, (response) => {
    const before = draft.server
    const hasMore = machines.hasMore(before, response)
    const [state, messages] = machines.take(before, response, 0, Rules.encode)
    check(
      draft,
      hasMore === messages.length > 0,
      `It ${hasMore ? "has" : "wants"} something to write in vain`
    )
    if (messages.length === 0) return
    check(draft, before._tag !== "Closed", "It writes although it has closed")
    for (const message of messages) Rules.begin(draft, message)
    draft.server = state
    draft.write = draft.answering === 0 ? "last" : "part"
    if (draft.write === "last") lastBegun(draft)
    else
      check(
        draft,
        state._tag !== "Closed" && state._tag !== "Ready",
        "It goes on before the response has ended"
      )
  })
}

/** The message that ends the response is handed to the socket. */
const lastBegun = (draft: Draft): void => {
  const isLast = draft.drained > 0 || draft.beyondLimit
  if (draft.server._tag === "Closed") close(draft, "flush")
  else check(draft, draft.server._tag === "Ready", "It takes no request after a response")
  if (isLast) check(draft, draft.socket === "flushing", "It goes on after its last response")
  else check(draft, draft.socket === "open", "It closes after a response")
  check(
    draft,
    isLast === (draft.goodbye !== ""),
    "It says that it closes, and does not, or the other way round"
  )
}

const written = (draft: Draft, machines: Machines): void => {
  const { write } = draft
  draft.write = undefined
  if (write === "heartbeat" || draft.response === undefined) return
  respond(draft, (response) => {
    draft.lent -= response.sent().length
    if (write === "last") draft.lent -= response.drop().length
    else if (machines.hasMore(draft.server, response)) draft.submitted = true
  })
  if (write !== "last") return
  check(draft, draft.lent === 0, "Chunks are not given back")
  draft.response = undefined
  draft.submitted = false
}

const addReader = (steps: Steps): void => {
  const { machines, state } = steps
  const dispatched = (kind: "choice" | "progress", label: string, event: ServerMachine.Event) =>
    steps.add(kind, label, (draft) => {
      dispatch(draft, machines, event)
      check(draft, draft.server._tag === "Closed", `It goes on after ${event._tag}`)
    })
  dispatched("choice", "server's read fails", { _tag: "ReadFailed", detail: "reset" })
  dispatched("choice", "server is stopped", { _tag: "Stopped" })
  if (state.response !== undefined) {
    dispatched("choice", "server breaks", { _tag: "RunFailed", detail: "a bug" })
  }
  if (state.toServer !== "") {
    const isRequest = "RL".includes(state.toServer.charAt(0))
    // The response before it has not been written to its end.
    if (isRequest && state.server._tag === "Ready" && state.response !== undefined) return
    steps.add("progress", `server reads ${state.toServer.slice(0, 2)}`, (draft) => read(draft, steps))
  } else if (state.clientEnded) {
    dispatched("progress", "server reads the end", { _tag: "PeerClosed" })
  }
}

/** Messages of the read in which the connection was closed are still given to the machine. */
const addLastRead = (steps: Steps): void => {
  if (steps.state.toServer === "") return
  steps.add(steps.state.socket === "lingering" ? "progress" : "choice", "server reads on", (draft) => {
    const [letter] = head(draft.toServer)
    draft.toServer = draft.toServer.slice(2)
    const action = dispatch(draft, steps.machines, eventOf(letter))
    check(draft, draft.server._tag === "Closed" && action._tag === "None", "Closed is not the end")
  })
}

const eventOf = (letter: Letter): ServerMachine.Event => {
  switch (letter) {
    case "R":
      return { _tag: "Request" }
    case "L":
      return { _tag: "TooLarge" }
    case "C":
      return { _tag: "Cancel" }
    case "X":
      return { _tag: "Malformed", detail: "no message" }
    default:
      return { _tag: "Unexpected", detail: `${letter} from a client` }
  }
}

const read = (draft: Draft, steps: Steps): void => {
  const [letter, request] = head(draft.toServer)
  draft.toServer = draft.toServer.slice(2)
  const before = draft.server
  const expected = Rules.arrived(draft, letter, request)
  const action = dispatch(draft, steps.machines, eventOf(letter))
  const { server } = draft
  if (expected === "violation") {
    const cutOff = server._tag === "Closed" && server.reason === "protocol" && draft.socket === "destroyed"
    check(draft, cutOff, `A violation is not one: ${letter} in ${before._tag}`)
    return
  }
  check(draft, server._tag !== "Closed", `${letter} is cut off in ${before._tag}`)
  if (expected === "ignore") check(draft, action._tag === "None", "A stale cancel is not ignored")
  if (expected === "answer") begun(draft, steps, action)
}

/** A request has its response. */
const begun = (draft: Draft, { bounds, machines }: Steps, action: ServerMachine.Action): void => {
  const expected = Rules.isRefused(draft) ? "Refuse" : "StartQuery"
  check(
    draft,
    action._tag === expected,
    `A request that asks for ${expected} is answered with ${action._tag}`
  )
  draft.response = new machines.Response({ ...bounds, chunkSize: 1 })
  draft.submitted = action._tag === "Refuse"
  if (action._tag !== "StartQuery") return
  check(draft, draft.query === undefined, "It runs two queries")
  check(draft, draft.drained === 0, "It runs a query after it was told to stop")
  draft.query = { engine: "deciding", left: 0, stopping: false }
}

/** Whether a reply of the server's own is to end the response. */
const isStopped = ({ server }: Draft): boolean => server._tag === "Stopping" || server._tag === "Replying"

const addLimits = (steps: Steps): void => {
  const { machines, state } = steps
  const { answering, drained, expiries, server } = state
  const told = (
    label: string,
    event: ServerMachine.Event,
    afterwards: (draft: Draft, unchanged: boolean) => void
  ) =>
    steps.add("choice", label, (draft) => {
      const action = dispatch(draft, machines, event)
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
      const stops = Rules.mayBeStopped(draft)
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
      if (!Rules.mayBeStopped(draft)) return
      check(draft, isStopped(draft), "A query goes on after drainTimeout")
      draft.stopped = "drain"
    })
  }
}
