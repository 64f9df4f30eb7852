/**
 * What decides with one rule broken at a time. Each mutant wraps the real thing: only the cells of the table that it
 * names differ.
 */
import * as ClientMachine from "../../src/protocol/ClientMachine.ts"
import * as Message from "../../src/protocol/Message.ts"
import { Response } from "../../src/protocol/Response.ts"
import * as ServerMachine from "../../src/protocol/ServerMachine.ts"
import { type Machines, machines } from "./State.ts"

export interface Mutant {
  /** What the mutant does. */
  readonly name: string
  readonly machines: Machines
}

type Take = typeof ServerMachine.take
type Server = {
  readonly state: ServerMachine.State
  readonly event: ServerMachine.Event
  readonly step: ServerMachine.Step
}
type Tag = ServerMachine.Event["_tag"]
type StateTag = ServerMachine.State["_tag"]
type Tags<A> = A | ReadonlyArray<A>

/** Whether a rule for these states is meant for this one; `any` is each that is open. */
const isIn = (states: Tags<string> | "any", tag: string): boolean =>
  states === "any" ? tag !== "Closed" : [states].flat().includes(tag)

/** The real `take`, with the steps of another machine for what begins to be written. */
export const takeWith =
  (step: typeof ServerMachine.step): Take =>
  (state, ...given) => {
    const [, messages] = ServerMachine.take(state, ...given)
    let next = state
    for (const { type } of messages) {
      if (type === Message.Type.Accept) next = step(next, { _tag: "AcceptBegun" })[0]
      if (Message.isTerminal(type)) next = step(next, { _tag: "TerminalBegun" })[0]
    }
    return [next, messages]
  }

/** A server's machine that answers some events in some states differently; `undefined` leaves them as they are. */
const server = (
  name: string,
  states: Tags<StateTag> | "any",
  events: Tags<Tag>,
  change: (given: Server) => ServerMachine.Step | undefined
): Mutant => {
  const step: typeof ServerMachine.step = (state, event) => {
    const step = ServerMachine.step(state, event)
    const meant = isIn(states, state._tag) && [events].flat().includes(event._tag)
    return (meant ? change({ state, event, step }) : undefined) ?? step
  }
  return { name: `server: ${name}`, machines: { ...machines, step, take: takeWith(step) } }
}

/** One that takes other messages in some states. */
const taking = (
  name: string,
  states: Tags<StateTag> | "any",
  change: (taken: ServerMachine.Taken, ...given: Parameters<Take>) => ServerMachine.Taken
): Mutant => ({
  name: `take: ${name}`,
  machines: {
    ...machines,
    take: (...given) => {
      const taken = ServerMachine.take(...given)
      return isIn(states, given[0]._tag) ? change(taken, ...given) : taken
    }
  }
})

const hasMore = (name: string, hasMore: Machines["hasMore"]): Mutant => ({
  name: `hasMore: ${name}`,
  machines: { ...machines, hasMore }
})

const response = (name: string, Mutated: typeof Response): Mutant => ({
  name: `response: ${name}`,
  machines: { ...machines, Response: Mutated }
})

const none: ServerMachine.Action = { _tag: "None" }
const write: ServerMachine.Action = { _tag: "Write" }
const startQuery: ServerMachine.Action = { _tag: "StartQuery" }
const stopQuery: ServerMachine.Action = { _tag: "StopQuery" }
const flush: ServerMachine.Action = { _tag: "Close", how: "flush" }
const abort: ServerMachine.Action = { _tag: "Close", how: "abort" }
const acknowledged: ServerMachine.LocalReply = { type: "CancelAcknowledged" }
const initialising: ServerMachine.State = { _tag: "Initialising", refusing: undefined }

const ignored = ({ state }: Server): ServerMachine.Step => [state, none]
const violation = (): ServerMachine.Step => [{ _tag: "Closed", reason: "protocol", detail: "mutant" }, abort]
const ready = (staleCancel: boolean): ServerMachine.State => ({
  _tag: "Ready",
  staleCancel,
  refusing: undefined
})
const refusing = (state: ServerMachine.State) => (state._tag === "Closed" ? undefined : state.refusing)
const isCancelling = (state: ServerMachine.State): boolean =>
  "reply" in state && state.reply.type === "CancelAcknowledged"
const stale = (state: ServerMachine.State): boolean => state._tag === "Ready" && state.staleCancel

