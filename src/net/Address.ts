/**
 * The address where a server listens and a client connects: a TCP host and port, or the path of a Unix
 * socket.
 */
import { Buffer } from "node:buffer"
import { isIPv6 } from "node:net"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Limit from "../settings/Limit.ts"

/**
 * The default port.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultPort = 11653

/**
 * An address.
 *
 * @category models
 * @since 0.1.0
 */
export type Address =
  | { readonly _tag: "Tcp"; readonly host: string; readonly port: number }
  | { readonly _tag: "Unix"; readonly path: string }

/**
 * A TCP address.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tcp = (host: string, port: number = defaultPort): Address => ({ _tag: "Tcp", host, port })

/**
 * The address of a Unix socket.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unix = (path: string): Address => ({ _tag: "Unix", path })

/**
 * The forms of an address, for help.
 *
 * @category constants
 * @since 0.1.0
 */
export const forms = "HOST:PORT, [IPv6]:PORT, dataconn://HOST:PORT, unix:PATH or a path"

/**
 * The text is not an address.
 *
 * @category errors
 * @since 0.1.0
 */
export class AddressError extends Schema.TaggedError<AddressError>()("AddressError", {
  text: Schema.String,
  problem: Schema.String,
  /** The setting that has the text, if it is one of several. */
  setting: Schema.optional(Schema.String)
}) {
  override get message() {
    return `${this.setting === undefined ? "" : `${this.setting}: `}"${this.text}" is no address: ${this.problem} (expected ${forms})`
  }
}

const tcpPattern = /^(?:\[([^[\]\s]+)\]|([^:[\]\s/]+))(?::([^:]*))?$/

// The size of the kernel's sockaddr_un, less its terminator.
const maxPathBytes = 107

/**
 * Parses `HOST:PORT`, `HOST`, `[IPv6]:PORT`, `dataconn://HOST:PORT`, `unix:PATH`, or a path, which contains a
 * slash.
 *
 * **Details**
 *
 * Port 0 lets the system choose a port to listen on. A host without a port has {@link defaultPort}.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Address, AddressError> =>
  Result.mapError(read(text), (problem) => new AddressError({ text, problem }))

type Read = Result.Result<Address, string>

const read = (text: string): Read => {
  const [, scheme, rest = ""] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? []
  switch (scheme?.toLowerCase()) {
    case "dataconn":
      return readTcp(rest.replace(/\/$/, ""))
    case "unix":
      return readPath(rest)
    case undefined:
      if (text.startsWith("unix:")) return readPath(text.slice("unix:".length))
      return text.includes("/") ? readPath(text) : readTcp(text)
    default:
      return Result.fail(`${scheme}:// is not spoken here`)
  }
}

const readPath = (path: string): Read => {
  if (path === "") return Result.fail("the path is empty")
  return Buffer.byteLength(path) > maxPathBytes
    ? Result.fail(`the path of a Unix socket may have at most ${maxPathBytes} bytes`)
    : Result.succeed(unix(path))
}

const readTcp = (text: string): Read => {
  if (text.includes(",")) return Result.fail("it has a comma, and one address is meant")
  const match = tcpPattern.exec(text)
  if (match === null) {
    const colons = text.split(":").length - 1
    return Result.fail(
      colons > 1 && !text.includes("[") ? "an IPv6 address stands in brackets" : "it has no host"
    )
  }
  const [, v6, name, digits] = match
  if (v6 !== undefined && !isIPv6(v6)) return Result.fail("only an IPv6 address stands in brackets")
  if (digits !== undefined && !/^\d+$/.test(digits)) return Result.fail("the port is not a number")
  const port = digits === undefined ? defaultPort : Number(digits)
  if (!isPort(port)) return Result.fail("the port is above 65535")
  return Result.succeed(tcp(v6 ?? name ?? "", port))
}

/**
 * An address, or the text of one.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Address | string

/**
 * The error of parsing an {@link Input}: only text can fail.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorOf<A extends Input> = A extends string ? AddressError : never

/**
 * The address of an {@link Input}. The error names the setting that has it, if `setting` is given. Throws a
 * `RangeError` for other values.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromInput = <A extends Input>(
  input: A,
  setting?: string
): Result.Result<Address, ErrorOf<A>> => {
  const address =
    typeof input === "string"
      ? Result.mapError(read(input), (problem) => new AddressError({ text: input, problem, setting }))
      : isAddress(input)
        ? Result.succeed<Address>(input)
        : Limit.fail(setting ?? "The address", `${forms}, or an Address`, input)
  return address as Result.Result<Address, ErrorOf<A>>
}

const isAddress = (given: Address): boolean => {
  switch (given?._tag) {
    case "Tcp":
      return typeof given.host === "string" && Number.isInteger(given.port) && isPort(given.port)
    case "Unix":
      return typeof given.path === "string" && given.path !== ""
    default:
      return false
  }
}

const isPort = (port: number): boolean => port >= 0 && port <= 65535

/**
 * The text of an address, as {@link parse} reads it.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (address: Address): string =>
  address._tag === "Unix" ? `unix:${address.path}` : formatTcp(address.host, address.port)

/**
 * `HOST:PORT`, with brackets around an IPv6 host.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatTcp = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/**
 * Whether the address is reachable from this machine only: a Unix socket, or a loopback host.
 *
 * @category models
 * @since 0.1.0
 */
export const isLocal = (address: Address): boolean =>
  address._tag !== "Tcp" ||
  /^(localhost|127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/i.test(address.host)

/**
 * An address as text, for settings.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AddressFromString: Schema.Codec<string, string> = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const parsed = parse(text)
    return Result.isFailure(parsed) ? parsed.failure.message : undefined
  })
)
