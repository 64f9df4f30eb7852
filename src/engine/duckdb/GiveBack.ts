/**
 * Has DuckDB give free memory back to the system after the begin and the end of large results.
 *
 * Its allocator does so by itself only in threads that go on using it. It gives all back when the limit of its memory is
 * set, to the same as before or not.
 */
import * as Effect from "effect/Effect"
import type * as Instance from "./Instance.ts"
import type { ResultMemory } from "./ResultMemory.ts"
import * as Sql from "./Sql.ts"

const every = "15 seconds"

/** Of how many bytes it is worth the while. */
const worthwhile = 64 * 1024 * 1024

/** Does so again and again, whenever results have come to hold much or have ended. */
export const always = (instance: Instance.Instance, memory: ResultMemory): Effect.Effect<never> =>
  Effect.sleep(every).pipe(
    Effect.andThen(
      Effect.suspend(() => (memory.takeChanged() < worthwhile ? Effect.void : giveBack(instance)))
    ),
    Effect.forever
  )

/** Now. What keeps it from that is no matter: queries find out. */
const giveBack = (instance: Instance.Instance): Effect.Effect<void> =>
  instance.lease.pipe(
    Effect.flatMap(({ native }) =>
      Effect.promise(async () => {
        const connection = await native.connect()
        try {
          const result = await connection.run("SELECT system.main.current_setting('memory_limit')")
          const [limit] = (await result.getRows()).flat()
          await connection.run(`SET memory_limit = ${Sql.literal(String(limit))}`)
        } finally {
          connection.disconnectSync()
        }
      })
    ),
    Effect.scoped,
    Effect.ignoreCause
  )
