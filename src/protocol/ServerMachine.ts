/**
 * The server's side of one connection as a pure machine: the messages allowed in each state, in both
 * directions, and the actions that follow.
 *
 * `step` maps the state and an event to the next state and one action; `take` returns the messages to write
 * next. Neither has a socket, a clock or a fiber, so the whole protocol (PROTOCOL.md §2) can be enumerated.
 */
import * as Message from "./Message.ts"
import type { Response } from "./Response.ts"
import type { Action, ControlReason, Event, LocalCode, LocalReply, State, Step } from "./ServerState.ts"

export type {
  Action,
  ControlReason,
  Event,
  LocalCode,
  LocalReply,
  State,
  Step
} from "./ServerState.ts"

/**
 * A connection that has just been opened.
 *
 * @category states
 * @since 0.1.0
 */
export const initial: State = { _tag: "Ready", staleCancel: false, refusing: undefined }

/**
 * A connection beyond the server's limit: its first request is rejected, then it closes.
 *
 * @category states
 * @since 0.1.0
 */
export const refusing = (code: LocalCode): State => ({ _tag: "Ready", staleCancel: false, refusing: code })

const none: Action = { _tag: "None" }
const startQuery: Action = { _tag: "StartQuery" }
const refuse: Action = { _tag: "Refuse" }
const stopQuery: Action = { _tag: "StopQuery" }
const write: Action = { _tag: "Write" }
const flush: Action = { _tag: "Close", how: "flush" }
const abort: Action = { _tag: "Close", how: "abort" }

const acknowledged: LocalReply = { type: "CancelAcknowledged" }

const close = (reason: ControlReason, detail: string, action: Action = abort): Step => [
  { _tag: "Closed", reason, detail },
  action
]

const violation = (detail: string): Step => close("protocol", detail)

/**
 * Closes between two responses. A request may be under way, so the client is notified that no more are
 * started.
 */
const leave = (reason: ControlReason, detail: string, goAway: LocalCode): Step => [
  { _tag: "Closed", reason, detail, goAway },
  flush
]

const drainDetail = (code: LocalCode): string =>
  code === "overloaded" ? "Too many connections" : "Server is shutting down"

const drained = (code: LocalCode): Step => leave("drain", drainDetail(code), code)

// The steps of every query, made once.
const started: Step = [{ _tag: "Initialising", refusing: undefined }, startQuery]
const accepted: Step = [{ _tag: "Responding", refusing: undefined }, none]
const endingAccepted: Step = [{ _tag: "Ending", accepted: true, refusing: undefined }, write]
const committing: Step = [{ _tag: "Committing", crossed: false, refusing: undefined }, none]
const ending: Step = [{ _tag: "Ending", accepted: false, refusing: undefined }, write]
const readyAfterCancel: Step = [{ _tag: "Ready", staleCancel: false, refusing: undefined }, none]
const readyAfterResponse: Step = [{ _tag: "Ready", staleCancel: true, refusing: undefined }, none]

/**
 * The response has ended, as far as the order of messages is concerned: the connection takes the next
 * request.
 */
const responded = (refusing: LocalCode | undefined, next: Step): Step =>
  refusing === undefined ? next : drained(refusing)

/** Whether a reply can announce that the connection closes after it. */
const isTold = (reply: LocalReply): boolean => reply.type !== "CancelAcknowledged"

/**
 * The state and action that follow from an event.
 *
 * @category transitions
 * @since 0.1.0
 */
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
    case "RunFailed":
      return close("run", event.detail)
    case "Stopped":
      return close("drain", "Server stopped")
    default:
  }
  switch (state._tag) {
    case "Ready":
      return ready(state, event)
    case "Initialising":
    case "Responding":
      return running(state, event)
    case "Ending":
      return finishing(state, event)
    case "Committing":
      return standing(state, event)
    case "Stopping":
      return stopping(state, event)
    case "Replying":
      return replying(state, event)
  }
}

