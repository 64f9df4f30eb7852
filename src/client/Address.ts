/**
 * Where a server listens and a client connects, as one text: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** A TCP address, or the path of a Unix socket. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** The port of a text that names none. */
export const defaultPort = 11653

/** The text is no address. `setting` is the flag or variable that it was given in. */
export class InvalidAddress extends Schema.TaggedError<InvalidAddress>()("InvalidAddress", {
  text: Schema.String,
  setting: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.setting}: "${this.text}" is no address (${this.detail}): use ${syntax}`
  }
}

/** What an address looks like, for messages. */
export const syntax = "HOST:PORT, [IPV6]:PORT or unix:PATH"

const unixPrefix = "unix:"

/**
 * Parses an address; `setting` is what a failure names as the place to correct.
 *
 * **Details**
 *
 * A missing port is {@link defaultPort}. Port 0 is an address too: a server listens on any free port.
 */
export const parse = (text: string, setting: string): Result.Result<Address, InvalidAddress> => {
  const invalid = (detail: string) => Result.fail(new InvalidAddress({ text, setting, detail }))
  if (text.startsWith(unixPrefix)) {
    const path = text.slice(unixPrefix.length)
    return path === "" ? invalid("the path is missing") : Result.succeed({ path })
  }
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text)
  if (bracketed === null && text.indexOf(":") !== text.lastIndexOf(":")) {
    return invalid("an IPv6 address needs brackets")
  }
  const [host, port] = bracketed === null ? text.split(":") : [bracketed[1], bracketed[2]]
  if (host === undefined || host === "" || /[\s/[\]]/.test(host))
    return invalid("the host is missing or wrong")
  if (port === undefined) return Result.succeed({ host, port: defaultPort })
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) return invalid("the port is no number from 0 to 65535")
  return Result.succeed({ host, port: Number(port) })
}

/** The address as the text that {@link parse} takes. */
export const format = (address: Address): string => {
  if ("path" in address) return `${unixPrefix}${address.path}`
  const host = address.host.includes(":") ? `[${address.host}]` : address.host
  return `${host}:${address.port}`
}
