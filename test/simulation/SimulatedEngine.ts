/**
 * An engine that does with each query what the scenario says, and records what became of it.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import {
  type AcceptedQuery,
  QueryEngine,
  QueryFailed,
  QueryInitError,
  QueryRejected
} from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import type { Run } from "./Run.ts"
import * as Scenario from "./Scenario.ts"

/** What became of a query. */
export interface Fate {
  readonly startedAt: number
  /** How many bytes of its result the engine has given away. */
  produced: number
  /** How many of them the server has handed to the socket. */
  written: number
  /** How many of them the server has given back. */
  released: number
  /** Whether some were given back that had not been handed to the socket: those of which nothing will be written. */
  dropped: boolean
  /** Since when it has not been asked for more, while it is not; its reader is waited for then, or a place. */
  idleSince: number | undefined
  /** Whether its finalizer runs, which keeps the place that the query has. */
  isEnding: boolean
  /** When its scope had closed. */
  endedAt: number | undefined
}

export interface SimulatedEngine {
  readonly engine: QueryEngine["Service"]
  readonly fates: ReadonlyMap<number, Fate>
}

/** How many bytes of chunks a connection writes at once before it has written many more. */
const firstBatchSize = 64 * 1024

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const make = (scenario: Scenario.Scenario, run: Run): SimulatedEngine => {
  const queries = new Map<number, Scenario.Query>()
  for (const { requests } of scenario.clients) {
    for (const { query } of requests) queries.set(query.id, query)
  }
  const fates = new Map<number, Fate>()
  const { batchSize, chunkSize, prefetchSize } = scenario.settings
  // A write has taken its messages before the socket sees them.
  const underWay = Math.min(batchSize, firstBatchSize) + Math.min(chunkSize, Scenario.mostChunkBytes)
  // The same of one that is preempted.
  const limit = scenario.preemption === 0 ? prefetchSize + underWay : Number.POSITIVE_INFINITY
  const init: QueryEngine["Service"]["init"] = (body) =>
    Effect.suspend(() => {
      const query = queries.get(Number(decoder.decode(body)))
      // A request that breaks the protocol becomes an ordinary one if the response before it has ended.
      if (body.length === 0) return Effect.fail(new QueryRejected({ payload: encoder.encode("empty") }))
      if (query === undefined || fates.has(query.id)) {
        run.wrong("engine", `was asked for ${JSON.stringify(decoder.decode(body))}`)
        return Effect.die(new Error("no such query"))
      }
      const { losses } = scenario
      return Effect.andThen(opened(run, fates, query), initialise({ run, fates, limit, losses }, query))
    })
  return { engine: QueryEngine.of({ init }), fates }
}

interface World {
  readonly run: Run
  readonly fates: ReadonlyMap<number, Fate>
  /** How far ahead of the socket a result may be taken. */
  readonly limit: number
  readonly losses: ReadonlyArray<number>
}

const opened = (run: Run, fates: Map<number, Fate>, query: Scenario.Query) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const fate: Fate = {
        startedAt: run.now,
        produced: 0,
        written: 0,
        released: 0,
        dropped: false,
        idleSince: undefined,
        isEnding: false,
        endedAt: undefined
      }
      fates.set(query.id, fate)
      run.tell("engine", `query ${query.id} begins`)
      return fate
    }),
    (fate) =>
      Effect.andThen(
        Effect.suspend(() => {
          fate.isEnding = true
          return pause(query.finalizer)
        }),
        Effect.sync(() => {
          fate.endedAt = run.now
          run.tell("engine", `query ${query.id} has ended after ${fate.produced} bytes`)
        })
      )
  )

const pause = (millis: number) => (millis === 0 ? Effect.void : Effect.sleep(millis))

