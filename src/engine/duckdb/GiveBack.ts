/**
 * Has DuckDB give free memory back to the system after the begin and the end of large results, and when a query has found
 * no memory: what the allocator keeps for one thread counts for the process, and is nothing to the other threads.
 *
 * Its allocator does so by itself only in threads that go on using it. It gives all back when the limit of its memory is
 * set, to the same as before or not.
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

/** Of how many bytes it is worth the while. */
const worthwhile = 64 * 1024 * 1024

/** A query that has found no memory has given its own back by then. */
const afterwards: ReadonlyArray<Duration.Input> = ["50 millis", "1 second"]

/** See {@link make}. */
export interface GiveBack {
  /** A query has found no memory: others may find some. */
  readonly now: Effect.Effect<void>
}

/** Does so in the scope whenever results have come to hold much or have ended, and when it is told to. */
export const make = Effect.fnUntraced(function* (
  instance: Instance.Instance,
  memory: ResultMemory
): Effect.fn.Return<GiveBack, never, Scope.Scope> {
  const wanted = Latch.makeUnsafe(false)
  const limit = yield* limitOf(instance)
  const giveBack = onConnection(instance, (connection) => connection.run(`SET memory_limit = ${limit}`))
  // DuckDB rounds what it says: from the start on the limit is what it is later.
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

/** What DuckDB's limit is, as a literal. Asked for once: what finds no memory cannot ask. */
const limitOf = (instance: Instance.Instance): Effect.Effect<string | undefined> =>
  onConnection(instance, async (connection) => {
    const result = await connection.run("SELECT system.main.current_setting('memory_limit')")
    const [limit] = (await result.getRows()).flat()
    return Sql.literal(String(limit))
  })

/** Runs something on a connection of its own. What keeps it from that is no matter: queries find out. */
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
