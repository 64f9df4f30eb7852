import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Complexity from "../../src/engine/duckdb/Complexity.ts"
import * as Limits from "../../src/engine/Limits.ts"
import { failure, rows, withEngine } from "./duckdbEngine.ts"

describe("the complexity of a text", () => {
  it("is bounded where DuckDB's parser takes quadratic time", () => {
    for (const [text, mention] of [
      ["/*".repeat(600), "(maxOperatorRun)"],
      [`SELECT 1${"/**/".repeat(300)}`, "operators"],
      [`SELECT 1${"+-".repeat(600)}1`, "operators"],
      [`SELECT 1${" AND 1".repeat(8193)}`, "(maxConjunctions)"],
      [`SELECT 1${" or 1".repeat(8193)}`, "OR"]
    ] as const) {
      assert.include(Complexity.excess(text, Limits.defaults), mention)
    }
  })

  it("leaves the rest alone, each time it is asked", () => {
    for (const text of [
      `SELECT 1${" AND 1".repeat(8192)}`,
      `SELECT 1 -- ${"=".repeat(1000)}`,
      `SELECT 1${"/**/ ".repeat(10_000)}`,
      `SELECT ${"1,".repeat(50_000)}1`
    ]) {
      assert.isUndefined(Complexity.excess(text, Limits.defaults))
    }
  })
})

/** Operands within operands, the words after which are `when` and `end`. */
const cases = (operand: string, when = "WHEN", end = "END"): string =>
  `SELECT ${`CASE ${operand}`.repeat(30)}x${` ${when} 1 THEN 1 ${when} 2 THEN 2 ${end}`.repeat(30)} FROM t`

describe("what the parser writes out", () => {
  it("is bounded where CASE repeats its operand", () => {
    for (const text of [
      cases(""),
      cases("/* /* ' */ */", "when", "/**/end"),
      cases("t.end + t . /* */ END + "),
      cases("t.\"end\" + ' END ' || e'\\' END ' || $$ END ' $$ || $a$ END ' $a$ || "),
      cases("(CASE WHEN a THEN b END) + "),
      `SELECT CASE ${"x + ".repeat(500)}x ${"WHEN 1 THEN 2 ".repeat(2000)}END FROM t`
    ]) {
      assert.include(Complexity.excess(text, Limits.defaults), "CASE repeats", text.slice(0, 100))
    }
  })

  it("is bounded where groupings multiply", () => {
    for (const grouping of ["CUBE(a, b)", "rollup (a)", "GROUPING /**/ SETS ((a))"]) {
      const text = `${`SELECT 1 FROM t GROUP BY ${grouping} UNION `.repeat(40)}SELECT 1`
      assert.include(Complexity.excess(text, Limits.defaults), "GROUPING SETS")
    }
  })

  it("is as long as it likes where nothing is repeated", () => {
    for (const text of [
      `SELECT CASE lower(trim(a.b)) ${"WHEN 'key' THEN 'in case it ends' ".repeat(7000)}END FROM t`,
      `SELECT ${"CASE WHEN a THEN 1 ELSE ".repeat(500)}x${" END".repeat(500)} FROM t`,
      `SELECT ${"CASE a WHEN 1 THEN CASE b WHEN 2 THEN 3 END END, ".repeat(4000)}1 FROM t`,
      `SELECT ${"GROUPING(a), ".repeat(100)}1 FROM t GROUP BY ROLLUP(a)`,
      `SELECT 'case ${"x".repeat(200_000)}`
    ]) {
      assert.isUndefined(Complexity.excess(text, Limits.defaults), text.slice(0, 100))
    }
  })
})

describe("the limits of a query's complexity", () => {
  it.effect("are settings, which errors name", () =>
    withEngine({ maxOperatorRun: 3, maxConjunctions: 2, maxNames: 4 }, (engine) =>
      Effect.gen(function* () {
        for (const [query, name] of [
          ["SELECT 1 +--+\n1", "maxOperatorRun"],
          ["SELECT true AND true OR true AND true", "maxConjunctions"],
          ["SELECT abs(1), sin(1), cos(1), tan(1), exp(1)", "maxNames"]
        ] as const) {
          assert.include((yield* failure(engine, query)).message, `(${name})`)
        }
        assert.deepStrictEqual(yield* rows(engine, "SELECT true AND true OR true AS a"), [{ a: true }])
      })
    )
  )
})

const size = 256 * 1024
const filled = (start: string, unit: string) =>
  start + unit.repeat(Math.floor((size - start.length) / unit.length))

describe("a query as long as it may be", () => {
  it.effect("is answered whatever it repeats", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const query of [
          filled("", "AND "),
          filled("SELECT 1", " AND 1"),
          filled("SELECT 1", "/*"),
          filled("SELECT 1", "/*x"),
          filled("", "("),
          filled("SELECT ", "["),
          filled("SELECT ", "$$"),
          filled("SELECT ", "$a$"),
          filled("SELECT '", "'"),
          filled("SELECT ", "- "),
          filled("SELECT 1", "+1"),
          filled("", "EXPLAIN ")
        ]) {
          assert.strictEqual((yield* failure(engine, query)).type, "J", query.slice(0, 20))
        }
        for (const query of [
          filled("SELECT 1 AS a", ";"),
          filled("SELECT 1 AS a ", "-- \n"),
          filled("SELECT 1 AS a", "/**/ ")
        ]) {
          assert.deepStrictEqual(yield* rows(engine, query), [{ a: 1 }], query.slice(0, 20))
        }
      })
    )
  )
})
