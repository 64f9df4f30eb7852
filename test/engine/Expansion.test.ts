import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Expansion from "../../src/engine/duckdb/Expansion.ts"
import * as Parser from "../../src/engine/duckdb/Parser.ts"
import * as ShortTree from "../../src/engine/duckdb/ShortTree.ts"
import * as Sql from "../../src/engine/duckdb/Sql.ts"
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
      onSuccess: (queries) => (typeof queries === "string" ? queries : queries.excess)
    })
  }).pipe(Effect.scoped)

const nested = (count: number, before: string, inner: string, after = ")"): string =>
  before.repeat(count) + inner + after.repeat(count)

const aliases = (count: number, next: (last: string) => string): string =>
  chain(count, "1 AS a0", (i) => `${next(`a${i - 1}`)} AS a${i}`)

const doubled = tables(40, (c) => `FROM ${c}, ${c} b`)

const structs = (select: string, alias = ""): string =>
  nested(40, `SELECT ${select} FROM (`, "SELECT [1] AS s, 1 AS i", `)${alias}`)

describe("a query that grows exponentially when it is bound", () => {
  for (const [what, sql, words] of [
    ["tables", `WITH ${doubled} SELECT count(*) FROM c39`, "columns"],
    ["joins", `WITH ${tables(40, (c) => `SELECT * FROM ${c} JOIN ${c} b ON true`)} FROM c9`, "columns"],
    ["stars", `SELECT 1 IN (SELECT 1 FROM ${nested(40, "(SELECT *, * FROM ", "t")})`, "columns"],
    ["names of tables", nested(40, "SELECT a.*, a.* FROM (", "FROM t", ") a"), "columns"],
    ["chosen columns", nested(40, "SELECT COLUMNS('.*'), COLUMNS(*) FROM (", "FROM t"), "columns"],
    ["columns with other names", nested(40, "SELECT *, * RENAME (a AS b) FROM (", "FROM t"), "columns"],
    [
      "names that hide others",
      `WITH ${nested(40, "a AS (WITH ", "b AS (FROM t)", " FROM a, a b)")} FROM a`,
      ""
    ],
    [
      "set operations",
      `WITH ${tables(40, (c) => `FROM t UNION ALL (FROM ${c}, ${c} b)`)} FROM c39`,
      "columns"
    ],
    [
      "stars without a column",
      `WITH c0 AS (FROM t), ${tables(40, (c) => `SELECT *, * EXCLUDE (x) FROM ${c}`).slice(23)} FROM c39`,
      "columns"
    ],
    [
      "joins with USING",
      `WITH c0 AS (FROM t), ${tables(40, (c) => `FROM ${c} JOIN ${c} b USING (x)`).slice(23)} FROM c39`,
      "columns"
    ],
    [
      "joins with USING twice",
      `WITH ${tables(40, (c) => `SELECT *, 1 AS y FROM ${c} JOIN ${c} b USING (x, X, x)`)} FROM c39`,
      "columns"
    ],
    [
      "natural joins",
      `WITH ${tables(40, (c) => `FROM ${c} NATURAL JOIN (SELECT 1 AS x, COLUMNS('y.*') AS 'z\\0' FROM ${c})`)} FROM c39`,
      "columns"
    ],
    [
      "unions by name",
      `WITH ${tables(40, (c) => `FROM ${c} UNION BY NAME SELECT COLUMNS(*) AS 'z\\0' FROM ${c}`)} FROM c39`,
      "columns"
    ],
    ["values of PIVOT", `FROM t PIVOT (sum(v) FOR ${"p IN (1, 2, 3, 4, 5, 6, 7) ".repeat(5)})`, "columns"],
    ["a description", `DESCRIBE WITH ${doubled} FROM c39`, "columns"],
    ["a summary", `SUMMARIZE WITH ${tables(13, (c) => `FROM ${c}, ${c} b`)} FROM c12`, "parts"],
    [
      "many wide parts",
      `WITH ${tables(13, (c) => `FROM ${c}, ${c} b`)} ${"FROM c12 UNION ALL ".repeat(99)}FROM c1`,
      "together"
    ],
    ["structs", structs("{'a': s, 'b': s} AS s"), "columns"],
    ["rows", structs("row(t.s, t.S) AS s", " t"), "columns"],
    ["fields", structs("{'w': {'a': s.w, 'b': s.w}} AS s"), "columns"],
    ["structs with other names", structs("{'a': s, 'b': s}", " t(s)"), "columns"],
    ["structs instead of others", structs("* REPLACE ({'a': s, 'b': s} AS s)"), "columns"],
    ["whole rows", structs("t AS x, t AS y", " t"), "columns"],
    ["merged structs", structs("CASE WHEN i THEN {'a': s} ELSE {'b': s} END AS s, i"), "columns"],
    ["structs of elements", structs("list_transform(s, lambda x: {'a': x, 'b': x}) AS s"), "columns"],
    [
      "united structs",
      `WITH ${tables(40, (c) => `SELECT {'a': x} AS x FROM ${c} UNION SELECT {'b': x} FROM ${c}`)} FROM c39`,
      "columns"
    ],
    [
      "copied queries",
      `WITH ${tables(40, (c) => `SELECT b.x FROM ${c}, ${c} b`).replaceAll("AS (", "AS NOT MATERIALIZED (")} FROM c39`,
      "parts"
    ],
    ["names of expressions", `SELECT ${aliases(40, (a) => `${a} + ${a.toUpperCase()}`)}`, "parts"],
    ["qualified names", `SELECT ${aliases(40, (a) => `alias.${a} + alias."${a}"`)}`, "parts"],
    [
      "names in other clauses",
      `SELECT ${aliases(12, (a) => `${a} + ${a}`)} ORDER BY ${"a11 + 1, ".repeat(20)}1`,
      "parts"
    ],
    [
      "expressions for many columns",
      `WITH ${tables(12, (c) => `FROM ${c}, ${c} b`)} SELECT COLUMNS(*)${" + 1".repeat(30)} FROM c11`,
      "parts"
    ],
    ["lambdas", `SELECT ${nested(30, "list_transform([1], lambda x: ", "x")}`, "parts"],
    ["macros", `SELECT ${nested(30, "nullif(", "a", ", 1)")} FROM t`, "parts"],
    [
      "macros that take more than twice as long",
      `SELECT ${nested(12, "fmod(", "a", ", 3)")} FROM t`,
      "parts"
    ],
    ["macros of the database", `SELECT ${nested(30, "own(", "a")} FROM t`, "parts"],
    ["subqueries", `SELECT ${nested(30, "(SELECT ", "1")}`, "plans twice"],
    [
      "subqueries in conditions",
      `SELECT 1 WHERE ${nested(30, "1 = (SELECT 1 WHERE ", "true")}`,
      "plans twice"
    ],
    [
      "subqueries in CASE",
      `SELECT ${nested(30, "CASE WHEN a THEN (SELECT ", "1", ") END")} FROM t`,
      "plans twice"
    ],
    ["subqueries for limits", nested(30, "SELECT 1 LIMIT (", "SELECT 1"), "plans twice"],
    ["subqueries for arguments of tables", nested(30, "FROM range((", "SELECT 1", "))"), "plans twice"],
    ["subqueries that macros repeat", `SELECT ${nested(7, "nullif((SELECT ", "1", "), 2)")}`, "plans twice"],
    ["EXISTS", `SELECT ${nested(30, "EXISTS (SELECT 1 WHERE NOT ", "true")}`, "plans twice"],
    ["arrays of subqueries", `SELECT ${nested(15, "ARRAY(SELECT ", "1")}`, "plans twice"],
    ["aggregates", nested(30, "SELECT max(x) AS x FROM (", "FROM t"), "plans twice"],
    ["aggregates in joins", nested(30, "SELECT count(*) FROM t, (", "FROM t"), "plans twice"],
    ["macros that aggregate", nested(30, "SELECT own(x) AS x FROM (", "FROM t"), "plans twice"],
    [
      "aggregates of aggregates in subqueries",
      `SELECT ${nested(12, "(SELECT max(", "1", "))")}`,
      "plans twice"
    ],
    ["groups", nested(30, "SELECT x FROM (", "FROM t", ") GROUP BY x"), "plans twice"],
    [
      "partitions",
      nested(30, "FROM (", "FROM t", ") QUALIFY max(x) OVER (PARTITION BY x) = x"),
      "plans twice"
    ],
    ["pivots", nested(30, "FROM (", "FROM t", ") PIVOT (sum(x) AS x FOR y IN (1))"), "plans twice"],
    ["summaries", nested(12, "FROM (SUMMARIZE ", "SELECT 1"), "plans twice"],
    ["UNPIVOT", nested(30, "FROM (", "FROM t", ") UNPIVOT (x FOR n IN (x))"), "parts"],
    [
      "aggregates in named queries",
      `WITH ${tables(30, (c) => `SELECT max(x) AS x FROM ${c}`)} FROM c29`,
      "plans twice"
    ],
    [
      "aggregates in copied queries",
      `WITH ${tables(10, (c) => `SELECT max(a.x) AS x FROM ${c} a, ${c} b`).replaceAll("AS (", "AS NOT MATERIALIZED (")} FROM c9`,
      "plans twice"
    ],
    ["BETWEEN", `SELECT ${nested(12, "(", "a", " BETWEEN false AND true)")} FROM t`, "parts"],
    ["bounds of NOT BETWEEN", `SELECT ${nested(12, "(a NOT BETWEEN false AND ", "b")} FROM t`, "parts"],
    ["tables, deep inside", nested(300, "SELECT 1 FROM (", `WITH ${doubled} FROM c39`), "columns"],
    [
      "tables, beside constants",
      `WITH ${doubled} FROM c39 WHERE 1 IN (${chain(30_000, "1", String)})`,
      "columns"
    ],
    [
      "tables, beside much else",
      `WITH ${doubled} FROM c39 WHERE 1 IN (${chain(30_000, "1", () => "a.b = c.d")})`,
      "too many parts"
    ]
  ] as const) {
    it.effect(`by ${what} is refused`, () =>
      Effect.map(refused(sql), (message) => assert.include(message, words))
    )
  }

  it("is refused where nothing can be said of it", () => {
    let tree: unknown = 0
    for (let i = 0; i < 100_000; i++) tree = { f: "-", children: [tree] }
    assert.include(Expansion.excess(tree), "too deeply")
  })

  it.effect("is allowed as long as it stays small", () =>
    Effect.gen(function* () {
      for (const sql of [
        `WITH ${tables(12, (c) => `FROM ${c}, ${c} b`)} SELECT count(*) FROM c11`,
        `WITH ${tables(90, (c) => `SELECT b.* FROM ${c}, ${c} b`)} SELECT * FROM c89`,
        `WITH ${tables(90, (c) => `SELECT * FROM ${c} JOIN ${c} b USING (x)`)} SELECT * FROM c89`,
        `WITH ${tables(90, (c) => `SELECT * FROM ${c} SEMI JOIN ${c} b USING (x)`)} SELECT * FROM c89`,
        `WITH ${tables(90, (c) => `SELECT *, * EXCLUDE (x) FROM ${c}`)} SELECT * FROM c89`,
        `WITH ${chain(60, `c0 AS (SELECT ${chain(4000, "1", String)})`, (i) => `c${i} AS (FROM c${i - 1})`)} FROM c59`,
        `SELECT ${chain(200, "1 AS a0", (i) => `a${i - 1} + 1 AS a${i}`)}`,
        `SELECT ${nested(900, "CASE WHEN a THEN b ELSE ", "c", " END")} FROM t`,
        nested(8, "SELECT {'a': s.a, 'b': s.b, 'c': 1} AS s FROM (", "SELECT {'a': 1, 'b': 2} AS s"),
        `SELECT [${chain(4000, "{'a': 1, 'b': 2, 'c': 3}", (i) => `{'a': ${i}, 'b': 'x', 'c': NULL}`)}]`,
        chain(3000, "SELECT 1", () => "SELECT 1", " UNION ALL "),
        `SELECT ${chain(9000, "1", String)}`,
        `SELECT ${nested(16, "(SELECT ", "1")}`,
        `SELECT 1 FROM t WHERE a = ${nested(8, "(SELECT max(a) FROM t WHERE a = ", "1")}`,
        `SELECT ${nested(100, "1 IN (SELECT ", "1")}`,
        nested(100, "SELECT DISTINCT x FROM (", "FROM t", ") LIMIT 9"),
        `SELECT 1 FROM t WHERE ${nested(8, "x BETWEEN 1 AND (SELECT max(x) FROM t WHERE ", "true")}`,
        nested(14, "SELECT max(x) AS x FROM (", "FROM t"),
        `WITH ${tables(90, (c) => `SELECT max(a.x) AS x FROM ${c} a, ${c} b`)} FROM c89`,
        `WITH ${tables(90, (c) => `SELECT max(x) AS x FROM ${c}`).replaceAll("AS (", "AS MATERIALIZED (")} FROM c89`,
        `SELECT ${chain(300, "1", () => "(SELECT max(x) FROM t)", " + ")}`,
        `SELECT ${chain(60, "1", () => nested(5, "(", "a", " BETWEEN false AND true)"))} FROM t`,
        `SELECT 1 WHERE 1 IN (${chain(30_000, "1", () => "-1.5")})`,
        `SELECT 1 WHERE 1 IN (${chain(30_000, "?", () => "?")})`,
        `VALUES ${chain(9000, "(1, 'a')", (i) => `(NULL, DATE '2001-01-01' + ${i})`)}`,
        `SELECT ${chain(4000, "1", (i) => `CASE WHEN price > ${i} THEN amount END`)} FROM t`
      ]) {
        assert.isUndefined(yield* refused(sql), sql.slice(0, 100))
      }
    })
  )
})

