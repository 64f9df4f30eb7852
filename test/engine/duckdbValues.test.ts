/**
 * Extreme values of every type, alone and inside others, are what DuckDB itself says they are.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Folder from "../support/Folder.ts"
import { ask, columns, rows, text, withEngine } from "./duckdbEngine.ts"

/** How JSON has values of a type: their text as a number, a number that a DOUBLE holds, or their text in quotes. */
type Kind = "wide" | "number" | "text"

const values: ReadonlyArray<readonly [kind: Kind, ...sql: ReadonlyArray<string>]> = [
  ["number", "(-128)::TINYINT", "255::UTINYINT", "(-32768)::SMALLINT", "65535::USMALLINT"],
  ["number", "(-2147483648)::INTEGER", "4294967295::UINTEGER"],
  ["wide", "(-9223372036854775808)::BIGINT", "9007199254740993::BIGINT", "18446744073709551615::UBIGINT"],
  ["wide", "99999999999999999999999999999999999999::HUGEINT", "(-1)::HUGEINT"],
  ["wide", "340282366920938463463374607431768211455::UHUGEINT", `'-${"9".repeat(60)}'::BIGNUM`],
  ["wide", "1.10::DECIMAL(4,2)", "(-0.50)::DECIMAL(9,2)", "0::DECIMAL(18,3)", "1.10::DECIMAL(38,2)"],
  ["wide", "0.5::DECIMAL(1,1)", "(-0.5)::DECIMAL(4,4)", "0.5::DECIMAL(16,16)", "0::DECIMAL(18,18)"],
  ["wide", "0.5::DECIMAL(38,38)", "(-0.5)::DECIMAL(38,38)", `(-${"9".repeat(38)})::DECIMAL(38,0)`],
  ["number", "0.1::FLOAT", "'-0'::FLOAT", "3.4028235e38::FLOAT", "'1e-45'::FLOAT", "16777216::FLOAT"],
  ["number", "'nan'::FLOAT", "'-inf'::FLOAT", "'inf'::DOUBLE", "'nan'::DOUBLE"],
  ["number", "0.1::DOUBLE", "5e-324::DOUBLE", "1.7976931348623157e308::DOUBLE", "(0.1 + 0.2)::DOUBLE"],
  ["text", "''", "'NaN'", "'.5'", "'a,\"b\"'", "'two' || chr(13) || chr(10) || 'lines'", "chr(1)", "'ü😀'"],
  ["text", "'\\xAA\\x00\"\\x5C'::BLOB", "''::BLOB", "'0101'::BIT", "'b'::ENUM('a', 'b')"],
  ["text", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::UUID"],
  ["text", "'infinity'::DATE", "'5877642-06-25 (BC)'::DATE", "'5881580-07-10'::DATE"],
  ["text", "'00:00:00'::TIME", "'24:00:00'::TIME", "'23:59:59.999999999'::TIME_NS"],
  ["text", "'00:00:00+15:59:59'::TIMETZ"],
  ["text", "'-infinity'::TIMESTAMP", "'290309-12-22 (BC) 00:00:00'::TIMESTAMP", "'infinity'::TIMESTAMPTZ"],
  ["text", "'1969-12-31 23:59:59'::TIMESTAMP_S", "'1969-12-31 23:59:59.999'::TIMESTAMP_MS"],
  ["text", "'1677-09-22 00:00:00'::TIMESTAMP_NS", "'2262-04-11 23:47:16.854775806'::TIMESTAMP_NS"],
  ["text", "INTERVAL '-1 month 2 days -0.000001 seconds'", "INTERVAL '2147483647 days'"]
]

const scalars = values.flatMap(([kind, ...sqls]) => sqls.map((sql) => ({ kind, sql })))

/** How a value may be nested: in SQL, in JSON, and whether a NULL stands beside it. */
const nestings: ReadonlyArray<{
  readonly sql: (value: string) => string
  readonly json: (value: unknown) => unknown
}> = [
  { sql: (value) => value, json: (value) => value },
  { sql: (value) => `[${value}, NULL]`, json: (value) => [value, null] },
  { sql: (value) => `{'k': ${value}, 'l': NULL::INTEGER}`, json: (value) => ({ k: value, l: null }) },
  { sql: (value) => `MAP {'k': ${value}}`, json: (value) => ({ k: value }) },
  { sql: (value) => `array_value(${value})`, json: (value) => [value] },
  { sql: (value) => `union_value(k := ${value})`, json: (value) => ({ k: value }) }
]

const all = scalars.flatMap(({ kind, sql }) => nestings.map((nesting) => ({ kind, sql, nesting })))

const query = `SELECT ${all.map(({ nesting, sql }, index) => `${nesting.sql(sql)} AS c${index}`).join(", ")}`

/** A number as it is written. */
interface Written {
  readonly digits: string
}

const parse = (json: string): unknown =>
  JSON.parse(json, (_key, value, context?: { readonly source: string }) =>
    typeof value === "number" ? ({ digits: context?.source ?? "" } satisfies Written) : value
  )

/** DuckDB's own text of each of some expressions. */
const textsOf = async (expressions: ReadonlyArray<string>, from = ""): Promise<ReadonlyArray<string>> => {
  const instance = await DuckDBInstance.create(":memory:")
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  const select = expressions.map((sql) => `CAST(${sql} AS VARCHAR)`).join(", ")
  const rows = (await connection.runAndReadAll(`SELECT ${select} ${from}`)).getRows()
  connection.disconnectSync()
  instance.closeSync()
  return (rows[0] ?? []).map(String)
}

/** DuckDB leaves the zero out if the type has no digit for it. */
const withZero = (digits: string): string => digits.replace(/^(-?)\./, "$10.")

const quoted = (field: string): string =>
  field === "" || /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field

/** Numbers that JSON has no word for, as DuckDB prints them, and the strings that may stand for them. */
const notFiniteNames: Readonly<Record<string, string>> = {
  nan: "NaN",
  inf: "Infinity",
  "-inf": "-Infinity"
}

describe("extreme values", () => {
  const jsonOf = (numbers: QueryApi.Numbers) =>
    withEngine({}, (engine) => text(engine, query, { format: "application/x-ndjson", numbers }))

  const assertJson = (json: string, texts: ReadonlyArray<string>, numbers: QueryApi.Numbers) => {
    const row = parse(json) as Record<string, unknown>
    all.forEach(({ kind, nesting, sql }, index) => {
      const printed = texts[Math.floor(index / nestings.length)] as string
      const found = row[`c${index}`]
      if (kind === "number") {
        const notFinite = numbers === "string" ? (notFiniteNames[printed] ?? null) : null
        const expected = Number.isFinite(Number(printed)) ? Number(printed) : notFinite
        const plain = JSON.parse(JSON.stringify(found), (_key, value) =>
          typeof value?.digits === "string" ? Number(value.digits) : value
        )
        assert.deepStrictEqual(plain, nesting.json(expected), sql)
        return
      }
      const isNumber = kind === "wide" && numbers === "number"
      const expected = kind === "wide" ? withZero(printed) : printed
      // A type that has no room for the zero, and is nested, has nothing that could add it to a string.
      const shown = !isNumber && /38,38/.test(sql) && nesting !== nestings[0] ? printed : expected
      assert.deepStrictEqual(found, nesting.json(isNumber ? { digits: shown } : shown), sql)
    })
  }

  it.live("are in JSON with all their digits, alone and inside others", () =>
    Effect.gen(function* () {
      const texts = yield* Effect.promise(() => textsOf(scalars.map(({ sql }) => sql)))
      for (const numbers of ["number", "string"] as const) {
        assertJson(yield* jsonOf(numbers), texts, numbers)
      }
    })
  )

  it.live("are in CSV as DuckDB prints them, but for a zero before a point", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const texts = yield* Effect.promise(() => textsOf(all.map(({ nesting, sql }) => nesting.sql(sql))))
        const fields = texts.map((printed, index) =>
          quoted(
            all[index]?.nesting === nestings[0] && all[index]?.kind === "wide" ? withZero(printed) : printed
          )
        )
        const header = all.map((_, index) => `c${index}`).join(",")
        const csv = yield* text(engine, query, { format: "text/csv" })
        assert.strictEqual(csv, `${header}\r\n${fields.join(",")}\r\n`)
      })
    )
  )

  it.live("are in Parquet what they were", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const path = join(yield* Folder.make, "result.parquet")
        writeFileSync(path, yield* ask(engine, query, { format: "application/vnd.apache.parquet" }))
        const [expected, read] = yield* Effect.promise(() =>
          Promise.all([
            // Parquet has no arrays of a fixed size.
            textsOf(
              all.map(({ nesting, sql }) => nesting.sql(sql).replace(/^array_value\((.*)\)$/s, "[$1]"))
            ),
            textsOf(
              all.map((_, index) => `c${index}`),
              `FROM '${path}'`
            )
          ])
        )
        all.forEach(({ nesting, sql }, index) => {
          assert.strictEqual(read[index], expected[index], nesting.sql(sql))
        })
      })
    )
  )

  it.live("beyond what a DOUBLE holds are announced by the accept", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const described = (yield* columns(engine, query)) ?? []
        all.forEach(({ kind, nesting, sql }, index) => {
          assert.strictEqual(described[index]?.wideNumbers === true, kind === "wide", nesting.sql(sql))
        })
      })
    )
  )
})

