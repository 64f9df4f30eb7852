import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Folder from "../support/Folder.ts"
import { ask, failure, rows, withEngine } from "./duckdbEngine.ts"

describe("a served file", () => {
  it.live("that has been deleted or replaced is told as such", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const csv = join(folder, "a.csv")
      const one = join(folder, "b1.json")
      writeFileSync(csv, "x\n1\n")
      writeFileSync(one, '{"x":1}')
      const tables = { trades: csv, many: join(folder, "b*.json") }
      yield* withEngine({ tables }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, "FROM trades"), [{ x: 1 }])
          rmSync(csv)
          rmSync(one)
          const gone = "has been deleted or moved, or is no file any more"
          const expected = {
            type: "J" as const,
            code: "not_found" as const,
            message: `The file of the table trades ${gone}`,
            position: undefined
          }
          assert.deepInclude(yield* failure(engine, "FROM trades"), expected)
          const longer = "SELECT a.x FROM trades a JOIN (SELECT 1 AS y) ON true WHERE a.x > 1"
          assert.deepInclude(yield* failure(engine, longer), expected)
          assert.deepInclude(yield* failure(engine, "FROM many"), {
            code: "not_found" as const,
            message: `The file of the table many ${gone}`
          })
          mkdirSync(csv)
          assert.deepInclude(yield* failure(engine, "FROM trades"), expected)
          rmSync(csv, { recursive: true })
          // Read anew by each query.
          writeFileSync(csv, "y\n2\n")
          assert.deepStrictEqual(yield* rows(engine, "FROM trades"), [{ y: 2 }])
          writeFileSync(one, "nonsense")
          const { message } = yield* failure(engine, "FROM many")
          assert.include(message, "Malformed JSON")
        })
      )
    })
  )

  it.live("that is broken is no fault of the query", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const parquet = join(folder, "a.parquet")
      yield* withEngine({}, (engine) =>
        Effect.map(ask(engine, "SELECT 1 AS x", { format: "application/vnd.apache.parquet" }), (bytes) =>
          writeFileSync(parquet, bytes)
        )
      )
      yield* withEngine({ tables: { a: parquet } }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, "FROM a"), [{ x: 1 }])
          assert.deepInclude(yield* failure(engine, "SELECT y FROM a"), { code: "invalid_query" as const })
          for (const content of ["", "PAR1 and nothing more"]) {
            writeFileSync(parquet, content)
            const { code, message, type } = yield* failure(engine, "FROM a")
            assert.deepStrictEqual({ code, type }, { code: "internal", type: "J" })
            assert.include(message, "'a'")
          }
        })
      )
    })
  )

  it.live("that cannot be read is left out with skipUnreadable, and said to be", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const csv = join(folder, "a.csv")
      writeFileSync(csv, "x\n1\n")
      const tables = {
        here: csv,
        gone: join(folder, "gone.csv"),
        many: join(folder, "m*.parquet"),
        base: join(folder, "base.db")
      }
      const strict = yield* Effect.flip(withEngine({ tables }, () => Effect.void))
      assert.include(strict.message, "tables.gone: there is no file")
      yield* withEngine({ tables, skipUnreadable: true }, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, "FROM here"), [{ x: 1 }])
          for (const query of ["FROM gone", "SELECT count(*) FROM GONE", "FROM many", "FROM base.t"]) {
            const { code, message } = yield* failure(engine, query)
            assert.strictEqual(code, "not_found")
            assert.match(message, /^The file of the table (gone|many|base) could not be read/)
          }
          assert.notInclude((yield* failure(engine, "FROM other")).message, "could not be read")
        })
      )
    })
  )
})
