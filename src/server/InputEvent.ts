/**
 * The events of the pure machine that come from a connection's input.
 */
import * as Cause from "effect/Cause"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Message from "../protocol/Message.ts"
import type * as Machine from "../protocol/ServerMachine.ts"

const cancel: Machine.Event = { _tag: "Cancel" }

/** The event of a message that is no request. */
export const eventOf = ({ type }: Message.Message): Machine.Event =>
  type === Message.Type.Cancel
    ? cancel
    : { _tag: "Unexpected", detail: `${Message.name(type)} from a client` }

/** The event of an input that can be read no further. */
export const inputEnd = (
  cause: Cause.Cause<FramedConnection.ReadError<Message.FrameError>>
): Machine.Event => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "RunFailed", detail: String(Cause.squash(cause)) }
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
