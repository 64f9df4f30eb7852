/**
 * Limits how many queries run at a time: a bounded number waits for its turn, fairly between the addresses that they
 * come from, and what is beyond is rejected. A query that waits for its reader may give its place up meanwhile.
 */
import * as Context from "effect/Context"
import * as QueryApi from "../engine/QueryApi.ts"
import { QueryRejected } from "../engine/QueryEngine.ts"
import * as RemoteAddress from "../net/RemoteAddress.ts"
import { FairQueue } from "./FairQueue.ts"

/**
 * How many queries run and wait.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How many queries run at a time. */
  readonly maxConcurrentQueries: number
  /** How many more wait. */
  readonly maxQueuedQueries: number
  /** How many run or wait that come from one address; `Infinity`, the default, is no limit. */
  readonly maxQueriesPerAddress?: number | undefined
}

/** More are not without a place, however many may wait: an engine has room for all that have begun. */
const mostPaused = 256

/** How many queries may have begun and be without a place, since their clients do not read. */
const maxPaused = ({ maxQueuedQueries }: Options): number => Math.min(maxQueuedQueries, mostPaused)

/**
 * How many queries may be under way in an engine at a time: those that run, and those that are without a place.
 *
 * @category settings
 * @since 0.1.0
 */
export const mostUnderWay = (options: Options): number => options.maxConcurrentQueries + maxPaused(options)

/**
 * Why there is no place for a query.
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
  /** A place to run has become free for one that waits. */
  readonly call: () => void
  /** A query of an address that has fewer waiting has taken the place: it need not be left any more. */
  readonly displaced: () => void
  /** Its client does not read, and others wait: it is to end, and leaves then. */
  readonly evicted: () => void
  /** The address that it is of, while it has a place. Belongs to the limit. */
  address?: string | undefined
  /** Whether it is counted for that. Belongs to the limit. */
  isCounted?: boolean
  /** Whether it has begun and given its place to run up, waits for another one, or is to end. Belongs to the limit. */
  pause?: "paused" | "returning" | "evicted" | undefined
}

/**
 * The places that the queries of one connection may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Places {
  /** Takes a place to run, or else one in the queue, or none and says why. All but the last are to be left. */
  readonly enter: (place: Place) => "running" | "waiting" | Exclude<Refusal, "displaced">
  /**
   * Gives the place of a query that runs to another one until {@link Places.resume}. False if it has to keep it: as many
   * queries as may wait in the queue may be without a place, and 256 at most. If others wait, one of those is evicted
   * then: of the address that has most of them, the one that has been without a place for longest.
   */
  readonly pause: (place: Place) => boolean
  /** Takes a place to run again, or is called when there is one: before those that have not begun. */
  readonly resume: (place: Place) => "running" | "waiting"
  /** Leaves the queue, or gives the place to run to the query whose turn it is. */
  readonly leave: (place: Place) => void
  /** What is told to a query for which there is no place. */
  readonly overloaded: (why?: Refusal) => QueryRejected
}

/**
 * The places that all queries of a server take: a bounded number runs, and a bounded number waits.
 *
 * @category models
 * @since 0.1.0
 */
export class Limit implements Places {
  private options: Options
  private maxPerAddress: number
  private readonly waiting: FairQueue<Place>
  /** How many run or wait of each address that has any, if that is limited. */
  private readonly counts = new Map<string, number>()
  private running = 0
  /** The queries that have begun and are without a place, and those of them that want one again, in their order. */
  private readonly paused = new Set<Place>()
  private readonly returning = new Set<Place>()

  constructor(options: Options) {
    this.options = options
    this.maxPerAddress = options.maxQueriesPerAddress ?? Number.POSITIVE_INFINITY
    this.waiting = new FairQueue(options.maxQueuedQueries)
  }

  /** Other limits from now on. Queries beyond them stay, and those that wait run if there is room. */
  reload(options: Options): void {
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
    // One that is evicted may need some time to end.
    if (this.isPausedFull) return false
    place.pause = "paused"
    this.paused.add(place)
    this.free()
    return true
  }

  private get isPausedFull(): boolean {
    return this.paused.size >= maxPaused(this.options)
  }

  /** Ends one query for each that waits, at most. */
  private evict(): void {
    const evicted = Array.from(this.paused).filter(({ pause }) => pause === "evicted")
    if (evicted.length >= this.waiting.size + this.returning.size) return
    const place = this.stalled()
    if (place === undefined) return
    place.pause = "evicted"
    place.evicted()
  }

  /** Of the address that has most queries without a place, the one that has been so for longest. */
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
    // The limit has been lowered.
    if (this.running > this.options.maxConcurrentQueries) {
      this.running--
      return
    }
    const next = this.next()
    if (next === undefined) this.running--
    else next.call()
  }

  /** Those that have begun are first. */
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
    // On the place itself: the tables of a map that each query enters and leaves hold each other, and so the queries,
    // until a full collection.
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
 * A reject as `overloaded`, which says that it may be tried again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const overloaded = (message: string): QueryRejected =>
  new QueryRejected({
    payload: QueryApi.encodeError(new QueryApi.QueryError({ code: "overloaded", message, retryable: true }))
  })

/**
 * The places that connections share: a server provides its own, and there is no limit otherwise.
 *
 * @category services
 * @since 0.1.0
 */
export const QueryLimit: Context.Reference<Places> = Context.Reference("dataconn/server/QueryLimit", {
  defaultValue: (): Places =>
    new Limit({ maxConcurrentQueries: Number.POSITIVE_INFINITY, maxQueuedQueries: Number.POSITIVE_INFINITY })
})
