/**
 * The server that a command connects to: `--server`, else `DATACONN_SERVER`, else the default
 * on this machine.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Address from "../net/Address.ts"

/** The variable that names the server. */
export const variable = "DATACONN_SERVER"

/** The default server of a command. */
export const fallback = `127.0.0.1:${Address.defaultPort}`

/** The variable contains no address. */
export class ServerVariableError extends Schema.TaggedError<ServerVariableError>()("ServerVariableError", {
  problem: Schema.String
}) {
  override get message() {
    return `${variable}: ${this.problem}`
  }
}

/** The address of the flag, or else of the variable. */
export const resolve = (
  flag: Option.Option<Address.Address>
): Effect.Effect<Address.Address, ServerVariableError> => {
  if (Option.isSome(flag)) return Effect.succeed(flag.value)
  return Effect.fromResult(
    Result.mapError(
      Address.parse(process.env[variable] || fallback),
      ({ message }) => new ServerVariableError({ problem: message })
    )
  )
}
