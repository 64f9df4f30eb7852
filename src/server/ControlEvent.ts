/**
 * What happens to a connection, as events of the pure `ServerMachine`.
 */
import * as Cause from "effect/Cause"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import * as Message from "../protocol/Message.ts"
import type * as Machine from "../protocol/ServerMachine.ts"

export const request: Machine.Event = { _tag: "Request" }
export const tooLarge: Machine.Event = { _tag: "TooLarge" }
const cancel: Machine.Event = { _tag: "Cancel" }
export const queryEnded: Machine.Event = { _tag: "QueryEnded" }

/** A message that is no request. */
export const ofMessage = ({ type }: Message.Message): Machine.Event =>
  type === Message.Type.Cancel
    ? cancel
    : { _tag: "Unexpected", detail: `${Message.name(type)} from a client` }

/** Nothing more can be read. */
export const inputEnd = (
  cause: Cause.Cause<FramedConnection.ReadError<Message.FrameError>>
): Machine.Event => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return runFailed(cause)
  switch (error.value._tag) {
    case "FrameTimeout":
      return { _tag: "RequestExpired" }
    case "SocketError":
      return { _tag: "ReadFailed", detail: FramedConnection.describe(error.value) }
    case "FrameError":
      return error.value.reason._tag === "EndInsideFrame"
        ? { _tag: "ReadFailed", detail: error.value.message }
        : { _tag: "Malformed", detail: error.value.message }
  }
}

/** A write failed, or what was to be written could not be made. */
export const writeFailed = (cause: Cause.Cause<Writer.Failure>): Machine.Event => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some"
    ? { _tag: "WriteFailed", detail: Writer.describe(error.value) }
    : runFailed(cause)
}

/** The connection was interrupted. */
export const stopped: Machine.Event = { _tag: "Stopped" }

/** The server broke. */
export const runFailed = (cause: Cause.Cause<unknown>): Machine.Event => ({
  _tag: "RunFailed",
  detail: String(Cause.squash(cause))
})
