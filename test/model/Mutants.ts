/**
 * The machines with one rule broken at a time. Each wraps the real `step`: only the cells of the table that it
 * names differ.
 */
import * as ClientControl from "../../src/protocol/ClientMachine.ts"
import * as Control from "../../src/protocol/ServerMachine.ts"
import * as Message from "../../src/protocol/Message.ts"
import { type Machines, machines } from "./State.ts"

export interface Mutant {
  /** What the mutant does. */
  readonly name: string
  readonly machines: Machines
}

type Server = { readonly state: Control.State; readonly event: Control.Event; readonly step: Control.Step }
type Tag = Control.Event["_tag"]
type Tags<A> = A | ReadonlyArray<A>

/** Whether a rule for these states is meant for this one; `any` is each that is open. */
const isIn = (states: Tags<string> | "any", tag: string): boolean =>
  states === "any" ? tag !== "Closed" : [states].flat().includes(tag)

/** A server's machine that answers some events in some states differently; `undefined` leaves them as they are. */
const server = (
  name: string,
  states: Tags<Control.State["_tag"]> | "any",
  events: Tags<Tag>,
  change: (given: Server) => Control.Step | undefined
): Mutant => ({
  name: `server: ${name}`,
  machines: {
    ...machines,
    server: (state, event) => {
      const step = Control.step(state, event)
      const meant = isIn(states, state._tag) && [events].flat().includes(event._tag)
      return (meant ? change({ state, event, step }) : undefined) ?? step
    }
  }
})

const none: Control.Action = { _tag: "None" }
const stopQuery: Control.Action = { _tag: "StopQuery" }
const flush: Control.Action = { _tag: "Close", how: "flush" }
const abort: Control.Action = { _tag: "Close", how: "abort" }
const acknowledge: Control.Answer = { type: "CancelAcknowledged" }

const ignored = ({ state }: Server): Control.Step => [state, none]
const violation = (): Control.Step => [{ _tag: "Closed", reason: "protocol", detail: "mutant" }, abort]
const ready = (staleCancel: boolean): Control.State => ({ _tag: "Ready", staleCancel, refusing: undefined })
const refusing = (state: Control.State) => (state._tag === "Closed" ? undefined : state.refusing)
const isCancelling = (state: Control.State): boolean =>
  state._tag === "Stopping" && state.answer.type === "CancelAcknowledged"
const stale = (state: Control.State): boolean => state._tag === "Ready" && state.staleCancel

/** Stops for another reason than the one given. */
const answering = (given: Server, answer: Control.Answer): Control.Step => [
  { _tag: "Stopping", answer, refusing: refusing(given.step[0]) },
  given.step[1]
]

/** Where a step leads to, with the stale cancel taken for another. */
const withStale = ({ step }: Server, staleCancel: boolean): Control.Step =>
  step[0]._tag === "Ready" ? [{ ...step[0], staleCancel }, step[1]] : step

const busy = ["Initialising", "Responding"] as const
const running = ["Initialising", "Responding", "Stopping"] as const