describe("an instant", () => {
  it.live("has all its digits in JSON and CSV, however far away", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const instants: ReadonlyArray<readonly [micros: bigint, printed: string]> = [
          [9223372036854775805n, "294247-01-10 04:00:54.775805+00"],
          [-9223372022399999999n, "290309-12-22 (BC) 00:00:00.000001+00"],
          [-62135596800000001n, "0001-12-31 (BC) 23:59:59.999999+00"],
          [0n, "1970-01-01 00:00:00+00"]
        ]
        const list = instants.map(([micros]) => `make_timestamptz(${micros})`).join(", ")
        const query = `SELECT unnest([${list}, 'infinity', NULL]) AS t`
        const printed = [...instants.map(([, text]) => text), "infinity"]
        assert.deepStrictEqual(
          yield* rows(engine, query),
          [...printed, null].map((t) => ({ t }))
        )
        const csv = yield* text(engine, query, { format: "text/csv" })
        assert.deepStrictEqual(csv.split("\r\n"), ["t", ...printed, "", ""])
      })
    )
  )
})

describe("a JSON column", () => {
  const cases: ReadonlyArray<readonly [sql: string, json: string]> = [
    [
      '\'{"a": 1.10, "b": 12345678901234567890.123456789}\'::JSON',
      '{"a": 1.10, "b": 12345678901234567890.123456789}'
    ],
    ["('{\"a\":' || chr(10) || '1}')::JSON", '{"a":1}'],
    ["'[1,]'::JSON", "[1]"],
    ["'[NaN, -Infinity, \"NaN\"]'::JSON", '[null, null, "NaN"]'],
    ["to_json([0.5::DECIMAL(16,16)])", "[0.5000000000000000]"],
    ["to_json({'a': -0.5::DECIMAL(18,18)})", '{"a":-0.500000000000000000}']
  ]

  it.live("keeps its text, as far as that is JSON", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const [sql, json] of cases) {
          const line = yield* text(engine, `SELECT ${sql} AS j`, { format: "application/x-ndjson" })
          assert.strictEqual(line, `{"j":${json}}\n`)
          JSON.parse(line)
        }
        // Inside of others too, with what these do to their own values.
        const part = '\'{"a": 1.10, "b": 12345678901234567890.123456789, "c": -0}\'::JSON'
        const whole = '{"a": 1.10, "b": 12345678901234567890.123456789, "c": -0}'
        for (const [sql, json] of [
          [`[${part}, NULL, '[NaN]'::JSON]`, `[${whole},null,[null]]`],
          [`[${part}]::JSON[1]`, `[${whole}]`],
          ["[]::JSON[]", "[]"],
          ["NULL::STRUCT(j JSON)", "null"],
          [
            `{'a"b': ${part}, 'd': .5::DECIMAL(2,2), 'f': 0.1::FLOAT, 'n': NULL, 't': 'x"', 'i': DATE '2020-01-01'}`,
            `{"a\\"b":${whole},"d":0.50,"f":0.1,"n":null,"t":"x\\"","i":"2020-01-01"}`
          ],
          [`MAP {'k"': [${part}], 'l': NULL}`, `{"k\\"":[${whole}],"l":null}`],
          [`MAP {.5::DECIMAL(2,2): ${part}}`, `{"0.50":${whole}}`],
          [`union_value(j := ${part})`, `{"j":${whole}}`],
          [
            `[union_value(j := ${part})::UNION(n FLOAT, j JSON), union_value(n := 0.1::FLOAT), NULL]`,
            `[{"j":${whole}},{"n":0.1},null]`
          ],
          [`row(${part}, 1)`, `{"element1":${whole},"element2":1}`]
        ]) {
          const line = yield* text(engine, `SELECT ${sql} AS j`, { format: "application/x-ndjson" })
          assert.strictEqual(line, `{"j":${json}}\n`)
        }
        // NULL is told apart from what JSON has no word for.
        const sql =
          "SELECT unnest([NULL, 'nan', '-inf', 'inf', '1']::FLOAT[]) AS a, '[NaN, -Infinity]'::JSON AS b LIMIT 4"
        const lines = yield* text(engine, sql, { format: "application/x-ndjson", numbers: "string" })
        assert.deepStrictEqual(
          lines.trimEnd().split("\n"),
          ["null", '"NaN"', '"-Infinity"', '"Infinity"'].map((a) => `{"a":${a},"b":["NaN", "-Infinity"]}`)
        )
      })
    )
  )
})
