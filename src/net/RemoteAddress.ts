/**
 * The address under which a connection counts in the limits per address and in the order of waiting queries.
 */
import * as Net from "node:net"

/** All connections of Unix sockets count as one address. */
export const unix = "unix"

/** Connections within the process, which count for no address: their makers have limits of their own. */
export const internal = "internal"

/** A connection whose peer closed before its address was read. */
const unknown = "unknown"

/** The eight groups of an IPv6 address; `::` stands for the missing ones. */
const groups = (address: string): ReadonlyArray<number> => {
  const read = (text: string) =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
  const [head = "", tail] = address.split("::")
  const first = read(head)
  if (tail === undefined) return first
  const last = read(tail)
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last]
}

/** `a.b.c.d` at the end of an IPv6 address, as two groups. */
const withoutDots = (address: string): string =>
  address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: ReadonlyArray<string>) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })

const v4 = (high: number, low: number): string => [high >> 8, high & 255, low >> 8, low & 255].join(".")

const isLinkLocal = (group = 0): boolean => (group & 0xffc0) === 0xfe80

/**
 * The address under which a TCP peer counts: the IPv4 address, also if it is mapped into IPv6, or the `/64`
 * network of an IPv6 address, the usual allocation of one host or site. Link-local addresses share a network,
 * so each counts by itself.
 */
export const of = (remoteAddress: string | undefined): string => {
  if (remoteAddress === undefined) return unknown
  const [address = ""] = remoteAddress.split("%")
  if (!Net.isIPv6(address)) return remoteAddress
  const all = groups(withoutDots(address))
  const [high = 0, low = 0] = all.slice(6)
  const isMapped = all.slice(0, 5).every((group) => group === 0) && all[5] === 0xffff
  if (isMapped) return v4(high, low)
  if (isLinkLocal(all[0])) return remoteAddress
  return `${all
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`
}
