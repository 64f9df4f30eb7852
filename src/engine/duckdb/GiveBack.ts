/**
 * Makes DuckDB return free memory to the system after the beginning and the end of large results, and when a
 * query has found no memory. Memory that the allocator keeps for one thread counts for the process, but other
 * threads cannot use it.
 *
 * The allocator returns memory by itself only in threads that go on using it. It returns everything when its
 * memory limit is set, even to the same value.
 */
import type { DuckDBConnection } from "@duckdb/node-api"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type * as Instance from "./Instance.ts"
import type { ResultMemory } from "./ResultMemory.ts"
import * as Sql from "./Sql.ts"

const every = "15 seconds"

/** How many bytes are worth a return. */
const worthwhile = 64 * 1024 * 1024

/** When a query that has found no memory has released its own. */
const afterwards: ReadonlyArray<Duration.Input> = ["50 millis", "1 second"]

/** See {@link make}. */
export interface GiveBack {
  /** Returns memory after a query has found none, so that others may find some. */
  readonly now: Effect.Effect<void>
}

/** Returns memory, within the scope, whenever results have grown or shrunk much, and on request. */
export const make = Effect.fnUntraced(function* (
  instance: Instance.Instance,
  memory: ResultMemory
): Effect.fn.Return<GiveBack, never, Scope.Scope> {
  const wanted = Latch.makeUnsafe(false)
  const limit = yield* limitOf(instance)
  const giveBack = onConnection(instance, (connection) => connection.run(`SET memory_limit = ${limit}`))
  // DuckDB rounds the limit that it reports. Setting it now makes it the same from the start.
  yield* giveBack
  const rest = Effect.suspend(() => (memory.takeChanged() < worthwhile ? Effect.void : giveBack))
  const need = Effect.gen(function* () {
    yield* wanted.await
    yield* wanted.close
    for (const pause of afterwards) {
      yield* Effect.sleep(pause)
      yield* giveBack
    }
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(every), rest)))
  yield* Effect.forkScoped(Effect.forever(need))
  return { now: Effect.asVoid(wanted.open) }
})

/** DuckDB's limit, as a literal. Read once: a query cannot read it without memory. */
const limitOf = (instance: Instance.Instance): Effect.Effect<string | undefined> =>
  onConnection(instance, async (connection) => {
    const result = await connection.run("SELECT system.main.current_setting('memory_limit')")
    const [limit] = (await result.getRows()).flat()
    return Sql.literal(String(limit))
  })

/** Runs a function on its own connection. A failure to do so is ignored: queries report it. */
const onConnection = <A>(
  instance: Instance.Instance,
  run: (connection: DuckDBConnection) => Promise<A>
): Effect.Effect<A | undefined> =>
  instance.lease.pipe(
    Effect.flatMap(({ native }) =>
      Effect.promise(async () => {
        const connection = await native.connect()
        try {
          return await run(connection)
        } finally {
          connection.disconnectSync()
        }
      })
    ),
    Effect.scoped,
    Effect.catchCause(() => Effect.undefined)
  )
