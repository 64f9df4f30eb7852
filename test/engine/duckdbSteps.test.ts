/**
 * Long work is done in steps: they are counted, not timed.
 */
import { type DuckDBDataChunk, DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ArrowStream from "../../src/engine/duckdb/ArrowStream.ts"
import * as Columns from "../../src/engine/duckdb/Columns.ts"
import * as Parameters from "../../src/engine/duckdb/Parameters.ts"
import type { Encoded } from "../../src/engine/duckdb/ResultStream.ts"
import * as Steps from "../../src/engine/duckdb/Steps.ts"
import * as TextStream from "../../src/engine/duckdb/TextStream.ts"
import * as Limits from "../../src/engine/Limits.ts"

const connect = Effect.map(
  Effect.promise(() => DuckDBInstance.create(":memory:")),
  (instance) => Effect.promise(() => instance.connect())
).pipe(Effect.flatten)

const firstChunk = Effect.fnUntraced(function* (sql: string) {
  const connection = yield* connect
  const chunk = yield* Effect.promise(async () => (await connection.stream(sql)).fetchChunk())
  return chunk as DuckDBDataChunk
})

/** The pieces of a chunk, and how many pauses were made between them. */
const encodedIn = ({ pieces }: Encoded) => {
  const found: Array<Uint8Array> = []
  let pauses = 0
  for (let piece = pieces.next(); piece.done !== true; piece = pieces.next()) {
    if (piece.value === undefined) pauses++
    else found.push(piece.value)
  }
  return { found, pauses }
}

describe("Steps", () => {
  function* three(): Steps.Steps<number> {
    yield
    yield
    return 3
  }

  const turned = <A>(run: Effect.Effect<A>) =>
    Effect.gen(function* () {
      let turns = 0
      let last = setImmediate(function turn() {
        turns++
        last = setImmediate(turn)
      })
      const value = yield* run
      clearImmediate(last)
      return { value, turns }
    })

  it.effect("let the event loop turn in between", () =>
    Effect.gen(function* () {
      for (const run of [Steps.run(three()), Effect.promise(() => Steps.runPromise(three()))]) {
        const { turns, value } = yield* turned(run)
        assert.strictEqual(value, 3)
        assert.isAtLeast(turns, 2)
      }
    })
  )
})

describe("the columns of a result", () => {
  it.effect("are read in steps", () =>
    Effect.gen(function* () {
      const connection = yield* connect
      const result = yield* Effect.promise(() =>
        connection.stream(`SELECT ${Array.from({ length: 1000 }, (_, index) => index).join()} LIMIT 0`)
      )
      let read = 0
      let most = 0
      let before = 0
      let last = setImmediate(function turn() {
        most = Math.max(most, read - before)
        before = read
        last = setImmediate(turn)
      })
      const columnName = result.columnName.bind(result)
      result.columnName = (index) => {
        read++
        return columnName(index)
      }
      const columns = yield* Columns.ofResult(result, Limits.defaults)
      clearImmediate(last)
      assert.strictEqual(columns.length, 1000)
      assert.isAtMost(most, 64)
    })
  )
})

describe("many parameters", () => {
  it.effect("are matched in steps", () =>
    Effect.gen(function* () {
      const connection = yield* connect
      const count = 5000
      const prepared = yield* Effect.promise(() =>
        connection.prepare(`SELECT 1 WHERE 1 IN (${Array.from({ length: count }, () => "?").join()})`)
      )
      let turns = 0
      let last = setImmediate(function turn() {
        turns++
        last = setImmediate(turn)
      })
      const bound = yield* Parameters.match(
        prepared,
        Array.from({ length: count }, (_, index) => index)
      )
      clearImmediate(last)
      assert.strictEqual(bound.length, count)
      // Their names, and then their types: 1024 at a time.
      assert.isAtLeast(turns, 8)
    })
  )
})

describe("a long list", () => {
  it.effect("is made into an Arrow batch in steps", () =>
    Effect.gen(function* () {
      const chunk = yield* firstChunk("SELECT range(1000000) AS l, false AS last, 0::BIGINT AS size")
      const library = yield* Effect.promise(ArrowStream.load)
      const { found, pauses } = encodedIn(ArrowStream.encoder(library, ["l"])(chunk))
      assert.isAbove(Buffer.concat(found).length, 8_000_000)
      for (const piece of found) assert.isAtMost(piece.length, 512 * 1024)
      // A million values, 65536 a step, each looked at to find it, to tell if it is NULL, and to copy it.
      assert.isAtLeast(pauses, 45)
    })
  )
})

describe("a long text", () => {
  const sql = "SELECT repeat('x', 5000000) AS t, false AS last, 5000000::BIGINT AS size"

  it.effect("is copied into an Arrow batch in steps", () =>
    Effect.gen(function* () {
      const library = yield* Effect.promise(ArrowStream.load)
      const { found, pauses } = encodedIn(ArrowStream.encoder(library, ["t"])(yield* firstChunk(sql)))
      for (const piece of found) assert.isAtMost(piece.length, 512 * 1024)
      assert.isAtLeast(pauses, 2)
    })
  )

  it.effect("is mended in steps where it may hold numbers that JSON has no word for", () =>
    Effect.gen(function* () {
      const numbers = "list_aggregate(list_transform(range(100000), lambda x: 'NaN'), 'string_agg', ',')"
      const chunk = yield* firstChunk(`SELECT '[' || ${numbers} || ']\n' AS t, NULL AS weight`)
      const { found, pauses } = encodedIn(TextStream.encoder(() => true)(chunk))
      assert.deepStrictEqual(new Set(JSON.parse(Buffer.concat(found).toString())), new Set([null]))
      assert.isAtLeast(pauses, 3)
    })
  )

  it.effect("is copied in pieces of at most 512 KiB as text", () =>
    Effect.gen(function* () {
      const { found } = encodedIn(TextStream.encoder(undefined)(yield* firstChunk(sql)))
      assert.strictEqual(Buffer.concat(found).toString(), "x".repeat(5_000_000))
      for (const piece of found) assert.isAtMost(piece.length, 512 * 1024)
    })
  )
})
