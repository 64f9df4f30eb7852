/**
 * Limits how many queries run at a time: a bounded number waits for its turn, and what is beyond is rejected.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as QueryApi from "../engine/QueryApi.ts"
import { type AcceptedQuery, QueryEngine, type QueryInitError, QueryRejected } from "../engine/QueryEngine.ts"

export interface Options {
  /** How many queries run at a time. */
  readonly maxConcurrentQueries: number
  /** How many more wait. */
  readonly maxQueuedQueries: number
}

const overloaded = (options: Options): QueryRejected =>
  new QueryRejected({
    payload: QueryApi.encodeError(
      new QueryApi.QueryError({
        code: "overloaded",
        message:
          `${options.maxConcurrentQueries} queries are running and ${options.maxQueuedQueries} are waiting ` +
          "(maxConcurrentQueries, maxQueuedQueries)",
        retryable: true
      })
    )
  })

/** The places that queries take: a bounded number runs, and a bounded number waits in the order of arrival. */
class Places {
  private readonly options: Options
  private readonly waiting = new Set<Place>()
  private running = 0

  constructor(options: Options) {
    this.options = options
  }

  /** Takes a place to run, or else one in the queue, or none. */
  enter(place: Place): "running" | "waiting" | "full" {
    if (this.running < this.options.maxConcurrentQueries) {
      this.running++
      return "running"
    }
    if (this.waiting.size >= this.options.maxQueuedQueries) return "full"
    this.waiting.add(place)
    return "waiting"
  }

  /** Leaves the queue. */
  giveUp(place: Place): void {
    this.waiting.delete(place)
  }

  /** Gives a place to run to whoever has waited longest. */
  leave(): void {
    const [next] = this.waiting
    if (next === undefined) {
      this.running--
    } else {
      this.waiting.delete(next)
      next.call()
    }
  }
}

/** One query's place. */
class Place {
  private readonly places: Places
  private runs = false
  private resume: ((effect: Effect.Effect<void>) => void) | undefined

  constructor(places: Places) {
    this.places = places
  }

  /** Takes the place in one step, in which nobody can come in between, and runs the query when it has its turn. */
  run<A, E, R>(query: Effect.Effect<A, E, R>, options: Options): Effect.Effect<A, E | QueryRejected, R> {
    const entered = this.places.enter(this)
    if (entered === "full") return Effect.fail(overloaded(options))
    this.runs = entered === "running"
    return this.runs ? query : Effect.andThen(this.turn, query)
  }

  call(): void {
    this.runs = true
    this.resume?.(Effect.void)
  }

  readonly leave = Effect.sync(() => {
    if (this.runs) this.places.leave()
    else this.places.giveUp(this)
  })

  private get turn(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.resume = resume
      if (this.runs) resume(Effect.void)
    })
  }
}

/** The same engine, within limits. A query has its place until its scope closes. */
export const make = (engine: QueryEngine["Service"], options: Options): QueryEngine["Service"] => {
  const places = new Places(options)
  return QueryEngine.of({
    init: (request) =>
      Effect.withFiber<AcceptedQuery, QueryRejected | QueryInitError, Scope.Scope>((fiber) => {
        const place = new Place(places)
        const scope = Context.getUnsafe(fiber.context, Scope.Scope)
        return Effect.flatMap(Scope.addFinalizer(scope, place.leave), () =>
          place.run(engine.init(request), options)
        )
      })
  })
}
