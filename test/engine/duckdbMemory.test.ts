import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import { ask, withEngine } from "./duckdbEngine.ts"

const pollMs = 100
const idlePolls = 5

/** Ends when this process has all but ceased to compute. */
const idle = Effect.promise(async () => {
  for (let polls = 0; polls < idlePolls; ) {
    const before = process.cpuUsage()
    await new Promise((resolve) => setTimeout(resolve, pollMs))
    const { user, system } = process.cpuUsage(before)
    polls = user + system < pollMs * 100 ? polls + 1 : 0
  }
})

/** The most memory that this process has ever had, in megabytes. */
const peak = () => process.resourceUsage().maxRSS / 1e3

describe("a reader that stalls", () => {
  for (const format of ["application/x-ndjson", "application/vnd.apache.arrow.stream"] as const) {
    it.effect(
      `holds a bounded number of bytes of ${format}, however long the rows are`,
      () =>
        withEngine({ readWrite: true, threads: 2 }, (engine) =>
          Effect.gen(function* () {
            // Several row groups, so that the second thread works on a later one.
            yield* ask(engine, "CREATE TABLE numbers AS FROM range(400000) AS numbers(i)")
            yield* idle
            const before = peak()
            // 4 GB in all. DuckDB alone would keep 100 000 rows, however long.
            const query = "SELECT repeat(chr((65 + i % 26)::INTEGER), 10000) AS t FROM numbers"
            const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
            const pull = yield* Stream.toPull(chunks)
            yield* pull
            yield* idle
            assert.isBelow(peak() - before, 500)
          })
        ),
      60_000
    )
  }
})

describe("the chunks of a text", () => {
  const query =
    "SELECT i, repeat('x', CASE WHEN i % 3000 = 7 THEN 700000 ELSE i % 90 END) AS t FROM range(9000) AS r(i)"

  for (const format of ["application/json", "application/x-ndjson", "text/csv"] as const) {
    it.effect(`are freed once they are given back, and no others: ${format}`, () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          const whole = yield* ask(engine, query, { format })
          const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
          const copies: Array<Buffer> = []
          let freed = 0
          yield* Stream.runForEach(chunks, (chunk) =>
            Effect.sync(() => {
              copies.push(Buffer.from(chunk))
              const { length } = chunk
              Chunk.release(chunk)
              // Rows that are cut share their memory with what has yet to be sent.
              freed += length - chunk.length
            })
          )
          assert.isTrue(Buffer.concat(copies).equals(whole))
          assert.isAbove(freed, 300_000)
        })
      )
    )
  }
})