const serverMutants: ReadonlyArray<Mutant> = [
  server("does not ignore the stale cancel", "Ready", "Cancel", violation),
  server("ignores every stale cancel", "Ready", "Cancel", (given) =>
    stale(given.state) ? ignored(given) : undefined
  ),
  server("ignores a cancel on a fresh connection", "Ready", "Cancel", ignored),
  server("ignores a cancel after K", "Stopping", "TerminalBegun", (given) => withStale(given, true)),
  server("forgets the stale cancel after a response", busy, "TerminalBegun", (given) =>
    withStale(given, false)
  ),
  server("forgets the stale cancel after an answer of its own", "Stopping", "TerminalBegun", (given) =>
    withStale(given, false)
  ),
  server("takes the stale cancel for one of a query", "Ready", "Cancel", ({ state }) =>
    stale(state)
      ? [
          { _tag: "Stopping", answer: acknowledge, refusing: undefined },
          { _tag: "Respond", answer: acknowledge }
        ]
      : undefined
  ),
  server("ignores a request while responding", busy, "Request", ignored),
  server("runs a request while responding", busy, "Request", () => [
    { _tag: "Initialising", refusing: undefined },
    { _tag: "StartQuery" }
  ]),
  server("ignores a request while stopping", "Stopping", "Request", ignored),
  server("takes the next request before K", "Stopping", "Request", ({ state }) =>
    isCancelling(state) ? [{ _tag: "Initialising", refusing: undefined }, { _tag: "StartQuery" }] : undefined
  ),
  server("refuses the request after a response", "Ready", "Request", ({ state }) =>
    stale(state) ? violation() : undefined
  ),
  server("refuses a cancel before the accept", "Initialising", "Cancel", violation),
  server("ignores a cancel before the accept", "Initialising", "Cancel", ignored),
  server("ignores a cancel after the accept", "Responding", "Cancel", ignored),
  server("answers a cancel with an error", "Responding", "Cancel", (given) =>
    answering(given, { type: "Error", code: "internal" })
  ),
  server("answers a cancel before the accept with a reject", "Initialising", "Cancel", (given) =>
    answering(given, { type: "Reject", code: "overloaded" })
  ),
  server("acknowledges a cancel without stopping the query", busy, "Cancel", (given) => [
    given.step[0],
    { _tag: "Respond", answer: acknowledge }
  ]),
  server("forgets to stop the query of a cancel", busy, "Cancel", (given) => [given.step[0], none]),
  server("is ready as soon as a cancel comes", busy, "Cancel", () => [ready(false), stopQuery]),
  server("lets its own answer stand against a cancel", "Stopping", "Cancel", (given) =>
    isCancelling(given.state) ? undefined : ignored(given)
  ),
  server("refuses a cancel of a query that it stops", "Stopping", "Cancel", violation),
  server("stops a query again for a cancel", "Stopping", "Cancel", (given) =>
    isCancelling(given.state) ? undefined : [given.step[0], stopQuery]
  ),
  server("ignores a second cancel", "Stopping", "Cancel", (given) =>
    isCancelling(given.state) ? ignored(given) : undefined
  ),
  server("does not answer when the query has ended", "Stopping", "QueryStopped", ignored),
  server("goes on without an answer when the query has ended", "Stopping", "QueryStopped", () => [
    ready(false),
    none
  ]),
  server("keeps stopping after its last word", "Stopping", "TerminalBegun", ignored),
  server("does not notice that the accept begins", "Initialising", "AcceptBegun", ignored),
  server("does not notice that a terminal begins", "Responding", "TerminalBegun", ignored),
  server("does not notice that a reject begins", "Initialising", "TerminalBegun", ignored),
  server("closes after every response", busy, "TerminalBegun", () => [
    { _tag: "Closed", reason: "drain", detail: "mutant" },
    flush
  ]),
  server("drops its last words", "any", "TerminalBegun", ({ step }) =>
    step[1]._tag === "Close" ? [step[0], abort] : undefined
  ),
  server("stays open when told to stop while idle", "Ready", "Drain", ignored),
  server("stays open when it is idle and drained", "Ready", "DrainExpired", ignored),
  server("drops an idle connection when told to stop", "Ready", "Drain", ({ step }) => [step[0], abort]),
  server("does not hear of the stop while responding", busy, "Drain", ignored),
  server("does not hear of the stop while stopping a query", "Stopping", ["Drain", "DrainExpired"], ignored),
  server("stops its queries as soon as it is told to stop", "Responding", "Drain", () => [
    { _tag: "Stopping", answer: { type: "Error", code: "shutting_down" }, refusing: "shutting_down" },
    stopQuery
  ]),
  server("waits for ever before the accept when told to stop", "Initialising", "DrainExpired", ignored),
  server("waits for ever for a result when told to stop", "Responding", "DrainExpired", ignored),
  server("forgets that it stops when it ends a query for it", busy, "DrainExpired", ({ step }) =>
    step[0]._tag === "Stopping" ? [{ ...step[0], refusing: undefined }, step[1]] : undefined
  ),
  server("forgets that it stops when a cancel comes", busy, "Cancel", ({ step }) =>
    step[0]._tag === "Stopping" ? [{ ...step[0], refusing: undefined }, step[1]] : undefined
  ),
  server("forgets that it stops when a query takes too long", busy, "QueryExpired", ({ step }) =>
    step[0]._tag === "Stopping" ? [{ ...step[0], refusing: undefined }, step[1]] : undefined
  ),
  server("forgets that it stops when the accept begins", "Initialising", "AcceptBegun", () => [
    { _tag: "Responding", refusing: undefined },
    none
  ]),
  server("stops with an error before the accept", "Initialising", "DrainExpired", (given) =>
    answering(given, { type: "Error", code: "shutting_down" })
  ),
  server("stops with a reject after the accept", "Responding", "DrainExpired", (given) =>
    answering(given, { type: "Reject", code: "shutting_down" })
  ),
  server("gives a timeout as the reason when it stops", "Responding", "DrainExpired", (given) =>
    answering(given, { type: "Error", code: "timeout" })
  ),
  server("lets a query before the accept take for ever", "Initialising", "QueryExpired", ignored),
  server("lets a query after the accept take for ever", "Responding", "QueryExpired", ignored),
  server("ends a query before the accept with an error", "Initialising", "QueryExpired", (given) =>
    answering(given, { type: "Error", code: "timeout" })
  ),
  server("rejects with a code that says it ran", "Initialising", "QueryExpired", (given) =>
    answering(given, { type: "Reject", code: "timeout" })
  ),
  server("ends a query after the accept with a reject", "Responding", "QueryExpired", (given) =>
    answering(given, { type: "Reject", code: "overloaded" })
  ),
  server("stops a query again that takes too long", "Stopping", "QueryExpired", ({ state }) => [
    state,
    stopQuery
  ]),
  server("closes for an idle limit while responding", busy, "IdleExpired", () => [
    { _tag: "Closed", reason: "read", detail: "mutant" },
    abort
  ]),
  server("lets a connection be idle for ever", "Ready", "IdleExpired", ignored),
  server("waits for ever for a request that began", "any", "RequestExpired", ignored),
  server("ignores what a client may not send", "any", "Unexpected", ignored),
  server("ignores what is no frame", "any", "Malformed", ignored),
  server("answers what is no frame", busy, "Malformed", (given) => [
    { _tag: "Stopping", answer: { type: "Error", code: "internal" }, refusing: refusing(given.state) },
    stopQuery
  ]),
  server("lets the query run on after a violation", running, ["Unexpected", "Malformed"], ({ step }) => [
    step[0],
    flush
  ]),
  server("lets the query run on for a client that is gone", running, "PeerClosed", ({ step }) => [
    step[0],
    flush
  ]),
  server("does not notice that an idle client is gone", "Ready", "PeerClosed", ignored),
  server("does not notice that the client of a query is gone", running, "PeerClosed", ignored),
  server("ignores a read that fails", "any", "ReadFailed", ignored),
  server("ignores a write that fails", "any", "WriteFailed", ignored),
  server("ignores a write that fails between requests", "Ready", "WriteFailed", ignored),
  server("ignores an engine that cannot initialise", "Initialising", "InitFailed", ignored),
  server("ignores a driver that breaks", "Responding", "RunFailed", ignored),
  server("ignores a driver that breaks before the accept", "Initialising", "RunFailed", ignored),
  server("closes for a query's limit between requests", "Ready", "QueryExpired", violation),
  server("closes for an idle limit while stopping", "Stopping", "IdleExpired", violation),
  server(
    "is open again after its end",
    "Closed",
    ["Cancel", "Unexpected", "Malformed", "WriteFailed"],
    () => [ready(false), none]
  ),
  server("runs the request of a connection beyond the limit", "Ready", "Request", () => [
    { _tag: "Initialising", refusing: undefined },
    { _tag: "StartQuery" }
  ]),
  server("stops a query for a request beyond the limit", "Ready", "Request", ({ step }) =>
    step[1]._tag === "Respond" ? [step[0], stopQuery] : undefined
  ),
  server("keeps a connection beyond the limit", "Ready", "Request", ({ step }) =>
    step[0]._tag === "Stopping" ? [{ ...step[0], refusing: undefined }, step[1]] : undefined
  ),
  {
    name: "server: takes a request when it has closed",
    machines: {
      ...machines,
      server: (state, event) =>
        state._tag === "Closed" && event._tag === "Request"
          ? Control.step(Control.initial, event)
          : Control.step(state, event)
    }
  }
]

