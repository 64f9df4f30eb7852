import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { tableFromIPC } from "apache-arrow"
import * as Effect from "effect/Effect"
import { ask, rows, text, withEngine } from "./duckdbEngine.ts"

/** A value in SQL, and what it must be in each format. */
interface Case {
  readonly sql: string
  /** What JSON.parse gives. */
  readonly json: unknown
  /** The field in CSV, with its quotes. */
  readonly csv: string
  /** As apache-arrow gives it, made plain by {@link plain}. */
  readonly arrow: unknown
  /** The type and the text of the column in the Parquet file. */
  readonly parquet: readonly [type: string, text: string]
}

const same = (sql: string, value: unknown, parquetType: string, printed = String(value)): Case => ({
  sql,
  json: value,
  csv: printed,
  arrow: value,
  parquet: [parquetType, printed]
})

const asText = (sql: string, printed: string, parquetType = "VARCHAR"): Case =>
  same(sql, printed, parquetType, printed)

const cases: ReadonlyArray<Case> = [
  same("true", true, "BOOLEAN"),
  same("(-128)::TINYINT", -128, "TINYINT"),
  same("255::UTINYINT", 255, "UTINYINT"),
  same("(-32768)::SMALLINT", -32768, "SMALLINT"),
  same("65535::USMALLINT", 65535, "USMALLINT"),
  same("(-2147483648)::INTEGER", -2147483648, "INTEGER"),
  same("4294967295::UINTEGER", 4294967295, "UINTEGER"),
  { ...same("(-5)::BIGINT", -5, "BIGINT"), arrow: -5n },
  {
    ...asText("18446744073709551615::UBIGINT", "18446744073709551615", "UBIGINT"),
    json: 2 ** 64,
    arrow: 18446744073709551615n
  },
  {
    ...asText("(-170141183460469231731687303715884105)::HUGEINT", "-170141183460469231731687303715884105"),
    json: Number("-170141183460469231731687303715884105"),
    parquet: ["DECIMAL(38,0)", "-170141183460469231731687303715884105"]
  },
  {
    ...asText("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
    json: 2 ** 128
  },
  {
    ...asText("'123456789012345678901234567890'::BIGNUM", "123456789012345678901234567890"),
    json: 1.2345678901234568e29
  },
  { ...asText("(-1.10)::DECIMAL(4,2)", "-1.10", "DECIMAL(4,2)"), json: -1.1, arrow: "-110" },
  { ...asText("(-1.10)::DECIMAL(9,2)", "-1.10", "DECIMAL(9,2)"), json: -1.1, arrow: "-110" },
  { ...asText("(-1.10)::DECIMAL(18,2)", "-1.10", "DECIMAL(18,2)"), json: -1.1, arrow: "-110" },
  { ...asText("(-1.10)::DECIMAL(38,2)", "-1.10", "DECIMAL(38,2)"), json: -1.1, arrow: "-110" },
  same("1.5::FLOAT", 1.5, "FLOAT"),
  same("0.1::DOUBLE", 0.1, "DOUBLE"),
  { sql: "'NaN'::DOUBLE", json: null, csv: "nan", arrow: Number.NaN, parquet: ["DOUBLE", "nan"] },
  { sql: "'-Infinity'::FLOAT", json: null, csv: "-inf", arrow: -Infinity, parquet: ["FLOAT", "-inf"] },
  asText("'short'", "short"),
  asText("'a text of more than twelve bytes, ü😀'".replace(",", ""), "a text of more than twelve bytes ü😀"),
  { ...asText("'a,b'", "a,b"), csv: '"a,b"' },
  { ...asText("'say \"NaN\"'", 'say "NaN"'), csv: '"say ""NaN"""' },
  { ...asText("'two' || chr(10) || 'lines'", "two\nlines"), csv: '"two\nlines"' },
  { ...asText("'a' || chr(13) || 'b'", "a\rb"), csv: '"a\rb"' },
  { ...asText("''", ""), csv: '""' },
  asText("'\\xAA\\x00a'::BLOB", "\\xAA\\x00a", "BLOB"),
  asText("'0101'::BIT", "0101"),
  asText("'00000000-0000-0000-0000-000000000001'::UUID", "00000000-0000-0000-0000-000000000001", "UUID"),
  asText("'b'::ENUM('a', 'b')", "b"),
  { ...asText("DATE '2024-02-29'", "2024-02-29", "DATE"), arrow: Date.UTC(2024, 1, 29) },
  { ...asText("TIME '12:34:56.123456'", "12:34:56.123456", "TIME"), arrow: 45_296_123_456n },
  { ...asText("'12:34:56.123456789'::TIME_NS", "12:34:56.123456789", "TIME_NS"), arrow: 45_296_123_456_789n },
  asText("'12:34:56+02:30'::TIMETZ", "12:34:56+02:30"),
  {
    ...asText("'2024-01-02 03:04:05'::TIMESTAMP_S", "2024-01-02 03:04:05", "TIMESTAMP"),
    arrow: 1704164645000
  },
  {
    ...asText("'2024-01-02 03:04:05.678'::TIMESTAMP_MS", "2024-01-02 03:04:05.678", "TIMESTAMP"),
    arrow: 1704164645678
  },
  {
    ...asText("'2024-01-02 03:04:05.678901'::TIMESTAMP", "2024-01-02 03:04:05.678901", "TIMESTAMP"),
    arrow: 1704164645678.901
  },
  {
    ...asText(
      "'2024-01-02 03:04:05.123456789'::TIMESTAMP_NS",
      "2024-01-02 03:04:05.123456789",
      "TIMESTAMP_NS"
    ),
    arrow: 1704164645123.4568
  },
  {
    ...asText("TIMESTAMPTZ '2024-01-02 03:04:05+02'", "2024-01-02 01:04:05+00", "TIMESTAMP WITH TIME ZONE"),
    arrow: 1704157445000
  },
  {
    ...asText("INTERVAL '14 months 2 days 1.000001 seconds'", "1 year 2 months 2 days 00:00:01.000001"),
    arrow: [14, 2, 1_000_001_000, 0]
  },
  {
    sql: "[1, NULL, 3]",
    json: [1, null, 3],
    csv: '"[1, NULL, 3]"',
    arrow: [1, null, 3],
    parquet: ["INTEGER[]", "[1, NULL, 3]"]
  },
  { sql: "[]::INTEGER[]", json: [], csv: "[]", arrow: [], parquet: ["INTEGER[]", "[]"] },
  {
    sql: "[['x', 'longer than twelve bytes'], NULL, []]",
    json: [["x", "longer than twelve bytes"], null, []],
    csv: '"[[x, longer than twelve bytes], NULL, []]"',
    arrow: [["x", "longer than twelve bytes"], null, []],
    parquet: ["VARCHAR[][]", "[[x, longer than twelve bytes], NULL, []]"]
  },
  {
    sql: "array_value(1, 2)",
    json: [1, 2],
    csv: '"[1, 2]"',
    arrow: [1, 2],
    parquet: ["INTEGER[]", "[1, 2]"]
  },
  {
    sql: "['NaN'::DOUBLE, 1]",
    json: [null, 1],
    csv: '"[nan, 1.0]"',
    arrow: [Number.NaN, 1],
    parquet: ["DOUBLE[]", "[nan, 1.0]"]
  },
  {
    sql: "{'a': '-inf'::FLOAT, 'b': ['x', NULL], 'NaN': 'NaN'}",
    json: { a: null, b: ["x", null], NaN: "NaN" },
    csv: `"{'a': -inf, 'b': [x, NULL], 'NaN': NaN}"`,
    arrow: { a: -Infinity, b: ["x", null], NaN: "NaN" },
    parquet: ["STRUCT(a FLOAT, b VARCHAR[], NaN VARCHAR)", "{'a': -inf, 'b': [x, NULL], 'NaN': NaN}"]
  },
  {
    sql: "row(1, 'x')",
    json: { element1: 1, element2: "x" },
    csv: '"(1, x)"',
    arrow: { element1: 1, element2: "x" },
    parquet: ["STRUCT(element1 INTEGER, element2 VARCHAR)", "{'element1': 1, 'element2': x}"]
  },
  {
    sql: "MAP {'k': 1}",
    json: { k: 1 },
    csv: "{k=1}",
    arrow: { k: 1 },
    parquet: ["MAP(VARCHAR, INTEGER)", "{k=1}"]
  },
  {
    sql: "{'e': 'a'::ENUM('a'), 'u': ['0101'::BIT]}",
    json: { e: "a", u: ["0101"] },
    csv: `"{'e': a, 'u': [0101]}"`,
    arrow: { e: "a", u: ["0101"] },
    parquet: ["STRUCT(e VARCHAR, u VARCHAR[])", "{'e': a, 'u': [0101]}"]
  },
  {
    sql: "union_value(n := 1)::UNION(s VARCHAR, n INTEGER)",
    json: { n: 1 },
    csv: "1",
    arrow: 1,
    parquet: ["VARCHAR", "1"]
  },
  { sql: "(SELECT v FROM variants)", json: "1", csv: "1", arrow: "1", parquet: ["VARCHAR", "1"] },
  {
    sql: `'{"a": [1, NaN, -Infinity], "nan": "inf"}'::JSON`,
    json: { a: [1, null, null], nan: "inf" },
    csv: '"{""a"": [1, NaN, -Infinity], ""nan"": ""inf""}"',
    arrow: '{"a": [1, NaN, -Infinity], "nan": "inf"}',
    parquet: ["JSON", '{"a": [1, NaN, -Infinity], "nan": "inf"}']
  }
]

/** What apache-arrow hands out, without its classes. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return escaped(value)
  if (value instanceof Int32Array) return Array.from(value)
  if (value instanceof Uint32Array) return String(value)
  if (typeof value !== "object" || value === null) return value
  if ("toArray" in value && typeof value.toArray === "function")
    return Array.from(value as unknown as Iterable<unknown>, plain)
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

const escaped = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) =>
    byte >= 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`
  ).join("")

/** Reads a Parquet file back with a DuckDB of its own. */
const readParquet = (bytes: Uint8Array, select: string): Promise<ReadonlyArray<ReadonlyArray<unknown>>> => {
  const directory = mkdtempSync(join(tmpdir(), "dataconn-test-"))
  const path = join(directory, "result.parquet")
  writeFileSync(path, bytes)
  return DuckDBInstance.create(":memory:")
    .then((instance) => instance.connect())
    .then(async (connection) => {
      await connection.run("SET TimeZone = 'UTC'")
      const result = await connection.runAndReadAll(`SELECT ${select} FROM '${path}'`)
      return result.getRowsJson()
    })
    .finally(() => rmSync(directory, { recursive: true }))
}

const sum = (column: string) => cases.map(({ sql }, index) => `${sql} AS ${column}${index}`).join(", ")

// Every case is a column of one result, with the value, NULL and the value again.
const query = `SELECT * FROM (SELECT ${sum("c")}) UNION ALL BY NAME SELECT NULL AS c0 UNION ALL BY NAME SELECT ${sum("c")}`

/** Clients make no values of VARIANT, but read those of a served database. */
const folder = mkdtempSync(join(tmpdir(), "dataconn-test-"))
const served = { database: join(folder, "served.duckdb") }

beforeAll(async () => {
  const instance = await DuckDBInstance.create(served.database, { storage_compatibility_version: "latest" })
  const connection = await instance.connect()
  await connection.run("CREATE TABLE variants AS SELECT 1::VARIANT AS v")
  connection.disconnectSync()
  instance.closeSync()
})

afterAll(() => rmSync(folder, { recursive: true }))

describe("every type", () => {
  it.effect("in JSON and NDJSON", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        const [first, nulls, last] = (yield* rows(engine, query)) as ReadonlyArray<Record<string, unknown>>
        cases.forEach(({ sql, json }, index) => {
          assert.deepStrictEqual(first?.[`c${index}`], json, sql)
          assert.isNull(nulls?.[`c${index}`], sql)
        })
        assert.deepStrictEqual(last, first)
        const lines = yield* text(engine, query, { format: "application/x-ndjson" })
        assert.isTrue(lines.endsWith("\n"))
        assert.deepStrictEqual(
          lines
            .trimEnd()
            .split("\n")
            .map((line) => JSON.parse(line)),
          [first, nulls, last]
        )
      })
    )
  )

  it.effect("in NDJSON as to_json prints it, whether or not a row has a NULL", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        const values = [
          "7",
          "'it''s \"x\" ' || chr(10)",
          "TIMESTAMP '2024-01-02 03:04:05'",
          "0.1::DOUBLE",
          "[1, NULL]"
        ]
        const names = ['a"b', "back\\slash", "tab\t", "it's", "ü😀"]
        const row = (skipped: number) =>
          `SELECT ${values.map((sql, index) => `${index === skipped ? `nullif(${sql}, ${sql})` : sql} AS "${names[index]?.replaceAll('"', '""')}"`).join(", ")}`
        const rows = [-1, 0, -1, 1, 2, 3, 4, -1].map(row).join(" UNION ALL ")
        const format = "application/x-ndjson"
        const printed = yield* text(engine, `SELECT to_json(t)::VARCHAR AS line FROM (${rows}) t`, { format })
        const expected = printed
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line).line)
        assert.strictEqual(yield* text(engine, rows, { format }), `${expected.join("\n")}\n`)
      })
    )
  )

  it.effect("in CSV", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        const csv = yield* text(engine, query, { format: "text/csv" })
        const header = cases.map((_, index) => `c${index}`).join(",")
        const values = cases.map((one) => one.csv).join(",")
        const nulls = ",".repeat(cases.length - 1)
        assert.strictEqual(csv, `${header}\r\n${values}\r\n${nulls}\r\n${values}\r\n`)
      })
    )
  )

  it.effect("in Arrow", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        const bytes = yield* ask(engine, query, { format: "application/vnd.apache.arrow.stream" })
        const table = tableFromIPC(bytes)
        assert.strictEqual(table.numRows, 3)
        cases.forEach(({ sql, arrow }, index) => {
          const column = table.getChild(`c${index}`)
          assert.deepStrictEqual(plain(column?.get(0)), arrow, sql)
          assert.isNull(column?.get(1), sql)
          assert.deepStrictEqual(plain(column?.get(2)), arrow, sql)
        })
      })
    )
  )

  it.effect("in Parquet", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        const bytes = yield* ask(engine, query, { format: "application/vnd.apache.parquet" })
        const select = cases.map((_, index) => `typeof(c${index}), c${index}::VARCHAR`).join(", ")
        const [first, nulls, last] = yield* Effect.promise(() => readParquet(bytes, select))
        cases.forEach(({ sql, parquet }, index) => {
          assert.deepStrictEqual(first?.slice(2 * index, 2 * index + 2), [...parquet], sql)
          assert.isNull(nulls?.[2 * index + 1], sql)
        })
        assert.deepStrictEqual(last, first)
      })
    )
  )
})

