/**
 * The origins of web pages that may use the gateway: protects users with a browser on a host that can reach
 * it. Pure.
 */
import { isIP } from "node:net"

/** Names as they are in headers, or `*` for all. */
export type Names = ReadonlySet<string> | "*"

/** Parses names separated by commas, or `*`; `undefined` if one of them is invalid. */
const read = (text: string, nameOf: (name: string) => string | undefined): Names | undefined => {
  const all = text.split(",").map((name) => name.trim().toLowerCase())
  if (all.includes("*")) return "*"
  const names = all.map(nameOf).filter((name) => name !== undefined)
  return names.length === all.length ? new Set(names) : undefined
}

/** An origin as browsers send it, without a trailing slash or the default port of its scheme. */
const originOf = (text: string): string | undefined => {
  const origin = text.replace(/\/$/, "")
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+$/.test(origin) || !URL.canParse(origin)) return undefined
  // Apps and extensions have schemes of their own, for which a URL has no origin.
  return /^https?:/.test(origin) ? new URL(origin).origin : origin
}

const hostNameOf = (text: string): string | undefined =>
  /^[^\s/?#@*\\:%]+$/.test(text) && URL.canParse(`http://${text}`)
    ? new URL(`http://${text}`).hostname
    : undefined

/** Origins of pages; `undefined` if the text does not match {@link originsForm}. */
export const origins = (text: string): Names | undefined => read(text, originOf)

export const originsForm =
  "origins such as https://app.example.com or http://localhost:3000, with commas between them, or *"

/** Names of hosts; `undefined` if the text does not match {@link hostsForm}. */
export const hosts = (text: string): Names | undefined => read(text, hostNameOf)

export const hostsForm =
  "names of hosts such as gateway.example.com, without a port and with commas between them, or *"

/** No names. */
export const none: Names = new Set()

const hasName = (names: Names, name: string): boolean => names === "*" || names.has(name)

/** The host of a `Host` header, without its port. */
const hostOf = (header: string): string =>
  header
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase()

/**
 * Whether a request names the gateway by one of its own names. A page can make its own domain name resolve to
 * any address, and then has the same origin; it cannot do so with an address or `localhost`.
 */
export const isOwnHost = (header: string | undefined, hosts: Names): boolean => {
  if (header === undefined) return true
  const host = hostOf(header)
  return isIP(host) !== 0 || host === "localhost" || host.endsWith(".localhost") || hasName(hosts, host)
}

type Headers = Readonly<Record<string, string | undefined>>

/** The page's origin; links and images have no `Origin`. */
const pageOf = ({ origin, referer }: Headers): string | undefined =>
  (origin ?? /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(referer ?? "")?.[0])?.toLowerCase()

/**
 * The foreign page that a request comes from, if it may not use the gateway. A browser's request is run
 * whether or not the page may read the answer, so CORS protects nothing here, and it does not apply to
 * WebSockets. A gateway without TLS may be behind a proxy that has it.
 */
export const stranger = (headers: Headers, origins: Names, isSecure: boolean): string | undefined => {
  const site = headers["sec-fetch-site"]
  // No page can set this header, and a proxy may have changed the host.
  if (site === "same-origin") return undefined
  const page = pageOf(headers)
  if (page === undefined) {
    return site === undefined || site === "none" || origins === "*" ? undefined : "another site"
  }
  if (hasName(origins, page)) return undefined
  const isOwn = page.replace(isSecure ? "https://" : /^https?:\/\//, "") === headers["host"]?.toLowerCase()
  return isOwn && (site === undefined || site === "none") ? undefined : page
}
