/** The events of the client's machine that end a connection, derived from the results of the socket. */
import * as Cause from "effect/Cause"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import type * as Machine from "../protocol/ClientMachine.ts"
import type * as Message from "../protocol/Message.ts"

export const ofWrite = (cause: Cause.Cause<Writer.Failure>): Machine.Event => {
  const error = Cause.findErrorOption(cause)
  const detail =
    error._tag === "Some" ? Writer.describe(error.value, "writeTimeout") : String(Cause.squash(cause))
  return { _tag: "WriteFailed", detail }
}

export const ofInput = (
  cause: Cause.Cause<FramedConnection.ReadError<Message.FrameError>>
): Machine.Event => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "ReadFailed", detail: String(Cause.squash(cause)) }
  const detail = FramedConnection.describe(error.value)
  return error.value._tag === "FrameError" && error.value.reason._tag !== "EndInsideFrame"
    ? { _tag: "Malformed", detail }
    : { _tag: "ReadFailed", detail }
}