/** Ends the response with another reply than the one given. */
const replying = ({ step: [state, action] }: Server, reply: ServerMachine.LocalReply): ServerMachine.Step => [
  { _tag: state._tag === "Stopping" ? "Stopping" : "Replying", reply, refusing: refusing(state) },
  action
]

/** Where a step leads to, with the stale cancel taken for another. */
const withStale = ({ step }: Server, staleCancel: boolean): ServerMachine.Step =>
  step[0]._tag === "Ready" ? [{ ...step[0], staleCancel }, step[1]] : step

/** Where a step leads to, without a goodbye. */
const wordless = ({ step: [state, action] }: Server): ServerMachine.Step | undefined =>
  state._tag === "Closed" && state.goAway !== undefined
    ? [{ ...state, goAway: undefined }, action]
    : undefined

/** Where a step leads to, with a goodbye behind the reply that has said so. */
const wordy = ({ step: [state, action] }: Server): ServerMachine.Step | undefined =>
  state._tag === "Closed" ? [{ ...state, goAway: "shutting_down" }, action] : undefined

/** Where a step leads to, without the word that the connection closes after the response. */
const goingOn = ({ step: [state, action] }: Server): ServerMachine.Step | undefined =>
  state._tag === "Closed" ? undefined : [{ ...state, refusing: undefined }, action]

const busy = ["Initialising", "Responding"] as const
const unfinished = ["Initialising", "Responding", "Ending"] as const
const awaiting = ["Stopping", "Replying"] as const
const responding = [...unfinished, ...awaiting, "Committing"] as const
const hasCrossed = (state: ServerMachine.State): boolean => state._tag === "Committing" && state.crossed

