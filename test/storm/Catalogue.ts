/**
 * Every way in which a query can end its process or not stop, beside a hundred small queries of others.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Client from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"
import * as Folder from "../support/Folder.ts"
import * as KillableEngine from "../support/KillableEngine.ts"
import * as LiveServer from "../support/LiveServer.ts"

export interface Row {
  readonly query: string
  readonly answer: string
  /** How many of the others were answered, and how long the longest took, in milliseconds. */
  readonly others: number
  readonly longestMillis: number
}

const killable = { module: new URL("../support/KillableEngine.ts", import.meta.url) }

const ask = (client: Client.ClientService, query: string, timeoutMs?: number) =>
  Effect.gen(function* () {
    const { chunks } = yield* client.query({
      query,
      format: "text/csv",
      ...(timeoutMs === undefined ? {} : { timeoutMs })
    })
    return yield* Stream.mkString(Stream.decodeText(chunks))
  }).pipe(
    Effect.scoped,
    Effect.catchTag("QueryError", ({ code }) => Effect.succeed(code))
  )

const others = Effect.fnUntraced(function* (client: Client.ClientService) {
  const took = yield* Effect.forEach(
    Array.from({ length: 100 }, (_, i) => `small ${i}`),
    (query) =>
      Effect.gen(function* () {
        const began = performance.now()
        const answer = yield* ask(client, query)
        return answer === query ? performance.now() - began : Number.POSITIVE_INFINITY
      }),
    { concurrency: 8 }
  )
  const answered = took.filter(Number.isFinite)
  return { others: answered.length, longestMillis: Math.round(Math.max(...answered)) }
})

/** Tries all of them, each on a server of two processes that has just been left by the one before. */
export const run: Effect.Effect<ReadonlyArray<Row>, unknown, Scope.Scope> = Effect.gen(function* () {
  const directory = yield* Folder.make
  const engine = yield* ProcessEngine.make(killable, {
    engines: 2,
    directory,
    cancelGrace: "500 millis",
    waitTimeout: "2 minutes"
  })
  const live = yield* LiveServer.start(engine)
  const client = yield* ClientPool.connect(live.address, { maxConnections: 16, cancelTimeout: "1 minute" })
  const queries = [
    ...Object.keys(KillableEngine.killing).map((how) => ({ query: `kill ${how}`, timeoutMs: undefined })),
    ...Object.keys(KillableEngine.unstoppable).map((how) => ({ query: `stuck ${how}`, timeoutMs: 200 }))
  ]
  const rows: Array<Row> = []
  for (const { query, timeoutMs } of queries) {
    const [answer, beside] = yield* Effect.all([ask(client, query, timeoutMs), others(client)], {
      concurrency: "unbounded"
    })
    rows.push({ query, answer, ...beside })
  }
  return rows
})
