/**
 * Limits the number of queries that run at a time. A bounded number waits, with fair turns between addresses,
 * and further queries are rejected. A query that waits for its reader may give up its place meanwhile.
 */
import * as Context from "effect/Context"
import * as QueryApi from "../engine/QueryApi.ts"
import { QueryRejected } from "../engine/QueryEngine.ts"
import * as RemoteAddress from "../net/RemoteAddress.ts"
import * as Settings from "../settings/Limit.ts"
import { FairQueue } from "./FairQueue.ts"

/**
 * Limits of running and waiting queries.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** The number of queries that run at a time. */
  readonly maxConcurrentQueries: number
  /** The number of further queries that wait. */
  readonly maxQueuedQueries: number
  /** The number of running and waiting queries of one address; `Infinity`, the default, is no limit. */
  readonly maxQueriesPerAddress?: number | undefined
}

/** Throws a `RangeError` that names an invalid limit. A server's other settings may stand beside them. */
const check = ({ maxConcurrentQueries, maxQueriesPerAddress, maxQueuedQueries }: Options): void => {
  Settings.countOrInfinity("maxConcurrentQueries", maxConcurrentQueries)
  if (maxQueuedQueries !== 0) Settings.countOrInfinity("maxQueuedQueries", maxQueuedQueries)
  if (maxQueriesPerAddress !== undefined)
    Settings.countOrInfinity("maxQueriesPerAddress", maxQueriesPerAddress)
}

/** The most queries without a place, however many may wait: an engine needs room for all that have begun. */
const mostPaused = 256

/** The number of queries that may have begun and be without a place, because their clients do not read. */
const maxPaused = ({ maxQueuedQueries }: Options): number => Math.min(maxQueuedQueries, mostPaused)

/**
 * The number of queries that may be under way in an engine: those that run, and those without a place.
 *
 * @category settings
 * @since 0.1.0
 */
export const mostUnderWay = (options: Options): number => options.maxConcurrentQueries + maxPaused(options)

/**
 * The reason why there is no place for a query.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusal = "full" | "displaced" | "addressFull"

/**
 * A query that takes a place.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  /** Called when a place to run is free for this waiting query. */
  readonly call: () => void
  /**
   * Called when a query of an address with fewer waiting queries has replaced this one, whose place need not
   * be left any more.
   */
  readonly displaced: () => void
  /**
   * Called when the query must end, because its client does not read while others wait. It leaves once it has
   * ended.
   */
  readonly evicted: () => void
  /** The query's address, while it has a place. Belongs to the limit. */
  address?: string | undefined
  /** Whether it counts for its address. Belongs to the limit. */
  isCounted?: boolean
  /**
   * Whether it has begun and given up its place to run, waits for another one, or must end. Belongs to the
   * limit.
   */
  pause?: "paused" | "returning" | "evicted" | undefined
}

/**
 * The places that the queries of one connection may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Places {
  /**
   * Takes a place to run, or else one in the queue, or returns the reason why there is none. Places that were
   * taken must be left.
   */
  readonly enter: (place: Place) => "running" | "waiting" | Exclude<Refusal, "displaced">
  /**
   * Frees the place of a running query until {@link Places.resume}. False if it must keep the place: at most
   * as many queries as may wait in the queue, and at most 256, may be without a place. If others wait, one of
   * these is evicted then: of the address with most of them, the one without a place for longest.
   */
  readonly pause: (place: Place) => boolean
  /** Takes a place to run again, or waits for `call`, ahead of queries that have not begun. */
  readonly resume: (place: Place) => "running" | "waiting"
  /** Leaves the queue, or passes the place to run to the query whose turn it is. */
  readonly leave: (place: Place) => void
  /** The reject of a query for which there is no place. */
  readonly overloaded: (why?: Refusal) => QueryRejected
}

/**
 * The places of all queries of a server: a bounded number runs, and a bounded number waits.
 *
 * @category models
 * @since 0.1.0
 */
export class Limit implements Places {
  private options: Options
  private maxPerAddress: number
  private readonly waiting: FairQueue<Place>
  /** The number of running and waiting queries for each address that has any, if that is limited. */
  private readonly counts = new Map<string, number>()
  private running = 0
  /**
   * The queries that have begun and are without a place, and those of them that wait for one again, in order.
   */
  private readonly paused = new Set<Place>()
  private readonly returning = new Set<Place>()

  constructor(options: Options) {
    check(options)
    this.options = options
    this.maxPerAddress = options.maxQueriesPerAddress ?? Number.POSITIVE_INFINITY
    this.waiting = new FairQueue(options.maxQueuedQueries)
  }

  /** Changes the limits. Queries beyond them stay, and waiting ones run if there is room. */
  reload(options: Options): void {
    check(options)
    this.options = options
    this.maxPerAddress = options.maxQueriesPerAddress ?? Number.POSITIVE_INFINITY
    this.waiting.capacity = options.maxQueuedQueries
    while (this.running < options.maxConcurrentQueries) {
      const next = this.next()
      if (next === undefined) return
      this.running++
      next.call()
    }
  }

  /** The places for the connections of one address. */
  of(address: string): Places {
    return new AddressPlaces(this, address)
  }

