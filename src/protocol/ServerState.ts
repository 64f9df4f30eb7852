/**
 * The states, events and actions of the `ServerMachine`.
 */
import type { ErrorCode } from "../engine/QueryApi.ts"

/**
 * The reason why a connection ended: reading or writing failed (the peer's close included), a query could not
 * be run or initialised, the peer violated the protocol, or the server drained the connection.
 *
 * @category models
 * @since 0.1.0
 */
export type ControlReason = "read" | "write" | "run" | "init" | "protocol" | "drain"

/**
 * The codes of the local replies: responses that the server gives without an engine.
 *
 * @category models
 * @since 0.1.0
 */
export type LocalCode = Extract<
  ErrorCode,
  "overloaded" | "shutting_down" | "timeout" | "too_large" | "internal" | "unknown_outcome"
>

/**
 * A local reply, which ends a response.
 *
 * @category models
 * @since 0.1.0
 */
export type LocalReply =
  | { readonly type: "CancelAcknowledged" }
  | { readonly type: "Reject" | "Error"; readonly code: LocalCode }

/**
 * The state of a connection.
 *
 * - `Ready`: takes a request. `staleCancel` is set after a response that a cancel of the client may have
 *   crossed on the wire: one cancel is then ignored.
 * - `Initialising`: the query runs, and no byte of the response has been written.
 * - `Responding`: the query runs, and its accept has begun to be written.
 * - `Ending`: the query has ended by itself, and the rest of its response is being written. `accepted` is set
 *   once its accept has begun to be written.
 * - `Committing`: the query has begun to commit, or has ended after that: the message that ends its response
 *   is fixed. `crossed` is set once a cancel has arrived, too late.
 * - `Stopping`: the query was interrupted and has not ended yet; `reply` ends the response.
 * - `Replying`: no query runs; `reply` waits to be written, and ends the response.
 * - `Closed`: no more requests are started. `reason` is kept for the statistics. `goAway` is the code of the
 *   server's goodbye, if it must send one: a reject that answers a request which the client sends before it
 *   sees the close.
 *
 * `refusing` is set on a connection that runs no further queries: requests are rejected with this code, and
 * it closes after the response.
 *
 * @category models
 * @since 0.1.0
 */
export type State =
  | { readonly _tag: "Ready"; readonly staleCancel: boolean; readonly refusing: LocalCode | undefined }
  | { readonly _tag: "Initialising"; readonly refusing: LocalCode | undefined }
  | { readonly _tag: "Responding"; readonly refusing: LocalCode | undefined }
  | { readonly _tag: "Ending"; readonly accepted: boolean; readonly refusing: LocalCode | undefined }
  | { readonly _tag: "Committing"; readonly crossed: boolean; readonly refusing: LocalCode | undefined }
  | { readonly _tag: "Stopping"; readonly reply: LocalReply; readonly refusing: LocalCode | undefined }
  | { readonly _tag: "Replying"; readonly reply: LocalReply; readonly refusing: LocalCode | undefined }
  | {
      readonly _tag: "Closed"
      readonly reason: ControlReason
      readonly detail: string
      readonly goAway?: LocalCode | undefined
    }

/**
 * An event of a connection.
 *
 * - `Request`, `Cancel`: such a message arrived. `TooLarge`: a request arrived that was too long to be
 *   stored. `Unexpected`: a message of another type arrived. `Malformed`: bytes that are no message.
 * - `PeerClosed`, `ReadFailed`, `WriteFailed`: events of the socket.
 * - `AcceptBegun`, `TerminalBegun`: the accept, or the message that ends the response, begins to be written:
 *   from now on it precedes everything else.
 * - `CommitBegun`: the socket has taken the whole result, and the query asks to commit. It may if the next
 *   state is `Committing`.
 * - `QueryEnded`: the query has ended, and its finalizers have run. The response contains the outcome, unless
 *   the query was interrupted.
 * - `InitFailed`: the same, but the engine failed to decide whether it accepts. `RunFailed`: the server
 *   failed.
 * - `QueryExpired`: the query took longer than its timeout.
 * - `IdleExpired`, `RequestExpired`: no request came for too long, or one came too slowly. `setting` is the
 *   limit, if not `idleTimeout`.
 * - `Drain`: the server is stopping. `DrainExpired`: it stops waiting for running queries. `Stopped`: it
 *   closes the connection at once.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "Request" }
  | { readonly _tag: "TooLarge" }
  | { readonly _tag: "Cancel" }
  | { readonly _tag: "Unexpected"; readonly detail: string }
  | { readonly _tag: "Malformed"; readonly detail: string }
  | { readonly _tag: "PeerClosed" }
  | { readonly _tag: "ReadFailed"; readonly detail: string }
  | { readonly _tag: "WriteFailed"; readonly detail: string }
  | { readonly _tag: "AcceptBegun" }
  | { readonly _tag: "TerminalBegun" }
  | { readonly _tag: "CommitBegun" }
  | { readonly _tag: "QueryEnded" }
  | { readonly _tag: "InitFailed"; readonly detail: string }
  | { readonly _tag: "RunFailed"; readonly detail: string }
  | { readonly _tag: "QueryExpired" }
  | { readonly _tag: "IdleExpired"; readonly setting?: "firstRequestTimeout" | undefined }
  | { readonly _tag: "RequestExpired" }
  | { readonly _tag: "Drain" }
  | { readonly _tag: "DrainExpired" }
  | { readonly _tag: "Stopped" }

/**
 * The action that follows from an event.
 *
 * - `StartQuery`: give the request to the engine. `Refuse`: write the response of `take` instead.
 * - `StopQuery`: interrupt the query; `QueryEnded` follows.
 * - `Write`: there are messages to write: `take` returns them when the writer has its turn.
 * - `Close`: close the socket, `"flush"` after pending writes and the goodbye of the state, `"abort"` at
 *   once. A running query is interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export type Action =
  | { readonly _tag: "None" }
  | { readonly _tag: "StartQuery" }
  | { readonly _tag: "Refuse" }
  | { readonly _tag: "StopQuery" }
  | { readonly _tag: "Write" }
  | { readonly _tag: "Close"; readonly how: "flush" | "abort" }

/**
 * The next state and the action.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = readonly [State, Action]
