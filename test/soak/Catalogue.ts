/**
 * What the clients of a soak ask, and what each answer must be, byte for byte.
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Client from "../../src/client/Client.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"

export interface Entry {
  readonly name: string
  readonly size: "small" | "large"
  readonly query: Client.Query
}

const large = (name: string, query: string, formats: ReadonlyArray<QueryApi.Format>): Array<Entry> =>
  formats.map((format) => ({ name: `${name} as ${format}`, size: "large", query: { query, format } }))

/** Something small, to see how long it takes. */
export const probe: Client.Query = { query: "SELECT 42 AS answer" }

/** Results of a few bytes, and of some megabytes in each format. */
export const entries: ReadonlyArray<Entry> = [
  { name: "answer", size: "small", query: probe },
  { name: "parameters", size: "small", query: { query: "SELECT $1 + $2 AS sum", parameters: [20, 22] } },
  {
    name: "groups",
    size: "small",
    query: {
      query: "SELECT symbol, count(*) AS n, max(price) AS price FROM trades GROUP BY ALL ORDER BY ALL",
      format: "text/csv"
    }
  },
  {
    name: "few rows",
    size: "small",
    query: { query: "SELECT * FROM quotes LIMIT 100", format: "application/x-ndjson" }
  },
  ...large("trades", "SELECT * FROM trades", QueryApi.Format.literals),
  ...large("numbers", "SELECT range AS i FROM range(400000)", ["application/x-ndjson", "text/csv"])
]

/** A result that is so long that somebody always breaks it off. */
export const endless: Client.Query = {
  query: "SELECT a.range AS i, b.range AS j FROM range(100000) a, range(100000) b",
  format: "application/x-ndjson"
}

/** Computes for minutes without a row. */
export const silent: Client.Query = {
  query: "SELECT count(*) AS n FROM range(1000000) a(i), range(1000000) b(j) WHERE i * j % 7 = 3"
}

/** How much memory DuckDB holds, for its data and for the queries under way. */
export const engineBytes = Effect.fnUntraced(function* (client: Client.Client["Service"]) {
  const { chunks } = yield* client.query({
    query: "SELECT sum(memory_usage_bytes) FROM duckdb_memory()",
    format: "text/csv"
  })
  return Number((yield* Stream.mkString(Stream.decodeText(chunks))).split("\n")[1])
}, Effect.scoped)

/** The size and hash of each entry's answer, in the order of the entries. */
export type Fingerprints = ReadonlyArray<string>

/** Takes a whole answer; `pause` comes after each piece. */
export const fingerprint = Effect.fnUntraced(function* (
  client: Client.Client["Service"],
  query: Client.Query,
  pause: Effect.Effect<void> = Effect.void
) {
  const hash = createHash("sha256")
  let size = 0
  const { chunks } = yield* client.query(query)
  yield* Stream.runForEach(chunks, (chunk) => {
    hash.update(chunk)
    size += chunk.length
    return pause
  })
  return { size, text: `${size} ${hash.digest("hex")}` }
}, Effect.scoped)

/** The answers of a server that does nothing else. One that differs from time to time could not be checked. */
export const fingerprints = Effect.fnUntraced(function* (client: Client.Client["Service"]) {
  const take = Effect.forEach(entries, ({ query }) => fingerprint(client, query))
  const [first, second] = [yield* take, yield* take]
  for (const [i, { text }] of first.entries()) {
    if (text !== second[i]?.text) {
      return yield* Effect.die(
        new Error(`${entries[i]?.name} is not the same twice: ${text}, ${second[i]?.text}`)
      )
    }
  }
  return first.map(({ text }) => text)
})
