/**
 * Asks the server how far its engine is with a query, while a user waits for it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Client from "../client/Client.ts"
import type * as Address from "../net/Address.ts"
import * as Transport from "../net/Transport.ts"
import type { Progress } from "./Execution.ts"

/** How often it is asked; queries that take less are not asked about. */
const interval = "1 second"

/** How long an answer may take, connecting included. */
const patience = Duration.seconds(2)

const settings = { connectTimeout: patience, requestTimeout: patience, cancelTimeout: "100 millis" } as const

/**
 * Asks on a connection of its own, until the scope is closed. Whatever goes wrong is the end of that, and of nothing else:
 * a server may have no place for another connection, or the query has ended meanwhile.
 */
export const watch = (
  server: Address.Address,
  progress: Progress
): Effect.Effect<Fiber.Fiber<void>, never, Scope.Scope> => {
  const asking = Effect.gen(function* () {
    yield* Effect.sleep(interval)
    // Until then there is nothing to ask about.
    while (progress.acceptedAfter === undefined) yield* Effect.sleep(interval)
    const { queryId } = progress
    if (queryId === undefined || progress.endedAfter !== undefined) return
    const client = yield* Client.connect(server, settings)
    while (progress.endedAfter === undefined) {
      const { fraction } = yield* Effect.timeout(client.progress(queryId), patience)
      progress.fraction = fraction
      yield* Effect.sleep(interval)
    }
  })
  return asking.pipe(
    Effect.scoped,
    // A recording is of the query's connection, and so are the frames that are shown.
    Effect.provideService(Transport.Wrapper, (open) => open),
    Effect.exit,
    Effect.andThen(
      Effect.sync(() => {
        progress.fraction = undefined
      })
    ),
    Effect.forkScoped
  )
}