type In<Tag extends State["_tag"]> = Extract<State, { readonly _tag: Tag }>

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
      | "RunFailed"
      | "Stopped"
  }
>

const ready = (state: In<"Ready">, event: Rest): Step => {
  switch (event._tag) {
    case "Request":
      return state.refusing === undefined ? started : reject(state.refusing, state.refusing)
    case "TooLarge":
      return reject("too_large", state.refusing)
    case "Cancel":
      return state.staleCancel
        ? [{ ...state, staleCancel: false }, none]
        : violation("Cancel without a request")
    case "IdleExpired":
      return leave(
        "read",
        `No request came (${event.setting ?? "idleTimeout"})`,
        state.refusing ?? "shutting_down"
      )
    case "Drain":
    case "DrainExpired":
      return drained(state.refusing ?? "shutting_down")
    default:
      return [state, none]
  }
}

/** Rejects a request without an engine. */
const reject = (code: LocalCode, refusing: LocalCode | undefined): Step => [
  { _tag: "Replying", reply: { type: "Reject", code }, refusing },
  refuse
]

const inFlight = (): Step => violation("Request while another is in flight")

/** The step while a query runs. */
const running = (state: In<"Initialising" | "Responding">, event: Rest): Step => {
  const isAccepted = state._tag === "Responding"
  switch (event._tag) {
    case "Request":
    case "TooLarge":
      return inFlight()
    case "Cancel":
      return stop(acknowledged, state.refusing)
    case "AcceptBegun":
      return state.refusing === undefined
        ? accepted
        : [{ _tag: "Responding", refusing: state.refusing }, none]
    case "CommitBegun":
      if (!isAccepted) return [state, none]
      return state.refusing === undefined
        ? committing
        : [{ _tag: "Committing", crossed: false, refusing: state.refusing }, none]
    case "QueryEnded":
      if (state.refusing === undefined) return isAccepted ? endingAccepted : ending
      return [{ _tag: "Ending", accepted: isAccepted, refusing: state.refusing }, write]
    case "InitFailed":
      return close("init", event.detail)
    case "QueryExpired":
      return stop(failing(isAccepted, "timeout"), state.refusing)
    case "Drain":
      return [{ ...state, refusing: "shutting_down" }, none]
    case "DrainExpired":
      return stop(failing(isAccepted, "shutting_down"), "shutting_down")
    default:
      return [state, none]
  }
}

/** An error after the accept, a reject before it. */
const failing = (isAccepted: boolean, code: LocalCode): LocalReply => ({
  type: isAccepted ? "Error" : "Reject",
  code
})

const stop = (reply: LocalReply, refusing: LocalCode | undefined): Step => [
  { _tag: "Stopping", reply, refusing },
  stopQuery
]

/** The query has ended by itself: a reply that replaces the rest of its response need not wait for it. */
const finishing = (state: In<"Ending">, event: Rest): Step => {
  const { refusing } = state
  switch (event._tag) {
    case "Request":
    case "TooLarge":
      return inFlight()
    case "Cancel":
      return [{ _tag: "Replying", reply: acknowledged, refusing }, write]
    case "AcceptBegun":
      return [{ ...state, accepted: true }, none]
    case "TerminalBegun":
      return responded(refusing, readyAfterResponse)
    case "QueryExpired":
      return [{ _tag: "Replying", reply: failing(state.accepted, "timeout"), refusing }, write]
    case "Drain":
      return [{ ...state, refusing: "shutting_down" }, none]
    case "DrainExpired":
      return [
        {
          _tag: "Replying",
          reply: failing(state.accepted, "shutting_down"),
          refusing: "shutting_down"
        },
        write
      ]
    default:
      return [state, none]
  }
}

