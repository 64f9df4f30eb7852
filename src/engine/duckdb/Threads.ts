/**
 * Checks whether libuv has enough threads for DuckDB: each result that is being fetched holds one of them,
 * and a cancel needs one too.
 */
import * as Effect from "effect/Effect"

const threadPoolSize = "UV_THREADPOOL_SIZE"

/** How many threads libuv has by default. */
const fewest = 4

/** Warns if so many concurrent queries would wait for each other. */
export const check = (maxConcurrentQueries: number): Effect.Effect<void> => {
  const size = Number(process.env[threadPoolSize]) || fewest
  return size > maxConcurrentQueries
    ? Effect.void
    : Effect.logWarning(
        `${threadPoolSize} is ${size}, too few for ${maxConcurrentQueries} queries (maxConcurrentQueries): ` +
          "queries and their cancels will wait for each other. Set it in the environment of the process to at " +
          `least ${maxConcurrentQueries + 8}, or let fewer queries run at once`
      )
}
