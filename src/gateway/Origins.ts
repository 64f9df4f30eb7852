/**
 * From where web pages may use the gateway: protects those who have a browser open beside it. Pure.
 */
import { isIP } from "node:net"

/** Names as they are in headers, or all of them. */
export type Names = ReadonlySet<string> | "*"

/** Reads names with commas between them, or `*`; `undefined` if one of them is none. */
const read = (text: string, nameOf: (name: string) => string | undefined): Names | undefined => {
  const all = text.split(",").map((name) => name.trim().toLowerCase())
  if (all.includes("*")) return "*"
  const names = all.map(nameOf).filter((name) => name !== undefined)
  return names.length === all.length ? new Set(names) : undefined
}

/** An origin as browsers send it, without a slash at its end or the port of its scheme. */
const originOf = (text: string): string | undefined => {
  const origin = text.replace(/\/$/, "")
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+$/.test(origin) || !URL.canParse(origin)) return undefined
  // Those of apps and extensions have a scheme of their own, which a URL gives no origin.
  return /^https?:/.test(origin) ? new URL(origin).origin : origin
}

const hostNameOf = (text: string): string | undefined =>
  /^[^\s/?#@*\\:%]+$/.test(text) && URL.canParse(`http://${text}`)
    ? new URL(`http://${text}`).hostname
    : undefined

/** Origins of pages; `undefined` if the text is no {@link originsForm}. */
export const origins = (text: string): Names | undefined => read(text, originOf)

export const originsForm =
  "origins such as https://app.example.com or http://localhost:3000, with commas between them, or *"

/** Names of hosts; `undefined` if the text is no {@link hostsForm}. */
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
 * Whether a request calls the gateway by a name that is its own. A page can make a name of its own lead to any address,
 * and is then of the same origin; it cannot do so with an address or `localhost`.
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
 * The page of another origin that a request comes from and that may not use the gateway. What a browser sends is run
 * whether or not the page may read the answer, so that CORS protects from nothing here, and WebSockets are beyond it.
 * A gateway without TLS may stand behind a proxy that has it.
 */
export const stranger = (headers: Headers, origins: Names, isSecure: boolean): string | undefined => {
  const site = headers["sec-fetch-site"]
  // No page can say so of itself, and a proxy may have changed the host.
  if (site === "same-origin") return undefined
  const page = pageOf(headers)
  if (page === undefined) {
    return site === undefined || site === "none" || origins === "*" ? undefined : "another site"
  }
  if (hasName(origins, page)) return undefined
  const isOwn = page.replace(isSecure ? "https://" : /^https?:\/\//, "") === headers["host"]?.toLowerCase()
  return isOwn && (site === undefined || site === "none") ? undefined : page
}
