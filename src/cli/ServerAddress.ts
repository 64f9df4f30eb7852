/**
 * The server that a command talks to: `--server`, else `DATACONN_SERVER`, else the one of this machine.
 */
import { resolve as resolvePath } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Address from "../net/Address.ts"

/** The variable that names the server. */
export const variable = "DATACONN_SERVER"

/** The server of a command that is told none. */
export const fallback = `127.0.0.1:${Address.defaultPort}`

/** The forms of an address, for help. */
export const forms = "HOST:PORT, [IPv6]:PORT, dataconn://HOST:PORT, unix:PATH or a path"

/** The variable names no address. */
export class ServerVariableError extends Schema.TaggedError<ServerVariableError>()("ServerVariableError", {
  problem: Schema.String
}) {
  override get message() {
    return `${variable}: ${this.problem}`
  }
}

/** Reads an address as a user writes it: what `Address.parse` takes, a URL, or the path of a Unix socket. */
export const parse = (text: string): Result.Result<Address.Address, Address.AddressError> => {
  const [, scheme, rest = ""] = /^(dataconn|unix):\/\/(.*)$/s.exec(text) ?? []
  if (scheme === "unix") return Address.parse(`unix:${rest}`)
  if (scheme === "dataconn") return Address.parse(rest.replace(/\/$/, ""))
  const [, other] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? []
  if (other !== undefined) {
    return Result.fail(
      new Address.AddressError({ text, problem: `${other}:// is not spoken here, dataconn:// is` })
    )
  }
  const isPath = !text.startsWith("unix:") && text.includes("/")
  return Address.parse(isPath ? `unix:${resolvePath(text)}` : text)
}

/** The address that the flag gives, or else the variable. */
export const resolve = (
  flag: Option.Option<Address.Address>
): Effect.Effect<Address.Address, ServerVariableError> => {
  if (Option.isSome(flag)) return Effect.succeed(flag.value)
  return Effect.fromResult(
    Result.mapError(
      parse(process.env[variable] || fallback),
      ({ message }) => new ServerVariableError({ problem: message })
    )
  )
}