const serverMutants: ReadonlyArray<Mutant> = [
  server("does not ignore the stale cancel", "Ready", "Cancel", violation),
  server("ignores every stale cancel", "Ready", "Cancel", (given) =>
    stale(given.state) ? ignored(given) : undefined
  ),
  server("ignores a cancel on a fresh connection", "Ready", "Cancel", ignored),
  server("ignores a cancel after K", "Replying", "TerminalBegun", (given) => withStale(given, true)),
  server("forgets the stale cancel after a response", "Ending", "TerminalBegun", (given) =>
    withStale(given, false)
  ),
  server("forgets the stale cancel after a reply of its own", "Replying", "TerminalBegun", (given) =>
    withStale(given, false)
  ),
  server("takes the stale cancel for one of a query", "Ready", "Cancel", ({ state }) =>
    stale(state) ? [{ _tag: "Replying", reply: acknowledged, refusing: undefined }, write] : undefined
  ),
  server("stops a query for the stale cancel", "Ready", "Cancel", ({ state }) =>
    stale(state) ? [{ _tag: "Stopping", reply: acknowledged, refusing: undefined }, stopQuery] : undefined
  ),
  ...unfinished.flatMap((state) => [
    server(`ignores a request in ${state}`, state, "Request", ignored),
    server(`runs a request in ${state}`, state, "Request", () => [initialising, startQuery]),
    server(`ignores a request that is too long in ${state}`, state, "TooLarge", ignored),
    server(`rejects a request that is too long in ${state}`, state, "TooLarge", ({ state }) => [
      { _tag: "Replying", reply: { type: "Reject", code: "too_large" }, refusing: refusing(state) },
      { _tag: "Refuse" }
    ])
  ]),
  server("ignores a request while it stops a query", "Stopping", ["Request", "TooLarge"], ignored),
  server("ignores a request before its reply", "Replying", ["Request", "TooLarge"], ignored),
  ...awaiting.map((tag) =>
    server(`takes the next request before K in ${tag}`, tag, "Request", ({ state }) =>
      isCancelling(state) ? [initialising, startQuery] : undefined
    )
  ),
  server("refuses the request after a response", "Ready", "Request", ({ state }) =>
    stale(state) ? violation() : undefined
  ),
  server("cuts off a request that is too long", "Ready", "TooLarge", violation),
  server("passes over a request that is too long", "Ready", "TooLarge", ignored),
  server("runs a request that is too long", "Ready", "TooLarge", () => [initialising, startQuery]),
  server("says that it has too many of requests that are too long", "Ready", "TooLarge", (given) =>
    replying(given, { type: "Reject", code: "overloaded" })
  ),
  server("acknowledges a cancel instead of a request that is too long", "Ready", "TooLarge", (given) =>
    replying(given, acknowledged)
  ),
  server("keeps a connection beyond the limit for a request that is too long", "Ready", "TooLarge", goingOn),
  server("refuses a cancel before the accept", "Initialising", "Cancel", violation),
  ...unfinished.map((state) => server(`ignores a cancel in ${state}`, state, "Cancel", ignored)),
  server("cuts off a cancel when the query has ended", "Ending", "Cancel", violation),
  server("stops a query that has ended", "Ending", "Cancel", () => [
    { _tag: "Stopping", reply: acknowledged, refusing: undefined },
    stopQuery
  ]),
  server("answers a cancel with an error", "Responding", "Cancel", (given) =>
    replying(given, { type: "Error", code: "internal" })
  ),
  server("answers a cancel with an error when the query has ended", "Ending", "Cancel", (given) =>
    replying(given, { type: "Error", code: "internal" })
  ),
  server("answers a cancel before the accept with a reject", "Initialising", "Cancel", (given) =>
    replying(given, { type: "Reject", code: "overloaded" })
  ),
  server("acknowledges a cancel without stopping the query", busy, "Cancel", ({ state }) => [
    { _tag: "Replying", reply: acknowledged, refusing: refusing(state) },
    write
  ]),
  server("forgets to stop the query of a cancel", busy, "Cancel", (given) => [given.step[0], none]),
  server("is ready as soon as a cancel comes", busy, "Cancel", () => [ready(false), stopQuery]),
  ...awaiting.flatMap((tag) => [
    server(`lets its own reply stand against a cancel in ${tag}`, tag, "Cancel", (given) =>
      isCancelling(given.state) ? undefined : ignored(given)
    ),
    server(`refuses a cancel of a response that it ends in ${tag}`, tag, "Cancel", violation),
    server(`stops a query again for a cancel in ${tag}`, tag, "Cancel", (given) =>
      isCancelling(given.state) ? undefined : [given.step[0], stopQuery]
    ),
    server(`ignores a second cancel in ${tag}`, tag, "Cancel", (given) =>
      isCancelling(given.state) ? ignored(given) : undefined
    ),
    server(`does not hear of the stop in ${tag}`, tag, ["Drain", "DrainExpired"], ignored)
  ]),
  server("does not let a query commit", "Responding", "CommitBegun", ignored),
  server("lets a query commit that was stopped", "Stopping", "CommitBegun", () => [
    { _tag: "Committing", crossed: false, refusing: undefined },
    none
  ]),
  server("stops when a query commits", "Responding", "CommitBegun", ({ step }) => [step[0], stopQuery]),
  server("forgets that it stops when a query commits", "Responding", "CommitBegun", goingOn),
  server("has read a cancel before the commit", "Responding", "CommitBegun", ({ step }) =>
    step[0]._tag === "Committing" ? [{ ...step[0], crossed: true }, none] : undefined
  ),
  server("acknowledges a cancel of a commit", "Committing", "Cancel", ({ state }) => [
    { _tag: "Stopping", reply: acknowledged, refusing: refusing(state) },
    stopQuery
  ]),
  server("acknowledges a cancel of what was committed", "Committing", "Cancel", ({ state }) => [
    { _tag: "Replying", reply: acknowledged, refusing: refusing(state) },
    write
  ]),
  server("cuts off a cancel of a commit", "Committing", "Cancel", (given) =>
    hasCrossed(given.state) ? undefined : violation()
  ),
  server("ignores every cancel of a commit", "Committing", "Cancel", (given) =>
    hasCrossed(given.state) ? ignored(given) : undefined
  ),
  server("forgets the cancel of a commit", "Committing", "Cancel", (given) =>
    hasCrossed(given.state) ? undefined : ignored(given)
  ),
  server("ignores a cancel after one that crossed the commit", "Committing", "TerminalBegun", (given) =>
    hasCrossed(given.state) ? withStale(given, true) : undefined
  ),
  server("forgets the stale cancel after a commit", "Committing", "TerminalBegun", (given) =>
    hasCrossed(given.state) ? undefined : withStale(given, false)
  ),
  server("stops a commit that takes too long", "Committing", "QueryExpired", ({ state }) => [
    { _tag: "Stopping", reply: { type: "Error", code: "timeout" }, refusing: refusing(state) },
    stopQuery
  ]),
  server("takes what was committed back for a limit", "Committing", "QueryExpired", ({ state }) => [
    { _tag: "Replying", reply: { type: "Error", code: "timeout" }, refusing: refusing(state) },
    write
  ]),
  server("takes what was committed back when it stops", "Committing", "DrainExpired", () => [
    { _tag: "Replying", reply: { type: "Error", code: "shutting_down" }, refusing: "shutting_down" },
    write
  ]),
  server("does not hear of the stop while a query commits", "Committing", ["Drain", "DrainExpired"], ignored),
  server("forgets that it stops when a commit has ended", "Committing", "TerminalBegun", () => [
    ready(true),
    none
  ]),
  server("does not say that the end of a commit is to be written", "Committing", "QueryEnded", ignored),
  server("is ready as soon as a commit has ended", "Committing", "QueryEnded", () => [ready(true), none]),
  server("does not notice that the end of a commit begins", "Committing", "TerminalBegun", ignored),
  server("runs a request while a query commits", "Committing", "Request", () => [initialising, startQuery]),
  server("ignores a request while a query commits", "Committing", ["Request", "TooLarge"], ignored),
  server("does not reply when the query has ended", "Stopping", "QueryEnded", ignored),
  server("goes on without a reply when the query has ended", "Stopping", "QueryEnded", () => [
    ready(false),
    none
  ]),
  server("lets the rest of a query that was stopped out", "Stopping", "QueryEnded", ({ state }) => [
    { _tag: "Ending", accepted: true, refusing: refusing(state) },
    write
  ]),
  server("does not say that its reply is to be written", "Stopping", "QueryEnded", ({ step }) => [
    step[0],
    none
  ]),
  server("does not reply when the engine could not initialise", "Stopping", "InitFailed", ignored),
  server("keeps replying after its last word", "Replying", "TerminalBegun", ignored),
  server("does not notice that a query ends before the accept", "Initialising", "QueryEnded", ignored),
  server("does not notice that a query ends", "Responding", "QueryEnded", ignored),
  server("does not say that the end is to be written", busy, "QueryEnded", ({ step }) => [step[0], none]),
  server("is ready as soon as a query ends", busy, "QueryEnded", () => [ready(true), none]),
  server("forgets the accept when the query ends", "Responding", "QueryEnded", ({ step }) =>
    step[0]._tag === "Ending" ? [{ ...step[0], accepted: false }, step[1]] : undefined
  ),
  server(
    "takes every query that has ended for one that was accepted",
    "Initialising",
    "QueryEnded",
    ({ step }) => (step[0]._tag === "Ending" ? [{ ...step[0], accepted: true }, step[1]] : undefined)
  ),
  server("forgets that it stops when the query ends", busy, "QueryEnded", goingOn),
  server("does not notice that the accept begins", "Initialising", "AcceptBegun", ignored),
  server(
    "does not notice that the accept of a query that has ended begins",
    "Ending",
    "AcceptBegun",
    ignored
  ),
  server("does not notice that a terminal begins", "Ending", "TerminalBegun", ignored),
  server("closes after every response", "Ending", "TerminalBegun", () => [
    { _tag: "Closed", reason: "drain", detail: "mutant" },
    flush
  ]),
  server("says nothing when it has been idle for too long", "Ready", "IdleExpired", wordless),
  server("says nothing when told to stop while idle", "Ready", "Drain", wordless),
  server("says nothing when it is idle and drained", "Ready", "DrainExpired", wordless),
  server("says nothing behind its last response", "Ending", "TerminalBegun", wordless),
  server("says nothing behind its last K", "Replying", "TerminalBegun", wordless),
  server("says goodbye behind a reply that has said so", "Replying", "TerminalBegun", wordy),
  server("stays open when told to stop while idle", "Ready", "Drain", ignored),
  server("stays open when it is idle and drained", "Ready", "DrainExpired", ignored),
  server("drops an idle connection when told to stop", "Ready", "Drain", ({ step }) => [step[0], abort]),
  ...unfinished.flatMap((state) => [
    server(`does not hear of the stop in ${state}`, state, "Drain", ignored),
    server(`waits for ever in ${state} when told to stop`, state, "DrainExpired", ignored),
    server(`forgets that it stops when a cancel comes in ${state}`, state, "Cancel", goingOn),
    server(`forgets that it stops when its patience ends in ${state}`, state, "DrainExpired", goingOn),
    server(`forgets that it stops when the query takes too long in ${state}`, state, "QueryExpired", goingOn),
    server(`lets a query take for ever in ${state}`, state, "QueryExpired", ignored),
    server(
      `stops with the other kind of reply in ${state}`,
      state,
      ["QueryExpired", "DrainExpired"],
      (given) => {
        const [next] = given.step
        if (!("reply" in next) || next.reply.type === "CancelAcknowledged") return undefined
        return replying(given, { ...next.reply, type: next.reply.type === "Error" ? "Reject" : "Error" })
      }
    ),
    server(`gives a timeout as the reason when it stops in ${state}`, state, "DrainExpired", (given) => {
      const [next] = given.step
      if (!("reply" in next) || next.reply.type === "CancelAcknowledged") return undefined
      return replying(given, { ...next.reply, code: "timeout" })
    })
  ]),
  server("stops its queries as soon as it is told to stop", "Responding", "Drain", () => [
    { _tag: "Stopping", reply: { type: "Error", code: "shutting_down" }, refusing: "shutting_down" },
    stopQuery
  ]),
  server("forgets that it stops when the accept begins", "Initialising", "AcceptBegun", () => [
    { _tag: "Responding", refusing: undefined },
    none
  ]),
  server("forgets that it stops when the response ends", ["Ending", "Replying"], "TerminalBegun", () => [
    ready(true),
    none
  ]),
  server("rejects with a code that says something else", "Initialising", "QueryExpired", (given) =>
    replying(given, { type: "Reject", code: "overloaded" })
  ),
  server("stops a query again that takes too long", awaiting, "QueryExpired", ({ state }) => [
    state,
    stopQuery
  ]),
  ...responding.map((state) =>
    server(`closes for an idle limit in ${state}`, state, "IdleExpired", () => [
      { _tag: "Closed", reason: "read", detail: "mutant" },
      abort
    ])
  ),
  server("lets a connection be idle for ever", "Ready", "IdleExpired", ignored),
  ...(["Ready", ...responding] as const).flatMap((state) => [
    server(`waits for ever for a request that began in ${state}`, state, "RequestExpired", ignored),
    server(`ignores what a client may not send in ${state}`, state, "Unexpected", ignored),
    server(`ignores what is no message in ${state}`, state, "Malformed", ignored),
    server(`ignores a read that fails in ${state}`, state, "ReadFailed", ignored),
    server(`ignores a write that fails in ${state}`, state, "WriteFailed", ignored),
    server(`goes on when it is stopped in ${state}`, state, "Stopped", ignored),
    server(`goes on when it breaks in ${state}`, state, "RunFailed", ignored),
    server(`does not notice that its client is gone in ${state}`, state, "PeerClosed", ignored)
  ]),
  server("answers what is no message", busy, "Malformed", (given) => [
    { _tag: "Stopping", reply: { type: "Error", code: "internal" }, refusing: refusing(given.state) },
    stopQuery
  ]),
  server("lets the query run on after a violation", busy, ["Unexpected", "Malformed"], ({ step }) => [
    step[0],
    flush
  ]),
  server("lets the query run on for a client that is gone", busy, "PeerClosed", ({ step }) => [
    step[0],
    flush
  ]),
  server("ignores an engine that cannot initialise", "Initialising", "InitFailed", ignored),
  server("closes for a query's limit between requests", "Ready", "QueryExpired", violation),
  server(
    "is open again after its end",
    "Closed",
    ["Cancel", "Unexpected", "Malformed", "WriteFailed"],
    () => [ready(false), none]
  ),
  server("takes a request when it has closed", "Closed", ["Request", "TooLarge"], ({ event }) =>
    ServerMachine.step(ServerMachine.initial, event)
  ),
  server("goes on when the query ends after its end", "Closed", ["QueryEnded", "InitFailed"], () => [
    ready(false),
    none
  ]),
  server("runs the request of a connection beyond the limit", "Ready", "Request", () => [
    initialising,
    startQuery
  ]),
  server("stops a query for a request beyond the limit", "Ready", "Request", ({ step }) =>
    step[1]._tag === "Refuse" ? [step[0], stopQuery] : undefined
  ),
  server("keeps a connection beyond the limit", "Ready", "Request", ({ step }) =>
    step[0]._tag === "Replying" ? [{ ...step[0], refusing: undefined }, step[1]] : undefined
  )
]

