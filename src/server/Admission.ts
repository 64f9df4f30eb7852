/**
 * Which connections are let in: counts them, in all and by address, and says what becomes of the next one.
 */
import * as RemoteAddress from "../net/RemoteAddress.ts"

export interface Limits {
  /** Connections at a time. */
  readonly maxConnections: number
  /** Connections at a time from one address; `Infinity`, the default, is no limit. */
  readonly maxConnectionsPerAddress?: number | undefined
  /** Connections beyond the limits that are heard at a time; more are told so at once, and closed. */
  readonly maxRefusals: number
}

/** A connection is served, or refused: it is let in to be told that there is no place for it. */
export type Place = "served" | "refused"

export class Admission {
  private limits: Limits
  private readonly taken: Record<Place, number> = { served: 0, refused: 0 }
  /** How many are served of each address that has any. */
  private readonly counts = new Map<string, number>()
  /** Whether none is let in any more. */
  isClosed = false

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** The setting that keeps another connection of an address out, if one does. */
  limit(address = ""): "maxConnections" | "maxConnectionsPerAddress" | undefined {
    const { maxConnections, maxConnectionsPerAddress = Number.POSITIVE_INFINITY } = this.limits
    if (address !== RemoteAddress.internal && (this.counts.get(address) ?? 0) >= maxConnectionsPerAddress) {
      return "maxConnectionsPerAddress"
    }
    return this.taken.served >= maxConnections ? "maxConnections" : undefined
  }

  /** Gives the next connection its place; without one it is dropped. */
  enter(address = ""): Place | undefined {
    if (this.isClosed) return undefined
    const place = this.limit(address) === undefined ? "served" : "refused"
    if (place === "refused" && this.taken.refused >= this.limits.maxRefusals) return undefined
    this.taken[place]++
    if (place === "served") this.count(address, 1)
    return place
  }

  /** A connection has ended, and its place is free. */
  leave(place: Place, address = ""): void {
    this.taken[place]--
    if (place === "served") this.count(address, -1)
  }

  /** Other limits from now on. Connections beyond them stay. */
  reload(limits: Limits): void {
    this.limits = limits
  }

  /** Lets no connection in any more. */
  close(): void {
    this.isClosed = true
  }

  private count(address: string, by: number): void {
    const count = (this.counts.get(address) ?? 0) + by
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
  }
}
