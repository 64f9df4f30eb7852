/** Events of a connection for its `ServerMachine`. */
import * as Cause from "effect/Cause"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import * as Message from "../protocol/Message.ts"
import type { Event } from "../protocol/ServerMachine.ts"
import * as RequestQuota from "./RequestQuota.ts"

const request: Event = { _tag: "Request" }
const tooLarge: Event = { _tag: "TooLarge" }
const cancel: Event = { _tag: "Cancel" }

/** A message arrived. */
export const ofMessage = ({ skipped, type }: Message.Message): Event => {
  switch (type) {
    case Message.Type.Request:
      return skipped === undefined ? request : tooLarge
    case Message.Type.Cancel:
      return cancel
    default:
      return { _tag: "Unexpected", detail: `${Message.name(type)} from a client` }
  }
}

/** The reason why reading ended. */
export type InputEnd = FramedConnection.ReadError<Message.FrameError> | Cause.Done

/** The input has ended. An end inside a message is a failed read. */
export const ofInput = (cause: Cause.Cause<InputEnd>, quota: RequestQuota.Quota): Event => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "RunFailed", detail: String(Cause.squash(cause)) }
  switch (error.value._tag) {
    case "Done":
      return { _tag: "PeerClosed" }
    case "FrameTimeout":
      return { _tag: "RequestExpired" }
    case "BufferLimit":
      return { _tag: "ReadFailed", detail: RequestQuota.exceeded(quota) }
    case "SocketError":
      return { _tag: "ReadFailed", detail: FramedConnection.describe(error.value) }
    case "FrameError":
      return error.value.reason._tag === "EndInsideFrame"
        ? { _tag: "ReadFailed", detail: error.value.message }
        : { _tag: "Malformed", detail: error.value.message }
  }
}

/** A write failed, or its messages could not be encoded; `undefined` if it ended only with its connection. */
export const ofWrite = (cause: Cause.Cause<Writer.Failure>): Event | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some"
    ? { _tag: "WriteFailed", detail: Writer.describe(error.value, "writeTimeout") }
    : { _tag: "RunFailed", detail: String(Cause.squash(cause)) }
}

/** The control ended outside its machine: it was interrupted or failed. */
export const ofEnd = (cause: Cause.Cause<unknown>): Event =>
  Cause.hasInterruptsOnly(cause)
    ? { _tag: "Stopped" }
    : { _tag: "RunFailed", detail: String(Cause.squash(cause)) }