/** The outcome is fixed: neither a cancel nor a limit changes the message that ends the response. */
const standing = (state: In<"Committing">, event: Rest): Step => {
  switch (event._tag) {
    case "Request":
    case "TooLarge":
      return inFlight()
    case "Cancel":
      return state.crossed
        ? violation("Cancel while a query that was cancelled commits")
        : [{ ...state, crossed: true }, none]
    case "QueryEnded":
      return [state, write]
    case "TerminalBegun":
      return responded(state.refusing, state.crossed ? readyAfterCancel : readyAfterResponse)
    case "Drain":
    case "DrainExpired":
      return [{ ...state, refusing: "shutting_down" }, none]
    default:
      return [state, none]
  }
}

const stopping = (state: In<"Stopping">, event: Rest): Step => {
  switch (event._tag) {
    case "QueryEnded":
    case "InitFailed":
      return [{ _tag: "Replying", reply: state.reply, refusing: state.refusing }, write]
    default:
      return awaitingReply(state, event)
  }
}

const replying = (state: In<"Replying">, event: Rest): Step => {
  if (event._tag !== "TerminalBegun") return awaitingReply(state, event)
  const { refusing, reply } = state
  if (refusing !== undefined && isTold(reply)) return close("drain", drainDetail(refusing), flush)
  return responded(refusing, isTold(reply) ? readyAfterResponse : readyAfterCancel)
}

const awaitingReply = (state: In<"Stopping" | "Replying">, event: Rest): Step => {
  const cancelling = state.reply.type === "CancelAcknowledged"
  switch (event._tag) {
    case "Request":
    case "TooLarge":
      return cancelling ? violation("Request before the cancel was acknowledged") : inFlight()
    case "Cancel":
      // The last message of the response has not begun to be written, so the client's cancel determines which
      // one it is.
      return cancelling
        ? violation("Cancel while one is being acknowledged")
        : [{ ...state, reply: acknowledged }, none]
    case "Drain":
    case "DrainExpired":
      return [{ ...state, refusing: "shutting_down" }, none]
    default:
      return [state, none]
  }
}

/**
 * The messages to write next, and the state from then on.
 *
 * @category models
 * @since 0.1.0
 */
export type Taken = readonly [State, ReadonlyArray<Message.Message>]

const nothing: ReadonlyArray<Message.Message> = []
const acceptBegun: Event = { _tag: "AcceptBegun" }
const terminalBegun: Event = { _tag: "TerminalBegun" }

/**
 * Takes the messages of one write: as much of the query's response as is available and fits, or a local
 * reply.
 *
 * **Details**
 *
 * `response` belongs to the query that runs or has ended. `encode` makes the body of a local reply, with
 * `closing` if the connection closes after it. `written` is the number of bytes that the connection has
 * written before.
 *
 * @category transitions
 * @since 0.1.0
 */
export const take = (
  state: State,
  response: Response,
  written: number,
  encode: (code: LocalCode, closing: boolean) => Uint8Array
): Taken => {
  switch (state._tag) {
    case "Initialising":
    case "Responding":
    case "Committing":
    case "Ending": {
      const messages = response.take(written)
      const begun = messages[0]?.type === Message.Type.Accept ? step(state, acceptBegun)[0] : state
      return [response.done ? step(begun, terminalBegun)[0] : begun, messages]
    }
    case "Replying": {
      const { reply } = state
      const message =
        reply.type === "CancelAcknowledged"
          ? Message.make(Message.Type.CancelAcknowledged)
          : Message.make(Message.Type[reply.type], encode(reply.code, state.refusing !== undefined))
      return [step(state, terminalBegun)[0], [message]]
    }
    default:
      return [state, nothing]
  }
}

/**
 * Whether `take` would return messages.
 *
 * @category predicates
 * @since 0.1.0
 */
export const hasMore = (state: State, response: Response): boolean => {
  switch (state._tag) {
    case "Initialising":
    case "Responding":
    case "Committing":
    case "Ending":
      return response.hasMore
    case "Replying":
      return true
    default:
      return false
  }
}