const isAccept = ({ type }: Message.Message): boolean => type === Message.Type.Accept
const isChunk = ({ type }: Message.Message): boolean => type === Message.Type.Intermediate
const isTerminal = ({ type }: Message.Message): boolean => Message.isTerminal(type)

const takeMutants: ReadonlyArray<Mutant> = [
  ...(["Initialising", "Ending"] as const).flatMap((tag) => [
    taking(`forgets the accept in ${tag}`, tag, ([state, messages]) => [
      state,
      messages.filter((message) => !isAccept(message))
    ]),
    taking(`gives the accept twice in ${tag}`, tag, ([state, messages]) => [
      state,
      messages.flatMap((message) => (isAccept(message) ? [message, message] : [message]))
    ]),
    taking(`does not notice what it gives in ${tag}`, tag, ([, messages], state) => [state, messages])
  ]),
  ...(["Ending", "Replying", "Committing"] as const).map((tag) =>
    taking(`gives two terminals in ${tag}`, tag, ([state, messages]) => [
      state,
      messages.flatMap((message) => (isTerminal(message) ? [message, message] : [message]))
    ])
  ),
  taking("acknowledges the cancel of a response that ended", "Ending", ([state, messages]) => [
    state,
    messages.some(isTerminal) ? [...messages, Message.make(Message.Type.CancelAcknowledged)] : messages
  ]),
  taking("ends a response before its query has ended", "Responding", ([state, messages]) => [
    state,
    messages.length === 0 ? messages : [...messages, Message.make(Message.Type.Final)]
  ]),
  taking("writes chunks of a query that it stops", "Stopping", (_, state, response, written) => [
    state,
    response.take(written)
  ]),
  taking("replies before the query has ended", "Stopping", (_, state, ...given) =>
    state._tag === "Stopping" ? ServerMachine.take({ ...state, _tag: "Replying" }, ...given) : [state, []]
  ),
  taking("writes chunks before its reply", "Replying", ([state, messages], _, response, written) => [
    state,
    [...response.take(written).filter(isChunk), ...messages]
  ]),
  taking("writes the rest of a response instead of its reply", "Replying", (_, state, ...given) =>
    ServerMachine.take({ _tag: "Ending", accepted: true, refusing: refusing(state) }, ...given)
  ),
  taking("says nothing in reply", "Replying", (_, state) => [state, []]),
  taking("says nothing of a commit", "Committing", (_, state) => [state, []]),
  hasMore(
    "has nothing to write after a commit",
    (state, response) => state._tag !== "Committing" && ServerMachine.hasMore(state, response)
  ),
  taking("says nothing of a response", unfinished, (_, state) => [state, []]),
  taking("does not say that it closes", "Replying", (_, state, response, written, encode) =>
    ServerMachine.take(state, response, written, (code) => encode(code, false))
  ),
  taking("says that it closes, and does not", "Replying", (_, state, response, written, encode) =>
    ServerMachine.take(state, response, written, (code) => encode(code, true))
  ),
  taking("says what is wrong in other words", "Replying", (_, state, response, written) =>
    ServerMachine.take(state, response, written, () => new Uint8Array(0))
  ),
  hasMore("has always something to write", () => true),
  hasMore("has nothing to write behind its first write", () => false),
  hasMore("goes on with a query that it stops", (state, response) =>
    state._tag === "Stopping" ? response.hasMore : ServerMachine.hasMore(state, response)
  ),
  hasMore(
    "has no reply behind a write",
    (state, response) => state._tag !== "Replying" && ServerMachine.hasMore(state, response)
  )
]