type Client = {
  readonly state: ClientControl.State
  readonly step: ClientControl.Step
}
type ClientTag = Exclude<ClientControl.Event["_tag"], "Received">
const letters = ["A", "J", "I", "F", "E", "K", "H", "R", "C"] as const
type Letter = (typeof letters)[number]

/** A client's machine that takes some messages or events in some states differently. */
const client = (
  name: string,
  states: Tags<ClientControl.State["_tag"]> | "any",
  events: Tags<Letter | ClientTag>,
  change: (given: Client) => ClientControl.Step | undefined
): Mutant => ({
  name: `client: ${name}`,
  machines: {
    ...machines,
    client: (state, event) => {
      const step = ClientControl.step(state, event)
      const what = event._tag === "Received" ? (Message.letter(event.type) as Letter) : event._tag
      const meant = isIn(states, state._tag) && [events].flat().includes(what)
      return (meant ? change({ state, step }) : undefined) ?? step
    }
  }
})

const idle: ClientControl.State = { _tag: "Idle" }
const requested: ClientControl.State = { _tag: "Requested" }
const responding: ClientControl.State = { _tag: "Responding" }

const unmoved = ({ state }: Client): ClientControl.Step => [state, "None"]
const cutOff = (): ClientControl.Step => [
  { _tag: "Closed", why: { _tag: "Violation", detail: "mutant" } },
  "Close"
]
/** For what is a violation as it should be. */
const tolerated =
  (step: ClientControl.Step) =>
  ({ step: [state] }: Client): ClientControl.Step | undefined =>
    state._tag === "Closed" ? step : undefined
