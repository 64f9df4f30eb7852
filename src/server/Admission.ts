/**
 * Who is let in: counts the connections of a server, and says what becomes of the next one.
 */

export interface Limits {
  /** Connections at a time. */
  readonly maxConnections: number
  /** Connections beyond `maxConnections` that are told so at a time; more are dropped unheard. */
  readonly maxRefusals: number
}

/** A connection is served, or refused: it is let in to be told that there is no place for it. */
export type Place = "served" | "refused"

export class Admission {
  private readonly limits: Limits
  private readonly taken: Record<Place, number> = { served: 0, refused: 0 }
  private closed = false

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** Gives the next connection its place; without one it is dropped. */
  enter(): Place | undefined {
    if (this.closed) return undefined
    const place = this.taken.served < this.limits.maxConnections ? "served" : "refused"
    if (place === "refused" && this.taken.refused >= this.limits.maxRefusals) return undefined
    this.taken[place]++
    return place
  }

  /** A connection has ended, and its place is free. */
  leave(place: Place): void {
    this.taken[place]--
  }

  /** Lets nobody in any more. */
  close(): void {
    this.closed = true
  }
}
