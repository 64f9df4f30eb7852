/**
 * Clients that do nothing wrong, and must not notice the others: each asks one query after the other, and gets
 * the very bytes that it got before, in time. They can be made to pause, each between two queries.
 */
import { strict as assert } from "node:assert"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import type * as Address from "../../src/net/Address.ts"

const queries: ReadonlyArray<Client.Query> = [
  { query: "SELECT 42 AS answer" },
  { query: "SELECT symbol, count(*) AS n FROM trades GROUP BY ALL ORDER BY ALL", format: "text/csv" },
  { query: "SELECT * FROM trades LIMIT 2000", format: "application/x-ndjson" },
  { query: "SELECT * FROM quotes LIMIT 2000", format: "application/vnd.apache.arrow.stream" },
  { query: "SELECT $1 + 1 AS n", parameters: [41] }
]

/** The longest that an answer may take, whatever others do, in milliseconds. */
export const limitMillis = 5_000

const ask = (client: Client.ClientService, query: Client.Query) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks } = yield* client.query(query)
      return Buffer.concat(yield* Stream.runCollect(chunks))
    })
  )

export interface Controls {
  readonly faults: ReadonlyArray<string>
  /** How long each answer took, in milliseconds. */
  readonly latencies: ReadonlyArray<number>
  /** Runs something while none of them has a query under way. */
  readonly paused: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Begin in the scope, each on a connection of its own, and go on until the scope closes. */
export const start = Effect.fnUntraced(function* (
  addresses: ReadonlyArray<Address.Address>
): Effect.fn.Return<Controls, never, Scope.Scope> {
  const faults: Array<string> = []
  const latencies: Array<number> = []
  const asking = yield* Semaphore.make(addresses.length)

  const run = Effect.fnUntraced(function* (address: Address.Address) {
    const client = yield* Client.connect(address)
    const expected = yield* Effect.forEach(queries, (query) => ask(client, query))
    assert.equal(expected[0]?.toString(), '[{"answer":42}]')
    for (let round = 0; ; round = (round + 1) % queries.length) {
      const query = queries[round] as Client.Query
      const [took, answer] = yield* asking.withPermit(Effect.timed(ask(client, query)))
      const millis = Duration.toMillis(took)
      latencies.push(millis)
      if (millis > limitMillis) faults.push(`an answer to ${query.query} came after ${Math.round(millis)} ms`)
      if (expected[round]?.equals(answer) !== true) faults.push(`another answer to ${query.query}: ${answer}`)
      yield* Effect.sleep(20)
    }
  })

  for (const address of addresses) {
    yield* Effect.forkScoped(
      Effect.catchCause(Effect.scoped(run(address)), (cause) =>
        Effect.sync(() => void faults.push(`a control client failed: ${Cause.pretty(cause)}`))
      )
    )
  }
  return { faults, latencies, paused: asking.withPermits(addresses.length) }
})
