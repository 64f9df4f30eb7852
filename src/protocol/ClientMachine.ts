/**
 * The client's side of one connection as a pure machine: the messages allowed in each state, and the actions
 * that follow.
 *
 * The mirror of the `ServerMachine`. `step` maps the state and an event to the next state and one action; it
 * has no socket, clock or fiber, so the whole table can be enumerated. A message that the protocol does not
 * allow ends the connection.
 */
import * as Message from "./Message.ts"

/**
 * The state of a connection.
 *
 * - `Idle`: no request is in flight.
 * - `Requested`: the request was sent, and no byte of the response has come.
 * - `Responding`: the server accepted; chunks follow.
 * - `Cancelling`: the cancel was sent, and the response has not ended. `accepted` says whether its accept came.
 * - `Closed`: nothing follows.
 *
 * @category models
 * @since 0.1.0
 */
export type State =
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Requested" }
  | { readonly _tag: "Responding" }
  | { readonly _tag: "Cancelling"; readonly accepted: boolean }
  | { readonly _tag: "Closed"; readonly why: Why }

/**
 * The reason why a connection is unusable.
 *
 * - `GoingAway`: the server closes it, and has not started any request that it has not answered. `payload` is
 *   the body of the reject that announced it.
 * - `ServerClosed`: the server closed it.
 * - `Lost`: reading or writing failed.
 * - `Violation`: the server sent a message that is not allowed, or bytes that are no message.
 * - `Silent`: the server sent nothing for longer than the tolerance.
 * - `CancelIgnored`: the server did not end the response that was cancelled.
 * - `Closed`: the client's owner closed it.
 *
 * @category models
 * @since 0.1.0
 */
export type Why =
  | { readonly _tag: "GoingAway"; readonly payload: Uint8Array }
  | { readonly _tag: "ServerClosed" }
  | { readonly _tag: "Lost"; readonly detail: string }
  | { readonly _tag: "Violation"; readonly detail: string }
  | { readonly _tag: "Silent" }
  | { readonly _tag: "CancelIgnored" }
  | { readonly _tag: "Closed" }

/**
 * An event of a connection.
 *
 * - `Request`, `Cancel`: the client's request or cancel has its turn to be written.
 * - `Received`: a message of this type arrived. `Malformed`: bytes that are no message.
 * - `GoingAway`: the message that ended the response announced that the server closes the connection after
 *   it.
 * - `ServerClosed`, `ReadFailed`, `WriteFailed`: events of the socket.
 * - `Silence`: nothing was received for longer than the tolerance.
 * - `CancelExpired`: the response was not ended in time after the cancel.
 * - `Close`: the client's owner closes it.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "Request" }
  | { readonly _tag: "Cancel" }
  | { readonly _tag: "Received"; readonly type: Message.Type; readonly body?: Uint8Array | undefined }
  | { readonly _tag: "GoingAway"; readonly payload: Uint8Array }
  | { readonly _tag: "Malformed"; readonly detail: string }
  | { readonly _tag: "ServerClosed" }
  | { readonly _tag: "ReadFailed"; readonly detail: string }
  | { readonly _tag: "WriteFailed"; readonly detail: string }
  | { readonly _tag: "Silence" }
  | { readonly _tag: "CancelExpired" }
  | { readonly _tag: "Close" }

/**
 * The action that follows from an event.
 *
 * - `SendRequest`, `SendCancel`: write the message.
 * - `Accept`, `Chunk`: the body belongs to the response. `Reject`, `Finish`, `Fail`: it ends the response.
 * - `EndCancelled`: the cancelled response has ended, and its outcome is discarded.
 * - `Close`: drop the connection, and with it a response in flight.
 *
 * @category models
 * @since 0.1.0
 */
export type Action =
  | "None"
  | "SendRequest"
  | "SendCancel"
  | "Accept"
  | "Chunk"
  | "Reject"
  | "Finish"
  | "Fail"
  | "EndCancelled"
  | "Close"

