/**
 * Clients that ask an engine of the tests, and those beside them.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Client from "../../src/client/Client.ts"

/** The result of a query, or the code of its error. */
export const ask = (client: Client.ClientService, query: string, more: Partial<Client.Query> = {}) =>
  Effect.gen(function* () {
    const { chunks } = yield* client.query({ query, format: "text/csv", ...more })
    return yield* Stream.mkString(Stream.decodeText(chunks))
  }).pipe(
    Effect.scoped,
    Effect.catchTag("QueryError", ({ code }) => Effect.succeed(code))
  )

/** As many small queries as are asked for, of clients that know of nothing: each must be answered. */
export const others = (client: Client.ClientService, n: number) =>
  Effect.forEach(
    Array.from({ length: n }, (_, i) => `small ${i}`),
    (query) => Effect.map(ask(client, query), (answer) => assert.strictEqual(answer, query)),
    { concurrency: 8, discard: true }
  )