const responseMutants: ReadonlyArray<Mutant> = [
  response(
    "forgets the accept",
    class extends Response {
      override accepted(): void {}
    }
  ),
  response(
    "loses a chunk",
    class extends Response {
      override offer(chunks: ReadonlyArray<Uint8Array>): void {
        if (!this.hasMore) super.offer(chunks)
      }
    }
  ),
  response(
    "lets chunks change places",
    class extends Response {
      override take(written: number): Array<Message.Message> {
        const messages = super.take(written)
        return [...messages.filter((message) => !isChunk(message)), ...messages.filter(isChunk).reverse()]
      }
    }
  ),
  response(
    "drops the last chunk for the end",
    class extends Response {
      override take(written: number): Array<Message.Message> {
        return super
          .take(written)
          .map((message) => (message.type === Message.Type.Final ? Message.make(message.type) : message))
      }
    }
  ),
  response(
    "takes a failure for the end of the result",
    class extends Response {
      override ended(end: Parameters<Response["ended"]>[0]): void {
        super.ended(end._tag === "Failed" ? { _tag: "Complete" } : end)
      }
    }
  ),
  response(
    "ends twice",
    class extends Response {
      override get done(): boolean {
        return false
      }
    }
  ),
  response(
    "is never full",
    class extends Response {
      override get isFull(): boolean {
        return false
      }
    }
  ),
  response(
    "is full for ever",
    class extends Response {
      override get isFull(): boolean {
        return this.isAccepted
      }
    }
  ),
  response(
    "keeps chunks that were sent",
    class extends Response {
      override sent(): ReadonlyArray<Uint8Array> {
        return []
      }
    }
  ),
  response(
    "keeps chunks that are not sent",
    class extends Response {
      override drop(): ReadonlyArray<Uint8Array> {
        super.drop()
        return []
      }
    }
  ),
  response(
    "has nothing to hand out but chunks",
    class extends Response {
      override get hasMore(): boolean {
        return super.hasMore && this.end === undefined
      }
    }
  )
]

