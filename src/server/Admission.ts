/** Admission of connections: counts them, in total and by address, and decides about the next one. */
import * as RemoteAddress from "../net/RemoteAddress.ts"

export interface Limits {
  /** Connections at a time. */
  readonly maxConnections: number
  /** Connections at a time from one address; `Infinity`, the default, is no limit. */
  readonly maxConnectionsPerAddress?: number | undefined
  /**
   * Connections beyond the limits whose first request is answered, at a time. More are rejected at once and
   * closed.
   */
  readonly maxRefusals: number
}

/** A connection is served, or refused: a refused one is admitted only to reject its request. */
export type Place = "served" | "refused"

export class Admission {
  private limits: Limits
  private readonly taken: Record<Place, number> = { served: 0, refused: 0 }
  /** The number of served connections for each address that has any. */
  private readonly counts = new Map<string, number>()
  /** Whose admission has ended. */
  private closed: "nobody" | "clients" | "everybody" = "nobody"

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** Whether admission has ended for this address. */
  isClosed(address = ""): boolean {
    return this.closed === "clients" ? address !== RemoteAddress.internal : this.closed === "everybody"
  }

  /** The setting that keeps another connection of an address out, if any. */
  limit(address = ""): "maxConnections" | "maxConnectionsPerAddress" | undefined {
    const { maxConnections, maxConnectionsPerAddress = Number.POSITIVE_INFINITY } = this.limits
    if (address !== RemoteAddress.internal && (this.counts.get(address) ?? 0) >= maxConnectionsPerAddress) {
      return "maxConnectionsPerAddress"
    }
    return this.taken.served >= maxConnections ? "maxConnections" : undefined
  }

  /** Assigns a place to the next connection; without one it is dropped. */
  enter(address = ""): Place | undefined {
    if (this.isClosed(address)) return undefined
    const place = this.limit(address) === undefined ? "served" : "refused"
    if (place === "refused" && this.taken.refused >= this.limits.maxRefusals) return undefined
    this.taken[place]++
    if (place === "served") this.count(address, 1)
    return place
  }

  /** Frees the place of a connection that has ended. */
  leave(place: Place, address = ""): void {
    this.taken[place]--
    if (place === "served") this.count(address, -1)
  }

  /** Changes the limits. Connections beyond them stay. */
  reload(limits: Limits): void {
    this.limits = limits
  }

  /** Ends admission, also for connections within the process. */
  close(): void {
    this.closed = "everybody"
  }

  /** Ends admission, except for connections within the process. */
  closeToClients(): void {
    if (this.closed === "nobody") this.closed = "clients"
  }

  private count(address: string, by: number): void {
    const count = (this.counts.get(address) ?? 0) + by
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
  }
}
