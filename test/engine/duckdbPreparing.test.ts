import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Database from "../../src/engine/duckdb/Database.ts"
import * as Session from "../../src/engine/duckdb/Session.ts"

/** DuckDB folds this constant for the better part of a second, and does not look for an interrupt meanwhile. */
const slow = `SELECT repeat('a', 130) GLOB (repeat('*a', 5) || 'b')`

describe("a query that DuckDB prepares", () => {
  it.live(
    "ends when it is interrupted, tells that DuckDB goes on, and leaves nothing behind in the end",
    () =>
      Effect.gen(function* () {
        const told = yield* Deferred.make<void>()
        const run = () => Deferred.doneUnsafe(told, Effect.void)
        const { instance, session } = yield* Database.open({ unstoppable: { graceMillis: 1, run } })
        const open = Session.open(instance, { ...session, transaction: "read only" })
        const watcher = yield* open
        const connections = watcher.call(async (connection) => {
          const result = await connection.run("SELECT count::INTEGER FROM duckdb_connection_count()")
          return Number((await result.getRows())[0]?.[0])
        })
        const before = yield* connections
        let hasBegun = false
        let hasRun = false
        const query = Effect.flatMap(open, (session) =>
          session.call(async (connection) => {
            const prepared = connection.prepare(slow)
            hasBegun = true
            await prepared
            hasRun = true
          })
        )
        const fiber = yield* Effect.forkChild(Effect.scoped(query), { startImmediately: true })
        while (!hasBegun) yield* Effect.promise(() => setImmediate())
        // Until it folds, DuckDB looks: a hundred other queries take longer than it takes to come there.
        yield* Effect.repeat(connections, { times: 100 })
        yield* Fiber.interrupt(fiber)
        assert.isAbove(yield* connections, before, "the preparation has ended by itself")
        yield* Deferred.await(told)
        while ((yield* connections) > before) yield* Effect.yieldNow
        assert.isFalse(hasRun, "the call goes on for nobody")
      })
  )
})