describe("a short tree", () => {
  const short = Effect.fnUntraced(function* (query: string) {
    const instance = yield* Effect.promise(() => DuckDBInstance.create(":memory:"))
    const connection = yield* Effect.promise(() => instance.connect())
    const tree = `json_serialize_sql(${Sql.literal(query)}, skip_null := true, skip_empty := true, skip_default := true)`
    const reader = yield* Effect.promise(() =>
      connection.runAndReadAll(`SELECT ${ShortTree.sql(`${tree}::VARCHAR`)}`)
    )
    connection.disconnectSync()
    instance.closeSync()
    return JSON.parse(String(reader.getRows()[0]?.[0])).statements[0].node
  })

  const constant =
    '{"class":"CONSTANT","type":"VALUE_CONSTANT","value":{"type":{"id":"INTEGER"},"is_null":false,"value":1}}'

  it.effect("has the names and calls of a query, whatever is written in its texts", () =>
    Effect.gen(function* () {
      for (const text of [
        constant,
        `,"query_location":1,"order_bys":{"type":"ORDER_MODIFIER"}`,
        `\\`,
        `\\","children":[`,
        `","value":{"type":{"id":"VARCHAR"},"is_null":false}}`,
        `'"\\"\n\t\u2028é😀`
      ]) {
        const { select_list, from_table } = yield* short(
          `SELECT ${Sql.literal(text)}, abs(${Sql.identifier(text)}) AS ${Sql.identifier(text)}, ` +
            `${Sql.identifier(text)}.b, a, -1.5, ${Sql.literal(text)} AS c FROM ${Sql.identifier(text)}`
        )
        assert.deepStrictEqual(
          select_list,
          [0, { alias: text, f: "abs", children: [text] }, { c: [text, "b"] }, "a", 0, { k: 0, alias: "c" }],
          text
        )
        assert.strictEqual(from_table.table_name, text)
      }
    })
  )
})