  enter(place: Place, address = ""): ReturnType<Places["enter"]> {
    if (address !== RemoteAddress.internal && (this.counts.get(address) ?? 0) >= this.maxPerAddress) {
      return "addressFull"
    }
    if (this.running < this.options.maxConcurrentQueries) {
      this.running++
      this.add(place, address)
      return "running"
    }
    const entered = this.waiting.enter(address, place)
    if (entered._tag === "Full") return "full"
    this.add(place, address)
    if (entered._tag === "Displaced") {
      this.remove(entered.item)
      entered.item.displaced()
    }
    return "waiting"
  }

  pause(place: Place): boolean {
    if (place.pause !== undefined) return false
    if (this.isPausedFull) this.evict()
    // An evicted query may need some time to end.
    if (this.isPausedFull) return false
    place.pause = "paused"
    this.paused.add(place)
    this.free()
    return true
  }

  private get isPausedFull(): boolean {
    return this.paused.size >= maxPaused(this.options)
  }

  /** Evicts at most one query for each that waits. */
  private evict(): void {
    const evicted = Array.from(this.paused).filter(({ pause }) => pause === "evicted")
    if (evicted.length >= this.waiting.size + this.returning.size) return
    const place = this.stalled()
    if (place === undefined) return
    place.pause = "evicted"
    place.evicted()
  }

  /** Of the address with most queries without a place, the one that has been without for longest. */
  private stalled(): Place | undefined {
    const byAddress = new Map<string | undefined, Array<Place>>()
    let most: ReadonlyArray<Place> = []
    for (const place of this.paused) {
      if (place.pause !== "paused") continue
      const places = byAddress.get(place.address) ?? []
      places.push(place)
      byAddress.set(place.address, places)
      if (places.length > most.length) most = places
    }
    return most[0]
  }

  resume(place: Place): "running" | "waiting" {
    if (this.running < this.options.maxConcurrentQueries) {
      this.running++
      this.unpause(place)
      return "running"
    }
    place.pause = "returning"
    this.returning.add(place)
    return "waiting"
  }

  private unpause(place: Place): void {
    place.pause = undefined
    this.paused.delete(place)
    this.returning.delete(place)
  }

  leave(place: Place): void {
    if (!this.remove(place) || this.waiting.delete(place)) return
    if (place.pause === undefined) this.free()
    else this.unpause(place)
  }

  /** A place to run has become free. */
  private free(): void {
    // The limit was lowered.
    if (this.running > this.options.maxConcurrentQueries) {
      this.running--
      return
    }
    const next = this.next()
    if (next === undefined) this.running--
    else next.call()
  }

  /** Queries that have begun come first. */
  private next(): Place | undefined {
    const [returning] = this.returning
    if (returning === undefined) return this.waiting.next()
    this.unpause(returning)
    return returning
  }

  overloaded(why: Refusal = "full"): QueryRejected {
    return overloaded(this.message(why))
  }

  private message(why: Refusal): string {
    const { maxConcurrentQueries, maxQueuedQueries } = this.options
    const full =
      `${maxConcurrentQueries} queries are running and ${maxQueuedQueries} are waiting ` +
      "(maxConcurrentQueries, maxQueuedQueries)"
    switch (why) {
      case "full":
        return full
      case "displaced":
        return `${full}: a query of an address with fewer of them has taken this one's place`
      case "addressFull":
        return `${this.maxPerAddress} queries of this address are running or waiting (maxQueriesPerAddress)`
    }
  }

  private add(place: Place, address: string): void {
    // On the place itself: entries of a map that each query enters and leaves refer to each other, which
    // would retain the queries until a full collection.
    place.address = address
    place.isCounted = this.maxPerAddress !== Number.POSITIVE_INFINITY
    if (place.isCounted) this.counts.set(address, (this.counts.get(address) ?? 0) + 1)
  }

  private remove(place: Place): boolean {
    const { address } = place
    if (address === undefined) return false
    place.address = undefined
    if (place.isCounted !== true) return true
    const count = (this.counts.get(address) ?? 0) - 1
    if (count > 0) this.counts.set(address, count)
    else this.counts.delete(address)
    return true
  }
}

class AddressPlaces implements Places {
  private readonly limit: Limit
  private readonly address: string

  constructor(limit: Limit, address: string) {
    this.limit = limit
    this.address = address
  }

  enter(place: Place): ReturnType<Places["enter"]> {
    return this.limit.enter(place, this.address)
  }

  pause(place: Place): boolean {
    return this.limit.pause(place)
  }

  resume(place: Place): "running" | "waiting" {
    return this.limit.resume(place)
  }

  leave(place: Place): void {
    this.limit.leave(place)
  }

  overloaded(why?: Refusal): QueryRejected {
    return this.limit.overloaded(why)
  }
}

/**
 * A retryable reject with the code `overloaded`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const overloaded = (message: string): QueryRejected =>
  new QueryRejected({
    payload: QueryApi.encodeError(new QueryApi.QueryError({ code: "overloaded", message, retryable: true }))
  })

/**
 * The places that connections share: a server provides its own. Default: no limit.
 *
 * @category services
 * @since 0.1.0
 */
export const QueryLimit: Context.Reference<Places> = Context.Reference("dataconn/server/QueryLimit", {
  defaultValue: (): Places =>
    new Limit({ maxConcurrentQueries: Number.POSITIVE_INFINITY, maxQueuedQueries: Number.POSITIVE_INFINITY })
})
