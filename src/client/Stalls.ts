/**
 * The stalled responses of a pool, whose readers do not read. They make room for other requests, and if that
 * is not enough, the one that has not been read for longest must end. Decides only; `Pool` acts.
 */

/** A connection whose response may wait for its reader. */
export interface Stallable {
  /**
   * The time since which the response in flight has waited for its reader, if it does, in milliseconds of the
   * timers.
   */
  readonly pausedAt: number | undefined
  /** Asks the response to end for the sake of others. Returns whether it will. */
  readonly evict: () => boolean
}

export interface Options {
  /** How long a response counts while it waits for its reader. */
  readonly stallMillis: number
  /** The number of responses that may be excluded from the count. */
  readonly maxStalled: number
}

export class Stalls<C extends Stallable> {
  private readonly options: Options
  private readonly connections: () => Iterable<C>
  /** The excluded ones, until their responses have ended: a reader that resumes is not held up by others. */
  private readonly stalled = new Set<C>()
  /** The excluded ones that were asked to end. */
  private readonly evicted = new Set<C>()

  constructor(options: Options, connections: () => Iterable<C>) {
    this.options = options
    this.connections = connections
  }

  /** The number of excluded responses. */
  get size(): number {
    return this.stalled.size
  }

  private get isOff(): boolean {
    return this.options.maxStalled === 0 || this.options.stallMillis === Number.POSITIVE_INFINITY
  }

  /** Whether the response has waited for its reader for too long. */
  private isStalled({ pausedAt }: C, now: number): boolean {
    return pausedAt !== undefined && pausedAt + this.options.stallMillis <= now
  }

  /** The stalled ones that still count. */
  private counted(now: number): ReadonlyArray<C> {
    return Array.from(this.connections()).filter(
      (connection) => !this.stalled.has(connection) && this.isStalled(connection, now)
    )
  }

  /** Excludes stalled ones from the count, if there is room. */
  look(now: number): void {
    if (this.isOff) return
    for (const connection of this.connections()) {
      if (this.stalled.size >= this.options.maxStalled) return
      if (this.isStalled(connection, now)) this.stalled.add(connection)
    }
  }

  /**
   * Evicts the excluded ones that have not been read for longest: at most one for each stalled one that
   * counts, and for each waiting request. Returns the time of the next check.
   */
  evict(now: number, waiting: number): number {
    if (this.isOff) return Number.POSITIVE_INFINITY
    let left = Math.min(this.counted(now).length, waiting) - this.evicted.size
    const longest = Array.from(this.stalled)
      .filter((connection) => !this.evicted.has(connection) && this.isStalled(connection, now))
      .sort((a, b) => (a.pausedAt ?? now) - (b.pausedAt ?? now))
    for (const connection of longest) {
      if (left <= 0) break
      if (!connection.evict()) continue
      this.evicted.add(connection)
      left--
    }
    return this.nextLook(now)
  }

  /** The time at which the next one may be stalled. */
  private nextLook(now: number): number {
    let since = now
    for (const connection of this.connections()) {
      const { pausedAt } = connection
      if (pausedAt === undefined || this.stalled.has(connection) || this.isStalled(connection, now)) continue
      since = Math.min(since, pausedAt)
    }
    return since + this.options.stallMillis
  }

  /** The response has ended. Returns whether it was excluded. */
  ended(connection: C): boolean {
    this.evicted.delete(connection)
    return this.stalled.delete(connection)
  }
}