/** Waits for so long, or fails when the process is lost that the query runs in. */
const step = <E>(
  { fates, losses, run }: World,
  query: Scenario.Query,
  millis: number,
  lost: () => E
): Effect.Effect<void, E> =>
  Effect.suspend(() => {
    const startedAt = fates.get(query.id)?.startedAt ?? 0
    const lostAt = losses.find((at) => at >= startedAt) ?? Number.POSITIVE_INFINITY
    if (run.now + millis < lostAt) return millis === Number.POSITIVE_INFINITY ? Effect.never : pause(millis)
    return Effect.andThen(
      pause(Math.max(0, lostAt - run.now)),
      Effect.suspend(() => Effect.fail(lost()))
    )
  })

const rejected = () => new QueryRejected({ payload: encoder.encode(Scenario.lost) })
const failed = () => new QueryFailed({ payload: encoder.encode(Scenario.lost) })

const initialise = (
  world: World,
  query: Scenario.Query
): Effect.Effect<AcceptedQuery, QueryRejected | QueryInitError> =>
  Effect.andThen(
    step(world, query, query.initDelay, rejected),
    Effect.suspend((): Effect.Effect<AcceptedQuery, QueryRejected | QueryInitError> => {
      switch (query.init) {
        case "accept":
          return Effect.succeed({
            payload: encoder.encode(Scenario.accept(query)),
            chunks: Stream.concat(
              result(world, query),
              Stream.suspend(() => {
                const fate = world.fates.get(query.id)
                if (fate !== undefined) fate.idleSince = undefined
                return ending(world, query)
              })
            ),
            timeout: query.timeout
          })
        case "reject":
          return Effect.fail(new QueryRejected({ payload: encoder.encode(Scenario.reject(query)) }))
        case "failure":
          return Effect.fail(new QueryInitError({ message: `no ${query.id}` }))
        case "defect":
          return Effect.die(new Error(`defect ${query.id}`))
        case "interrupt":
          return Effect.interrupt
        case "silent":
          return Effect.andThen(step(world, query, Number.POSITIVE_INFINITY, rejected), Effect.never)
      }
    })
  )

const result = (world: World, query: Scenario.Query) => {
  const { fates, limit, run } = world
  const giveBack = release(world, query)
  const fate = fates.get(query.id) as Fate
  const asked = Effect.sync(() => {
    fate.idleSince = undefined
  })
  return Stream.mapEffect(Stream.fromIterable(query.chunks), (chunk) =>
    Effect.map(Effect.andThen(asked, step(world, query, chunk.delay, failed)), () => {
      fate.idleSince = run.now
      const from = fate.produced
      if (from - fate.written >= limit) {
        run.wrong(
          "engine",
          `query ${query.id} is asked for more with ${from - fate.written} bytes ahead of the socket`
        )
      }
      fate.produced += chunk.size
      const bytes = Uint8Array.from({ length: chunk.size }, (_, i) => Scenario.byteAt(query, from + i))
      return Chunk.owned(bytes, giveBack)
    })
  )
}

/** Makes garbage of the chunk, which shows on the wire if the server still needed it. */
const release = ({ fates, run }: World, query: Scenario.Query) => {
  const fate = fates.get(query.id) as Fate
  return (chunk: Uint8Array): void => {
    fate.released += chunk.length
    if (fate.released > fate.written) fate.dropped = true
    if (fate.released > fate.produced) run.wrong("engine", `query ${query.id} is given back too much`)
    chunk.fill(0xff)
  }
}

const ending = (world: World, query: Scenario.Query): Stream.Stream<Uint8Array, QueryFailed> => {
  switch (query.ending) {
    case "complete":
      return Stream.empty
    case "fail":
      return Stream.fail(new QueryFailed({ payload: encoder.encode(Scenario.error(query)) }))
    case "defect":
      return Stream.die(new Error(`defect ${query.id}`))
    case "interrupt":
      return Stream.fromEffect(Effect.interrupt)
    case "silent":
      return Stream.drain(Stream.fromEffect(step(world, query, Number.POSITIVE_INFINITY, failed)))
  }
}
