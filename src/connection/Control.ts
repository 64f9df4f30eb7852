/**
 * The server's side of one connection as a pure machine: what may arrive in which state, and what to do.
 *
 * `step` takes the state and an event to the next state and one action. It knows no socket, clock or fiber,
 * so the whole protocol table can be enumerated. The rules are those of the protocol page beside this file
 * (`README.md`).
 */
import type { ErrorCode } from "../engine/QueryApi.ts"
import type { ControlReason } from "./Statistics.ts"

/** The codes of the responses that the server gives on its own account. */
export type ServerCode = Extract<ErrorCode, "overloaded" | "shutting_down" | "timeout" | "internal">

/** The answer that ends a query which did not end by itself. */
export type Answer =
  | { readonly type: "CancelAcknowledged" }
  | { readonly type: "Reject" | "Error"; readonly code: ServerCode }

/**
 * Where a connection stands.
 *
 * - `Ready`: takes a request. `staleCancel` is set after a response that a cancel of the client may have
 *   crossed on the wire: one cancel is then ignored.
 * - `Initialising`: the engine decides on the request; no byte of the response has been written.
 * - `Responding`: the accept has begun to be written.
 * - `Stopping`: the query was interrupted and has not ended yet; `answer` ends the response.
 * - `Closed`: nothing follows. `reason` is kept for the statistics.
 *
 * `refusing` is set on a connection that answers no further query: requests are rejected with this code, and
 * it closes after the response.
 */
export type State =
  | { readonly _tag: "Ready"; readonly staleCancel: boolean; readonly refusing: ServerCode | undefined }
  | { readonly _tag: "Initialising"; readonly refusing: ServerCode | undefined }
  | { readonly _tag: "Responding"; readonly refusing: ServerCode | undefined }
  | {
      readonly _tag: "Stopping"
      readonly answer: Answer
      readonly refusing: ServerCode | undefined
    }
  | { readonly _tag: "Closed"; readonly reason: ControlReason; readonly detail: string }

/**
 * What can happen to a connection.
 *
 * - `Request`, `Cancel`: such a frame arrived. `Unexpected`: a frame of another type did. `Malformed`: bytes
 *   that are no frame.
 * - `PeerClosed`, `ReadFailed`, `WriteFailed`: the socket.
 * - `AcceptBegun`, `TerminalBegun`: the accept, or the message that ends the response, begins to be written:
 *   from here on it precedes everything else.
 * - `QueryStopped`: an interrupted query has ended without a terminal message.
 * - `InitFailed`: the engine could not tell whether it accepts. `RunFailed`: the driver broke.
 * - `QueryExpired`: the query took longer than its timeout.
 * - `IdleExpired`, `RequestExpired`: no request came for too long, or one came too slowly. `setting` says which
 *   limit it was, if not `idleTimeout`.
 * - `Drain`: the server is stopping. `DrainExpired`: it waits no longer for running queries.
 */
export type Event =
  | { readonly _tag: "Request" }
  | { readonly _tag: "Cancel" }
  | { readonly _tag: "Unexpected"; readonly detail: string }
  | { readonly _tag: "Malformed"; readonly detail: string }
  | { readonly _tag: "PeerClosed" }
  | { readonly _tag: "ReadFailed"; readonly detail: string }
  | { readonly _tag: "WriteFailed"; readonly detail: string }
  | { readonly _tag: "AcceptBegun" }
  | { readonly _tag: "TerminalBegun" }
  | { readonly _tag: "QueryStopped" }
  | { readonly _tag: "InitFailed"; readonly detail: string }
  | { readonly _tag: "RunFailed"; readonly detail: string }
  | { readonly _tag: "QueryExpired" }
  | { readonly _tag: "IdleExpired"; readonly setting?: "firstRequestTimeout" | undefined }
  | { readonly _tag: "RequestExpired" }
  | { readonly _tag: "Drain" }
  | { readonly _tag: "DrainExpired" }

/**
 * What to do about an event.
 *
 * - `StartQuery`: give the request to the engine.
 * - `StopQuery`: interrupt the query; `QueryStopped` follows once its finalizers have run.
 * - `Respond`: write this terminal message.
 * - `Close`: close the socket, `"flush"` after what is being written has been sent, `"abort"` at once. A
 *   running query is interrupted.
 */
export type Action =
  | { readonly _tag: "None" }
  | { readonly _tag: "StartQuery" }
  | { readonly _tag: "StopQuery" }
  | { readonly _tag: "Respond"; readonly answer: Answer }
  | { readonly _tag: "Close"; readonly how: "flush" | "abort" }

export type Step = readonly [State, Action]

/** A connection that has just been opened. */
export const initial: State = { _tag: "Ready", staleCancel: false, refusing: undefined }

/** A connection beyond the server's limit: its first request is rejected, then it closes. */
export const refusing = (code: ServerCode): State => ({ _tag: "Ready", staleCancel: false, refusing: code })

const none: Action = { _tag: "None" }
const startQuery: Action = { _tag: "StartQuery" }
const stopQuery: Action = { _tag: "StopQuery" }
const flush: Action = { _tag: "Close", how: "flush" }
const abort: Action = { _tag: "Close", how: "abort" }

const close = (reason: ControlReason, detail: string, action: Action = abort): Step => [
  { _tag: "Closed", reason, detail },
  action
]

const violation = (detail: string): Step => close("protocol", detail)