/**
 * The next state and the action.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = readonly [State, Action]

const idle: State = { _tag: "Idle" }
const requested: State = { _tag: "Requested" }
const responding: State = { _tag: "Responding" }
const cancelling: State = { _tag: "Cancelling", accepted: false }
const cancellingAccepted: State = { _tag: "Cancelling", accepted: true }

/**
 * A connection that has just been opened.
 *
 * @category states
 * @since 0.1.0
 */
export const initial: State = idle

const noBody = new Uint8Array(0)

const close = (why: Why): Step => [{ _tag: "Closed", why }, "Close"]

/**
 * The state and action that follow from an event.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step = (state: State, event: Event): Step => {
  if (state._tag === "Closed") return [state, "None"]
  switch (event._tag) {
    case "Request":
      return state._tag === "Idle" ? [requested, "SendRequest"] : [state, "None"]
    case "Cancel":
      return cancel(state)
    case "Received":
      return state._tag === "Idle" && event.type === Message.Type.Reject
        ? close({ _tag: "GoingAway", payload: event.body ?? noBody })
        : received(state, event.type)
    case "GoingAway":
      return state._tag === "Idle" ? close(event) : [state, "None"]
    case "Malformed":
      return close({ _tag: "Violation", detail: event.detail })
    case "ServerClosed":
      return close({ _tag: "ServerClosed" })
    case "ReadFailed":
    case "WriteFailed":
      return close({ _tag: "Lost", detail: event.detail })
    case "Silence":
      // After a cancel, `CancelExpired` applies instead.
      return state._tag === "Cancelling" ? [state, "None"] : close({ _tag: "Silent" })
    case "CancelExpired":
      // The cancel may still wait for its turn, behind a request that the server does not take.
      return state._tag === "Idle" ? [state, "None"] : close({ _tag: "CancelIgnored" })
    case "Close":
      return close({ _tag: "Closed" })
  }
}

type Open = Exclude<State, { readonly _tag: "Closed" }>

const cancel = (state: Open): Step => {
  switch (state._tag) {
    case "Requested":
      return [cancelling, "SendCancel"]
    case "Responding":
      return [cancellingAccepted, "SendCancel"]
    default:
      return [state, "None"]
  }
}

const received = (state: Open, type: Message.Type): Step => {
  if (type === Message.Type.Heartbeat) return [state, "None"]
  switch (state._tag) {
    case "Idle":
      return violation(type, "without a request")
    case "Requested":
      return beforeAccept(type) ?? violation(type, "before the request was accepted")
    case "Responding":
      return afterAccept(type) ?? violation(type, "after the request was accepted")
    case "Cancelling":
      return afterCancel(type, state.accepted) ?? violation(type, "in answer to a cancel")
  }
}

// Made once, since they are used for every frame.
const accept: Step = [responding, "Accept"]
const reject: Step = [idle, "Reject"]
const chunk: Step = [responding, "Chunk"]
const finish: Step = [idle, "Finish"]
const fail: Step = [idle, "Fail"]

const beforeAccept = (type: Message.Type): Step | undefined => {
  switch (type) {
    case Message.Type.Accept:
      return accept
    case Message.Type.Reject:
      return reject
    default:
      return undefined
  }
}

const afterAccept = (type: Message.Type): Step | undefined => {
  switch (type) {
    case Message.Type.Intermediate:
      return chunk
    case Message.Type.Final:
      return finish
    case Message.Type.Error:
      return fail
    default:
      return undefined
  }
}

/**
 * Messages sent before the server received the cancel may still arrive, and their terminal message stands.
 */
const afterCancel = (type: Message.Type, accepted: boolean): Step | undefined => {
  if (type === Message.Type.CancelAcknowledged) return [idle, "EndCancelled"]
  const next = accepted ? afterAccept(type) : beforeAccept(type)
  if (next === undefined) return undefined
  return next[0]._tag === "Idle" ? [idle, "EndCancelled"] : [cancellingAccepted, "None"]
}

const violation = (type: Message.Type, when: string): Step =>
  close({ _tag: "Violation", detail: `${Message.name(type)} (${Message.letter(type)}) ${when}` })
