/**
 * The responses of a pool whose readers do not read: they leave room for other requests, and the one that was not read
 * for longest has to end where that is not enough. Decides only; `ClientPool` acts.
 */

/** A connection whose response may wait for its reader. */
export interface Stallable {
  /** Since when the response in flight has been waiting for its reader, if it is. In milliseconds of the timers. */
  readonly pausedAt: number | undefined
  /** It is to end, for the sake of others. Whether it will. */
  readonly evict: () => boolean
}

export interface Options {
  /** How long a response counts that waits for its reader. */
  readonly stallMillis: number
  /** How many do not count at a time. */
  readonly maxStalled: number
}

export class Stalls<C extends Stallable> {
  private readonly options: Options
  private readonly connections: () => Iterable<C>
  /** Those that do not count, until their responses have ended: a reader that goes on is not held up by others. */
  private readonly stalled = new Set<C>()
  /** Those of them that have been told to end. */
  private readonly evicted = new Set<C>()

  constructor(options: Options, connections: () => Iterable<C>) {
    this.options = options
    this.connections = connections
  }

  /** How many do not count. */
  get size(): number {
    return this.stalled.size
  }

  private get isOff(): boolean {
    return this.options.maxStalled === 0 || this.options.stallMillis === Number.POSITIVE_INFINITY
  }

  /** Whether it waits for its reader for too long. */
  private isStalled({ pausedAt }: C, now: number): boolean {
    return pausedAt !== undefined && pausedAt + this.options.stallMillis <= now
  }

  /** Those that count although their readers do not read. */
  private counted(now: number): ReadonlyArray<C> {
    return Array.from(this.connections()).filter(
      (connection) => !this.stalled.has(connection) && this.isStalled(connection, now)
    )
  }

  /** Looks for stalled ones, which do not count from now on if there is room. */
  look(now: number): void {
    if (this.isOff) return
    for (const connection of this.connections()) {
      if (this.stalled.size >= this.options.maxStalled) return
      if (this.isStalled(connection, now)) this.stalled.add(connection)
    }
  }

  /**
   * Ends one for each that counts although it is stalled, and for each request that waits, at most: those that have not
   * been read for longest. Returns when there may be more to do.
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

  /** When the next one may be stalled. */
  private nextLook(now: number): number {
    let since = now
    for (const connection of this.connections()) {
      const { pausedAt } = connection
      if (pausedAt === undefined || this.stalled.has(connection) || this.isStalled(connection, now)) continue
      since = Math.min(since, pausedAt)
    }
    return since + this.options.stallMillis
  }

  /** Its response has ended. Whether it did not count. */
  ended(connection: C): boolean {
    this.evicted.delete(connection)
    return this.stalled.delete(connection)
  }
}
