/**
 * Receipts: from the engine over the protocol to the gateway's clients.
 */
import { crc32 } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as QueryReceipt from "../../src/cli/QueryReceipt.ts"
import * as Client from "../../src/client/Client.ts"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import type { Format } from "../../src/engine/QueryApi.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Address from "../../src/net/Address.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Served from "./Served.ts"

const hex = (bytes: Uint8Array) => crc32(bytes).toString(16).padStart(8, "0")

const results = [
  ["SELECT 1 AS a WHERE false", 0],
  ["FROM trades LIMIT 20000", 20_000]
] as const

const collect = <E>(chunks: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(chunks), (all) => Buffer.concat(all))

describe("a receipt", () => {
  it.live("says what the result is, in each format, and is no part of it", () =>
    Effect.gen(function* () {
      const engine = yield* DuckDbEngine.make({ sample: true, threads: 2 })
      const live = yield* LiveServer.start(engine)
      const client = yield* Client.connect(live.address)
      const ask = (query: string, format: Format, receipt: boolean) =>
        Effect.gen(function* () {
          const response = yield* client.query({ query, format, ...(receipt ? { receipt } : {}) })
          const bytes = yield* collect(response.chunks)
          return { accepted: response.accepted, bytes, receipt: response.receipt() }
        }).pipe(Effect.scoped)
      for (const format of ["application/json", "application/vnd.apache.arrow.stream"] as const) {
        for (const [query, rows] of results) {
          const plain = yield* ask(query, format, false)
          assert.isUndefined(plain.receipt)
          assert.isUndefined(plain.accepted.receipt)
          const { accepted, bytes, receipt } = yield* ask(query, format, true)
          assert.isTrue(accepted.receipt)
          assert.isTrue(bytes.equals(plain.bytes), `${format} ${query}`)
          const told = Result.getOrThrow(receipt ?? assert.fail("there is no receipt"))
          assert.isTrue(Number.isSafeInteger(told.durationMs), String(told.durationMs))
          assert.deepInclude(told, {
            queryId: accepted.queryId,
            bytes: bytes.length,
            crc32: hex(bytes),
            rows
          })
        }
      }
      const failed = yield* Effect.flip(ask("SELECT error('boom') FROM range(3)", "text/csv", true))
      assert.strictEqual(failed._tag, "QueryError")

      const gateway = yield* Gateway.make({
        http: ["127.0.0.1:0"],
        backends: { main: [Address.format(live.address)] }
      })
      const url = Served.urlOf(gateway.addresses[0] as Address.Address)
      const csv = yield* Served.fetched(
        `${url}/v1/query?format=csv&receipt=true&queryId=q`,
        Served.sql("FROM trades LIMIT 20000")
      )
      const verdict = (yield* Served.fetched(`${url}/v1/queries/q`)).json()
      assert.deepInclude(verdict, {
        state: "complete",
        rows: 20_000,
        bytes: csv.text.length,
        crc32: hex(Buffer.from(csv.text))
      })
      const events = yield* Served.fetched(
        `${url}/v1/query?format=events&receipt=true`,
        Served.sql("SELECT 1 AS a")
      )
      const last = JSON.parse(events.text.trimEnd().split("\n").at(-1) ?? "")
      assert.deepInclude(last.receipt, { rows: 1, bytes: 8, crc32: hex(Buffer.from('{"a":1}\n')) })
      // Without one the gateway counts what it sees.
      const counted = yield* Served.fetched(`${url}/v1/query?format=events`, Served.sql("SELECT 1 AS a"))
      assert.notInclude(counted.text, "crc32")
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect("is compared with the result by --verify", () =>
    Effect.gen(function* () {
      const chunks = Stream.make(Buffer.from("ab"), Buffer.from("c"))
      const accepted = { format: "text/csv", queryId: "q", receipt: true } as const
      const receipt = { queryId: "q", bytes: 3, crc32: hex(Buffer.from("abc")), durationMs: 1 }
      const verify = (given: typeof receipt) =>
        Effect.flatMap(
          QueryReceipt.verified({
            accepted,
            chunks,
            receipt: () => Result.succeed(given)
          } as Client.QueryResponse),
          collect
        )
      assert.strictEqual(String(yield* verify(receipt)), "abc")
      for (const other of [{ bytes: 4 }, { crc32: "00000000" }]) {
        const error = yield* Effect.flip(verify({ ...receipt, ...other }))
        assert.match(error.message, /not what was sent/)
      }
      const none = { accepted: { ...accepted, receipt: undefined }, chunks, receipt: () => undefined }
      const error = yield* Effect.flip(QueryReceipt.verified(none as unknown as Client.QueryResponse))
      assert.match(error.message, /--verify/)
    })
  )
})
