/**
 * Asks the server for its engine's progress while a user waits for a query.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Client from "../client/Client.ts"
import type * as Address from "../net/Address.ts"
import * as Transport from "../net/Transport.ts"
import type { Progress } from "./Execution.ts"

/** The interval of the requests; queries that take less cause none. */
const interval = "1 second"

/** How long an answer may take, including connecting. */
const patience = Duration.seconds(2)

const settings = { connectTimeout: patience, requestTimeout: patience, cancelTimeout: "100 millis" } as const

/**
 * Asks on a separate connection until the scope is closed. An error only ends the asking: a server may have
 * no room for another connection, or the query has ended meanwhile.
 */
export const watch = (
  server: Address.Address,
  progress: Progress
): Effect.Effect<Fiber.Fiber<void>, never, Scope.Scope> => {
  const asking = Effect.gen(function* () {
    yield* Effect.sleep(interval)
    // Before the accept there is nothing to ask about.
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
    // Recordings and shown frames are only of the query's own connection.
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