type Client = {
  readonly state: ClientMachine.State
  readonly step: ClientMachine.Step
}
type ClientTag = Exclude<ClientMachine.Event["_tag"], "Received">
const letters = ["A", "J", "I", "F", "E", "K", "H", "R", "C"] as const
type Letter = (typeof letters)[number]

/** A client's machine that takes some messages or events in some states differently. */
const client = (
  name: string,
  states: Tags<ClientMachine.State["_tag"]> | "any",
  events: Tags<Letter | ClientTag>,
  change: (given: Client) => ClientMachine.Step | undefined
): Mutant => ({
  name: `client: ${name}`,
  machines: {
    ...machines,
    client: (state, event) => {
      const step = ClientMachine.step(state, event)
      const what = event._tag === "Received" ? (Message.letter(event.type) as Letter) : event._tag
      const meant = isIn(states, state._tag) && [events].flat().includes(what)
      return (meant ? change({ state, step }) : undefined) ?? step
    }
  }
})

const idle: ClientMachine.State = { _tag: "Idle" }
const requested: ClientMachine.State = { _tag: "Requested" }
const streaming: ClientMachine.State = { _tag: "Responding" }

const unmoved = ({ state }: Client): ClientMachine.Step => [state, "None"]
const cutOff = (): ClientMachine.Step => [
  { _tag: "Closed", why: { _tag: "Violation", detail: "mutant" } },
  "Close"
]
/** For what is a violation as it should be. */
const tolerated =
  (step: ClientMachine.Step) =>
  ({ step: [state] }: Client): ClientMachine.Step | undefined =>
    state._tag === "Closed" ? step : undefined