const drained = (code: ServerCode): Step =>
  close("drain", code === "overloaded" ? "Too many connections" : "Server is shutting down", flush)

const stop = (state: { readonly refusing: ServerCode | undefined }, answer: Answer): Step => [
  { _tag: "Stopping", answer, refusing: state.refusing },
  stopQuery
]

// The steps of every query, made once.
const started: Step = [{ _tag: "Initialising", refusing: undefined }, startQuery]
const accepted: Step = [{ _tag: "Responding", refusing: undefined }, none]
const readyAfterCancel: Step = [{ _tag: "Ready", staleCancel: false, refusing: undefined }, none]
const readyAfterResponse: Step = [{ _tag: "Ready", staleCancel: true, refusing: undefined }, none]

/** The response is over, as far as the order of messages goes: the connection takes the next request. */
const responded = (refusing: ServerCode | undefined, next: Step): Step =>
  refusing === undefined ? next : drained(refusing)

/** The state and action that follow from an event. */
export const step = (state: State, event: Event): Step => {
  if (state._tag === "Closed") return [state, none]
  switch (event._tag) {
    case "Unexpected":
    case "Malformed":
      return violation(event.detail)
    case "PeerClosed":
      return close("read", "End of file", state._tag === "Ready" ? flush : abort)
    case "ReadFailed":
      return close("read", event.detail)
    case "WriteFailed":
      return close("write", event.detail)
    case "RequestExpired":
      return close("read", "A request came too slowly (requestTimeout)")
    case "InitFailed":
      return close("init", event.detail)
    case "RunFailed":
      return close("run", event.detail)
    default:
  }
  switch (state._tag) {
    case "Ready":
      return ready(state, event)
    case "Initialising":
      return initialising(state, event)
    case "Responding":
      return responding(state, event)
    case "Stopping":
      return stopping(state, event)
  }
}

type Rest = Exclude<
  Event,
  {
    readonly _tag:
      | "Unexpected"
      | "Malformed"
      | "PeerClosed"
      | "ReadFailed"
      | "WriteFailed"
      | "RequestExpired"
      | "InitFailed"
      | "RunFailed"
  }
>

const ready = (state: Extract<State, { _tag: "Ready" }>, event: Rest): Step => {
  switch (event._tag) {
    case "Request":
      return state.refusing === undefined ? started : reject(state.refusing)
    case "Cancel":
      return state.staleCancel
        ? [{ ...state, staleCancel: false }, none]
        : violation("Cancel without a request")
    case "IdleExpired":
      return close("read", `No request came (${event.setting ?? "idleTimeout"})`, flush)
    case "Drain":
    case "DrainExpired":
      return drained("shutting_down")
    default:
      return [state, none]
  }
}

/** A request that no engine sees: it is answered without a query to stop. */
const reject = (code: ServerCode): Step => {
  const answer: Answer = { type: "Reject", code }
  return [
    { _tag: "Stopping", answer, refusing: code },
    { _tag: "Respond", answer }
  ]
}

const initialising = (state: Extract<State, { _tag: "Initialising" }>, event: Rest): Step => {
  switch (event._tag) {
    case "Request":
      return violation("Request while another is in flight")
    case "Cancel":
      return stop(state, { type: "CancelAcknowledged" })
    case "AcceptBegun":
      return state.refusing === undefined
        ? accepted
        : [{ _tag: "Responding", refusing: state.refusing }, none]
    case "TerminalBegun":
      return responded(state.refusing, readyAfterResponse)
    case "QueryExpired":
      // A reject may not say `timeout`: the query was still waiting, and nothing has been run.
      return stop(state, { type: "Reject", code: "overloaded" })
    case "Drain":
      return [{ ...state, refusing: "shutting_down" }, none]
    case "DrainExpired":
      return stop({ refusing: "shutting_down" }, { type: "Reject", code: "shutting_down" })
    default:
      return [state, none]
  }
}

const responding = (state: Extract<State, { _tag: "Responding" }>, event: Rest): Step => {
  switch (event._tag) {
    case "Request":
      return violation("Request while another is in flight")
    case "Cancel":
      return stop(state, { type: "CancelAcknowledged" })
    case "TerminalBegun":
      return responded(state.refusing, readyAfterResponse)
    case "QueryExpired":
      return stop(state, { type: "Error", code: "timeout" })
    case "Drain":
      return [{ ...state, refusing: "shutting_down" }, none]
    case "DrainExpired":
      return stop({ refusing: "shutting_down" }, { type: "Error", code: "shutting_down" })
    default:
      return [state, none]
  }
}

const stopping = (state: Extract<State, { _tag: "Stopping" }>, event: Rest): Step => {
  const cancelling = state.answer.type === "CancelAcknowledged"
  switch (event._tag) {
    case "Request":
      return violation(
        cancelling ? "Request before the cancel was acknowledged" : "Request while another is in flight"
      )
    case "Cancel":
      // The query is being stopped already; its last word has not begun to be written, so the client's
      // cancel decides which one it is.
      return cancelling
        ? violation("Cancel while one is being acknowledged")
        : [{ ...state, answer: { type: "CancelAcknowledged" } }, none]
    case "QueryStopped":
      return [state, { _tag: "Respond", answer: state.answer }]
    case "TerminalBegun":
      return responded(state.refusing, cancelling ? readyAfterCancel : readyAfterResponse)
    case "Drain":
    case "DrainExpired":
      return [{ ...state, refusing: "shutting_down" }, none]
    default:
      return [state, none]
  }
}
