import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Parser from "../../src/engine/duckdb/Parser.ts"
import * as Limits from "../../src/engine/Limits.ts"

const chain = (count: number, first: string, next: (index: number) => string, separator = ", "): string =>
  Array.from({ length: count }, (_, i) => (i === 0 ? first : next(i))).join(separator)

const tables = (count: number, next: (last: string) => string): string =>
  chain(count, "c0 AS (SELECT 1 AS x)", (i) => `c${i} AS (${next(`c${i - 1}`)})`)

const refused = (sql: string) =>
  Effect.gen(function* () {
    const parser = yield* Parser.open(Limits.defaults)
    return yield* Effect.match(parser.parse(sql), {
      onFailure: ({ message }) => message,
      onSuccess: () => undefined
    })
  }).pipe(Effect.scoped)

describe("a query that grows exponentially when it is bound", () => {
  for (const [what, sql, words] of [
    ["tables", `WITH ${tables(40, (c) => `FROM ${c}, ${c} b`)} SELECT count(*) FROM c39`, "columns"],
    ["joins", `WITH ${tables(40, (c) => `SELECT * FROM ${c} JOIN ${c} b ON true`)} FROM c9`, "columns"],
    ["stars", `SELECT 1 IN (SELECT 1 FROM ${"(SELECT *, * FROM ".repeat(40)}t${")".repeat(40)})`, "columns"],
    ["names of tables", `${"SELECT a.*, a.* FROM (".repeat(40)}FROM t${") a".repeat(40)}`, "columns"],
    [
      "names of expressions",
      `SELECT ${chain(40, "1 AS a0", (i) => `a${i - 1} + a${i - 1} AS a${i}`)}`,
      "parts"
    ]
  ] as const) {
    it.effect(`by ${what} is refused`, () =>
      Effect.map(refused(sql), (message) => assert.include(message, words))
    )
  }

  it.effect("is allowed as long as it stays small", () =>
    Effect.gen(function* () {
      for (const sql of [
        `WITH ${tables(12, (c) => `FROM ${c}, ${c} b`)} SELECT count(*) FROM c11`,
        `WITH ${tables(90, (c) => `SELECT b.* FROM ${c}, ${c} b`)} SELECT * FROM c89`,
        `WITH ${tables(90, (c) => `SELECT * FROM ${c} JOIN ${c} b USING (x)`)} SELECT * FROM c89`,
        `WITH ${tables(90, (c) => `SELECT * FROM ${c} SEMI JOIN ${c} b USING (x)`)} SELECT * FROM c89`,
        `WITH ${tables(90, (c) => `SELECT *, * EXCLUDE (x) FROM ${c}`)} SELECT * FROM c89`,
        `SELECT ${chain(200, "1 AS a0", (i) => `a${i - 1} + 1 AS a${i}`)}`,
        chain(3000, "SELECT 1", () => "SELECT 1", " UNION ALL "),
        `SELECT ${chain(9000, "1", String)}`
      ]) {
        assert.isUndefined(yield* refused(sql), sql.slice(0, 100))
      }
    })
  )
})