const acceptedCancel = (state: ClientControl.State): boolean => state._tag === "Cancelling" && state.accepted

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
    acceptedCancel(state) ? undefined : [responding, "None"]
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
  client("ignores what is no frame", "any", "Malformed", unmoved),
  client("takes a chunk before the accept", "Requested", "I", tolerated([responding, "Chunk"])),
  client("takes an end before the accept", "Requested", "F", tolerated([idle, "Finish"])),
  client("takes an error before the accept", "Requested", "E", tolerated([idle, "Fail"])),
  client("takes a second accept", "Responding", "A", tolerated([responding, "Accept"])),
  client("takes a reject after the accept", "Responding", "J", tolerated([idle, "Reject"])),
  client("takes K without a cancel", ["Requested", "Responding"], "K", tolerated([idle, "EndCancelled"])),
  client("takes anything after its cancel", "Cancelling", ["A", "J", "I", "F", "E"], (given) =>
    tolerated([given.state, "None"])(given)
  ),
  client("takes silence between requests for a dead server", "Idle", "Silence", () => [
    { _tag: "Closed", why: { _tag: "Silent" } },
    "Close"
  ]),
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
  client("does not notice that its server has closed", "any", "ServerClosed", unmoved),
  client("ignores a read that fails", "any", "ReadFailed", unmoved),
  client("ignores a write that fails", "any", "WriteFailed", unmoved),
  client("does not close", "any", "Close", unmoved),
  client("forgets that it has closed", "any", "Close", () => [idle, "Close"])
]

export const mutants: ReadonlyArray<Mutant> = [...serverMutants, ...clientMutants]
