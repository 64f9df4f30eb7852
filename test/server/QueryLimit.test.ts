import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine, QueryInitError } from "../../src/engine/QueryEngine.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"

const payload = new Uint8Array(0)

/** Counts the queries that are let through to it. */
const makeEngine = () => {
  const seen = { begun: 0 }
  const engine = QueryEngine.of({
    init: () =>
      Effect.sync(() => {
        seen.begun++
        return { payload, chunks: Stream.empty }
      })
  })
  return { engine, seen }
}

/** Starts a query, whose scope stays open until it is closed. */
const start = Effect.fnUntraced(function* (engine: QueryEngine["Service"]) {
  const scope = yield* Scope.make()
  const fiber = yield* Effect.forkChild(Effect.exit(Scope.provide(engine.init(payload), scope)), {
    startImmediately: true
  })
  return { exit: Fiber.join(fiber), cancel: Fiber.interrupt(fiber), close: Scope.close(scope, Exit.void) }
})

const rejection = (exit: Exit.Exit<unknown, unknown>): QueryApi.QueryError => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  assert.strictEqual(error?._tag, "Fail")
  const { error: rejected } = error as { error: { _tag: string; payload: Uint8Array } }
  assert.strictEqual(rejected._tag, "QueryRejected")
  return QueryApi.decodeError(rejected.payload)
}

const limits = { maxConcurrentQueries: 2, maxQueuedQueries: 1 }

describe("a limited engine", () => {
  it.effect("runs queries up to the limit, lets some wait, and rejects the rest as overloaded", () =>
    Effect.gen(function* () {
      const { engine, seen } = makeEngine()
      const limited = QueryLimit.make(engine, limits)
      const first = yield* start(limited)
      yield* start(limited)
      assert.strictEqual(seen.begun, 2)
      const queued = yield* start(limited)
      assert.strictEqual(seen.begun, 2)

      const error = rejection(yield* (yield* start(limited)).exit)
      assert.strictEqual(error.code, "overloaded")
      assert.isTrue(error.retryable)
      assert.include(error.message, "maxConcurrentQueries, maxQueuedQueries")
      assert.strictEqual(seen.begun, 2)

      yield* first.close
      assert.isTrue(Exit.isSuccess(yield* queued.exit))
      assert.strictEqual(seen.begun, 3)
    })
  )

  it.effect("keeps a query's permit until the query's scope closes", () =>
    Effect.gen(function* () {
      const { engine, seen } = makeEngine()
      const limited = QueryLimit.make(engine, { maxConcurrentQueries: 1, maxQueuedQueries: 1 })
      const first = yield* start(limited)
      assert.isTrue(Exit.isSuccess(yield* first.exit))
      const second = yield* start(limited)
      assert.strictEqual(seen.begun, 1)
      yield* first.close
      yield* second.exit
      assert.strictEqual(seen.begun, 2)
    })
  )

  it.effect("lets waiting queries run in the order in which they came", () =>
    Effect.gen(function* () {
      const order: Array<number> = []
      const engine = QueryEngine.of({
        init: (request) =>
          Effect.sync(() => {
            order.push(request[0] ?? -1)
            return { payload, chunks: Stream.empty }
          })
      })
      const limited = QueryLimit.make(engine, { maxConcurrentQueries: 1, maxQueuedQueries: 10 })
      const fibers = yield* Effect.forEach([0, 1, 2, 3], (n) =>
        Effect.forkChild(Effect.scoped(limited.init(Uint8Array.of(n))), { startImmediately: true })
      )
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(order, [0, 1, 2, 3])
    })
  )

  it.effect("frees the place of a query that is cancelled while it waits", () =>
    Effect.gen(function* () {
      const { engine, seen } = makeEngine()
      const limited = QueryLimit.make(engine, { maxConcurrentQueries: 1, maxQueuedQueries: 1 })
      const first = yield* start(limited)
      const waiting = yield* start(limited)
      yield* waiting.cancel
      yield* waiting.close
      const next = yield* start(limited)
      yield* first.close
      assert.isTrue(Exit.isSuccess(yield* next.exit))
      assert.strictEqual(seen.begun, 2)
    })
  )

  it.effect("frees the permit of a query that is cancelled while the engine initialises it", () =>
    Effect.gen(function* () {
      const never = QueryEngine.of({ init: () => Effect.never })
      const limited = QueryLimit.make(never, { maxConcurrentQueries: 1, maxQueuedQueries: 0 })
      for (let i = 0; i < 3; i++) {
        const query = yield* start(limited)
        assert.strictEqual(rejection(yield* (yield* start(limited)).exit).code, "overloaded")
        yield* query.cancel
        yield* query.close
      }
    })
  )

  it.effect("frees the permit of a query that fails to be initialised", () =>
    Effect.gen(function* () {
      const failing = QueryEngine.of({ init: () => Effect.fail(new QueryInitError({ message: "no" })) })
      const limited = QueryLimit.make(failing, { maxConcurrentQueries: 1, maxQueuedQueries: 0 })
      for (let i = 0; i < 3; i++) {
        const error = yield* Effect.flip(Effect.scoped(limited.init(payload)))
        assert.strictEqual(error._tag, "QueryInitError")
      }
    })
  )

  it.effect("loses no place when a query is cancelled just as its turn comes", () =>
    Effect.gen(function* () {
      const { engine } = makeEngine()
      const limited = QueryLimit.make(engine, { maxConcurrentQueries: 1, maxQueuedQueries: 1 })
      for (let i = 0; i < 20; i++) {
        const first = yield* start(limited)
        const waiting = yield* start(limited)
        const cancelled = yield* Deferred.make<void>()
        yield* Effect.forkChild(Effect.andThen(waiting.cancel, Deferred.succeed(cancelled, undefined)))
        yield* first.close
        yield* Deferred.await(cancelled)
        yield* waiting.close
      }
      const last = yield* start(limited)
      assert.isTrue(Exit.isSuccess(yield* last.exit))
    })
  )
})
