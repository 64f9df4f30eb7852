/**
 * From where web pages may use the gateway: protects those who have a browser open beside it. Pure.
 */
import { isIP } from "node:net"

/** Names with commas between them, or all of them. */
export type Names = ReadonlySet<string> | "*"

export const names = (text: string | undefined): Names => {
  const all = (text ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "")
  return all.includes("*") ? "*" : new Set(all)
}

const hasName = (names: Names, name: string): boolean => names === "*" || names.has(name)

/** The host of a `Host` header, without its port. */
const hostOf = (header: string): string =>
  header
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase()

/**
 * Whether a request calls the gateway by a name that is its own. A page can make a name of its own lead to any address,
 * and is then of the same origin; it cannot do so with an address or `localhost`.
 */
export const isOwnHost = (header: string | undefined, hosts: Names): boolean => {
  if (header === undefined) return true
  const host = hostOf(header)
  return isIP(host) !== 0 || host === "localhost" || host.endsWith(".localhost") || hasName(hosts, host)
}

/** Whether a page may open a WebSocket, to which the rules of CORS do not apply. */
export const mayOpen = (
  { host, origin }: { readonly host: string | undefined; readonly origin: string | undefined },
  origins: Names
): boolean => {
  if (origin === undefined || hasName(origins, origin.toLowerCase())) return true
  return host !== undefined && origin.replace(/^https?:\/\//, "").toLowerCase() === host.toLowerCase()
}