describe("results of many chunks", () => {
  const long =
    "SELECT i, repeat('x', i % 40) AS s, CASE WHEN i % 3 = 0 THEN NULL ELSE i / 4 END AS d FROM range(50000) t(i)"
  const expected = Array.from({ length: 50000 }, (_, i) => ({
    i,
    s: "x".repeat(i % 40),
    d: i % 3 === 0 ? null : i / 4
  }))

  it.effect("keep every row and their order in each format", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* rows(engine, long), expected)
        const csv = yield* text(engine, long, { format: "text/csv" })
        assert.deepStrictEqual(
          csv,
          `i,s,d\r\n${expected.map(({ i, s, d }) => `${i},${s === "" ? '""' : s},${d === null ? "" : Number.isInteger(d) ? `${d}.0` : d}\r\n`).join("")}`
        )
        const arrow = tableFromIPC(
          yield* ask(engine, long, { format: "application/vnd.apache.arrow.stream" })
        )
        assert.deepStrictEqual(
          arrow.toArray().map((row) => ({ ...row.toJSON(), i: Number(row.toJSON().i) })),
          expected
        )
        const parquet = yield* ask(engine, long, { format: "application/vnd.apache.parquet" })
        const read = yield* Effect.promise(() => readParquet(parquet, "i, s, d"))
        assert.deepStrictEqual(
          read.map(([i, s, d]) => ({ i: Number(i), s, d })),
          expected
        )
      })
    )
  )

  it.effect("cut strings that are longer than a chunk", () =>
    withEngine(served, (engine) =>
      Effect.gen(function* () {
        const found = yield* rows(engine, "SELECT repeat('é', 1000000) AS s FROM range(3)")
        const s = "é".repeat(1_000_000)
        assert.deepStrictEqual(found, [{ s }, { s }, { s }])
      })
    )
  )
})
