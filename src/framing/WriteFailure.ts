/** The reasons why a write fails, and their texts. */
import * as Schema from "effect/Schema"
import type * as Socket from "effect/socket/Socket"

const silence = (millis: number, setting: string): string =>
  `Peer accepted no data for ${millis} ms (${setting})`

/**
 * The peer took no byte for `writeTimeoutMillis`; the socket has been destroyed.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteTimeout extends Schema.TaggedError<WriteTimeout>()("WriteTimeout", {
  writeTimeoutMillis: Schema.Finite
}) {
  override get message() {
    return silence(this.writeTimeoutMillis, "writeTimeoutMillis")
  }
}

/**
 * The reason why a write failed. The connection is unusable afterwards.
 *
 * @category errors
 * @since 0.1.0
 */
export type Failure = Socket.SocketError | WriteTimeout

/**
 * The text of a failure, from the system where it has one. `setting` is the name of the limit of a write.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (error: Failure, setting = "writeTimeoutMillis"): string => {
  if (error._tag === "WriteTimeout") return silence(error.writeTimeoutMillis, setting)
  const { reason } = error
  if (reason._tag === "SocketCloseError") return reason.code === 1000 ? "End of file" : "Connection closed"
  const cause = "cause" in reason ? reason.cause : undefined
  return cause instanceof Error ? firstMessage(cause) : reason.message
}

/** Connecting to a name with several addresses fails with an error for each and no message of its own. */
const firstMessage = (error: Error): string => {
  if (error.message !== "" || !(error instanceof AggregateError)) return error.message
  const messages = error.errors.map((each) => (each instanceof Error ? each.message : String(each)))
  return messages.join("; ")
}