const acceptedCancel = (state: ClientMachine.State): boolean => state._tag === "Cancelling" && state.accepted

const clientMutants: ReadonlyArray<Mutant> = [
  client("sends a second request", ["Requested", "Responding", "Cancelling"], "Request", () => [
    requested,
    "SendRequest"
  ]),
  client("keeps a request to itself", "Idle", "Request", () => [requested, "None"]),
  client("cancels nothing", "Idle", "Cancel", () => [{ _tag: "Cancelling", accepted: false }, "SendCancel"]),
  client("cancels twice", "Cancelling", "Cancel", ({ state }) => [state, "SendCancel"]),
  client("does not cancel before the accept", "Requested", "Cancel", unmoved),
  client("does not cancel after the accept", "Responding", "Cancel", unmoved),
  client("keeps a cancel to itself", "Responding", "Cancel", ({ step }) => [step[0], "None"]),
  client("is idle as soon as it cancels", ["Requested", "Responding"], "Cancel", () => [idle, "SendCancel"]),
  client("passes the accept on after its cancel", "Cancelling", "A", ({ step }) => [step[0], "Accept"]),
  client("passes chunks on after its cancel", "Cancelling", "I", ({ step }) => [step[0], "Chunk"]),
  client("passes the end on after its cancel", "Cancelling", "F", ({ step }) => [step[0], "Finish"]),
  client("passes an error on after its cancel", "Cancelling", "E", ({ step }) => [step[0], "Fail"]),
  client("cuts off an accept that crossed its cancel", "Cancelling", "A", cutOff),
  client("cuts off a chunk that crossed its cancel", "Cancelling", "I", cutOff),
  client("cuts off a final chunk that crossed its cancel", "Cancelling", "F", cutOff),
  client("cuts off a reject that crossed its cancel", "Cancelling", "J", cutOff),
  client("cuts off an error that crossed its cancel", "Cancelling", "E", cutOff),
  client("waits for K after a final chunk", "Cancelling", "F", unmoved),
  client("waits for K after a reject", "Cancelling", "J", unmoved),
  client("waits for K after an error", "Cancelling", "E", unmoved),
  client("forgets its cancel when the accept comes", "Cancelling", "A", ({ state }) =>
    acceptedCancel(state) ? undefined : [streaming, "None"]
  ),
  client("does not notice an accept after its cancel", "Cancelling", "A", ({ state }) =>
    acceptedCancel(state) ? undefined : [state, "None"]
  ),
  client("takes no K before an accept", "Cancelling", "K", (given) =>
    acceptedCancel(given.state) ? undefined : cutOff()
  ),
  client("takes no K after an accept", "Cancelling", "K", (given) =>
    acceptedCancel(given.state) ? cutOff() : undefined
  ),
  client("keeps cancelling after K", "Cancelling", "K", ({ state }) => [state, "EndCancelled"]),
  client("does not notice the accept", "Requested", "A", ({ state }) => [state, "Accept"]),
  client("takes a chunk for the end", "Responding", "I", () => [idle, "Finish"]),
  client("loses chunks", "Responding", "I", unmoved),
  client("takes an error for a whole result", "Responding", "E", ({ step }) => [step[0], "Finish"]),
  client("does not end with the final chunk", "Responding", "F", ({ state }) => [state, "Finish"]),
  client("does not end with a reject", "Requested", "J", ({ state }) => [state, "Reject"]),
  client("cuts off a heartbeat between requests", "Idle", "H", cutOff),
  client("cuts off a heartbeat before the accept", "Requested", "H", cutOff),
  client("cuts off a heartbeat within a response", "Responding", "H", cutOff),
  client("cuts off a heartbeat after its cancel", "Cancelling", "H", cutOff),
  client("ignores messages between requests", "Idle", ["A", "J", "I", "F", "E", "K"], unmoved),
  client("ignores what only clients send", "any", ["R", "C"], unmoved),
  client("ignores what is no message", "any", "Malformed", unmoved),
  client("takes a chunk before the accept", "Requested", "I", tolerated([streaming, "Chunk"])),
  client("takes an end before the accept", "Requested", "F", tolerated([idle, "Finish"])),
  client("takes an error before the accept", "Requested", "E", tolerated([idle, "Fail"])),
  client("takes a second accept", "Responding", "A", tolerated([streaming, "Accept"])),
  client("takes a reject after the accept", "Responding", "J", tolerated([idle, "Reject"])),
  client("takes K without a cancel", ["Requested", "Responding"], "K", tolerated([idle, "EndCancelled"])),
  client("takes anything after its cancel", "Cancelling", ["A", "J", "I", "F", "E"], (given) =>
    tolerated([given.state, "None"])(given)
  ),
  client("keeps the connection to a server that is silent between requests", "Idle", "Silence", unmoved),
  client("takes silence after its cancel for a dead server", "Cancelling", "Silence", () => [
    { _tag: "Closed", why: { _tag: "Silent" } },
    "Close"
  ]),
  client("waits for ever for a silent server", ["Requested", "Responding"], "Silence", unmoved),
  client("waits for ever after its cancel", "Cancelling", "CancelExpired", unmoved),
  client("waits for ever to send its cancel", "Requested", "CancelExpired", unmoved),
  client("waits for ever to cancel a response", "Responding", "CancelExpired", unmoved),
  client("is open again after its end", "Closed", [...letters, "Malformed"], () => [idle, "None"]),
  client("goes on after its end", "Closed", ["Request", "Cancel", "Close"], ({ state }) => [state, "Close"]),
  client("closes for a cancel that has been answered", "Idle", "CancelExpired", () => [
    { _tag: "Closed", why: { _tag: "CancelIgnored" } },
    "Close"
  ]),
  client("stays after a goodbye", "Idle", "J", unmoved),
  client("takes a goodbye for a violation", "Idle", "J", cutOff),
  client("stays although the server has said that it closes", "Idle", "GoingAway", unmoved),
  client("does not notice that its server has closed", "any", "ServerClosed", unmoved),
  client("ignores a read that fails", "any", "ReadFailed", unmoved),
  client("ignores a write that fails", "any", "WriteFailed", unmoved),
  client("does not close", "any", "Close", unmoved),
  client("forgets that it has closed", "any", "Close", () => [idle, "Close"])
]

export const mutants: ReadonlyArray<Mutant> = [
  ...serverMutants,
  ...takeMutants,
  ...responseMutants,
  ...clientMutants
]
