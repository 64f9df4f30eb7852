/**
 * How far the engine says that it is with a query that runs.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { DuckDbEngine } from "../../src/engine/duckdb/index.ts"
import * as Progress from "../../src/engine/duckdb/Progress.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"
import * as LongTable from "../support/LongTable.ts"
import * as Poll from "../support/Poll.ts"

const engines: Readonly<Record<string, (database: string) => Effect.Effect<Engine, unknown, Scope.Scope>>> = {
  "in this process": (database) => DuckDbEngine.make({ database, threads: 1 }),
  "in a process of its own": (database) =>
    ProcessEngine.make(ProcessEngine.duckDb({ database, threads: 1 }), { engines: 1 })
}

describe("a query that takes long", () => {
  for (const [where, make] of Object.entries(engines)) {
    it.live(`${where} tells a fraction that grows, and its rows`, () =>
      Effect.gen(function* () {
        const engine = yield* make(yield* LongTable.make)
        const accepted = yield* engine.init(
          QueryApi.encodeRequest({ query: LongTable.query, progress: true })
        )
        const told = () => accepted.progress?.() ?? {}
        assert.deepStrictEqual(told(), {})
        yield* Effect.forkScoped(Stream.runDrain(accepted.chunks))
        yield* Poll.until("a fraction", () => told().fraction !== undefined)
        const first = told()
        yield* Poll.until("a larger one", () => (told().fraction ?? 0) > (first.fraction ?? 1))
        const { fraction = 0, rowsProcessed = 0, totalRows = 0 } = told()
        assert.isAtMost(fraction, 1)
        assert.isAbove(rowsProcessed, first.rowsProcessed ?? 0)
        assert.isAtLeast(totalRows, rowsProcessed)
      }).pipe(Effect.scoped)
    )
  }

  it.live("tells nothing that nobody has asked for, and nothing once it has ended", () =>
    Effect.gen(function* () {
      const engine = yield* DuckDbEngine.make({})
      const ask = (progress: boolean) =>
        Effect.scoped(
          Effect.tap(engine.init(QueryApi.encodeRequest({ query: "SELECT 1", progress })), ({ chunks }) =>
            Stream.runDrain(chunks)
          )
        )
      assert.isUndefined((yield* ask(false)).progress)
      assert.deepStrictEqual((yield* ask(true)).progress?.(), {})
    }).pipe(Effect.scoped)
  )
})

describe("what DuckDB tells", () => {
  it.each([
    // Before a statement and after it, and where it does not know.
    [-1, 0n, 0n, undefined],
    [0, 0n, 300n, undefined],
    [25, 50n, 200n, { fraction: 0.25, rowsProcessed: 50, totalRows: 200 }],
    [66.5, 0n, 0n, { fraction: 0.665 }],
    [100.01, 200n, 200n, { fraction: 1, rowsProcessed: 200, totalRows: 200 }]
  ])("of %d %%, %d of %d rows", (percentage, rows_processed, total_rows_to_process, expected) => {
    assert.deepStrictEqual(Progress.of({ percentage, rows_processed, total_rows_to_process }), expected)
  })
})
