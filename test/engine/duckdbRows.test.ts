import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ClientService } from "../../src/client/Client.ts"
import * as Rows from "../../src/client/Rows.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as TestServer from "../../src/testing/TestServer.ts"
import { withEngine } from "./duckdbEngine.ts"

/** Runs with a client of an engine. */
const withClient = <A, E>(use: (client: ClientService) => Effect.Effect<A, E>) =>
  withEngine({}, (engine) =>
    Effect.flatMap(Effect.provideService(TestServer.connect(), QueryEngine, engine), use)
  )

const decimal = BigDecimal.fromStringUnsafe
const utc = (text: string) => DateTime.makeUnsafe(text)

const nested = Schema.Union([
  Schema.Array(Schema.Union([Schema.Int, Schema.String])),
  Schema.Record(Schema.String, Schema.BigInt)
])

/** Of every type: SQL, a schema, and what it is then. */
const values: ReadonlyArray<
  readonly [sql: string, schema: Schema.ConstraintDecoder<unknown>, value: unknown]
> = [
  ["true", Schema.Boolean, true],
  ["(-128)::TINYINT", Schema.Int, -128],
  ["255::UTINYINT", Schema.Int, 255],
  ["(-32768)::SMALLINT", Schema.Int, -32768],
  ["4294967295::UINTEGER", Schema.Int, 4294967295],
  ["42::INTEGER", Schema.BigInt, 42n],
  ["9007199254740991::BIGINT", Schema.Int, 9007199254740991],
  ["(-9223372036854775808)::BIGINT", Schema.BigInt, -(2n ** 63n)],
  ["(-9223372036854775808)::BIGINT", Schema.String, "-9223372036854775808"],
  ["18446744073709551615::UBIGINT", Schema.BigInt, 2n ** 64n - 1n],
  ["170141183460469231731687303715884105727::HUGEINT", Schema.BigInt, 2n ** 127n - 1n],
  ["340282366920938463463374607431768211455::UHUGEINT", Schema.BigInt, 2n ** 128n - 1n],
  [
    "'123456789012345678901234567890123456789012345'::BIGNUM",
    Schema.BigInt,
    123456789012345678901234567890123456789012345n
  ],
  ["0.1::DOUBLE + 0.2::DOUBLE", Schema.Finite, 0.1 + 0.2],
  ["1.7976931348623157e308::DOUBLE", Schema.Finite, Number.MAX_VALUE],
  ["'-infinity'::DOUBLE", Schema.Number, Number.NEGATIVE_INFINITY],
  ["'nan'::FLOAT", Schema.Number, Number.NaN],
  ["0.1::FLOAT", Schema.Finite, 0.1],
  ["1.50::DECIMAL(4, 2)", Schema.Finite, 1.5],
  ["1.50::DECIMAL(4, 2)", Schema.BigDecimal, decimal("1.5")],
  [
    "12345678901234567890123456789012345.678::DECIMAL(38, 3)",
    Schema.BigDecimal,
    decimal("12345678901234567890123456789012345.678")
  ],
  ["'é \"\\ \n'", Schema.String, 'é "\\ \n'],
  ["'\\x00\\xFFa\\x5C'::BLOB", Schema.Uint8Array, new Uint8Array([0, 255, 97, 92])],
  ["DATE '2024-02-29'", Schema.Date, new Date("2024-02-29T00:00:00Z")],
  ["TIMESTAMP '2024-01-02 09:30:00.123'", Schema.DateTimeUtc, utc("2024-01-02T09:30:00.123Z")],
  ["TIMESTAMPTZ '2024-01-02 09:30:00+02'", Schema.DateTimeUtc, utc("2024-01-02T07:30:00Z")],
  ["TIMESTAMP_S '2024-01-02 09:30:00'", Schema.Date, new Date("2024-01-02T09:30:00Z")],
  ["TIMESTAMP_MS '2024-01-02 09:30:00.5'", Schema.Date, new Date("2024-01-02T09:30:00.500Z")],
  ["TIMESTAMP_NS '2024-01-02 09:30:00.000001'", Rows.Timestamp, { epochMicros: 1704187800000001n }],
  ["TIMESTAMP '1969-12-31 23:59:59.999999'", Rows.Timestamp, { epochMicros: -1n }],
  ["DATE '0044-03-15 (BC)'", Schema.Date, new Date("-000043-03-15T00:00:00Z")],
  ["TIMESTAMP '0044-03-15 (BC) 12:00:00'", Schema.DateTimeUtc, utc("-000043-03-15T12:00:00Z")],
  ["TIMESTAMPTZ '0044-03-15 (BC) 12:00:00.5+02'", Schema.Date, new Date("-000043-03-15T10:00:00.500Z")],
  ["TIMESTAMP '0044-03-15 (BC) 12:00:00.000001'", Rows.Timestamp, { epochMicros: -63_517_780_799_999_999n }],
  ["DATE 'infinity'", Schema.Union([Schema.Literal("infinity"), Schema.Date]), "infinity"],
  ["TIME '09:30:00.5'", Schema.String, "09:30:00.5"],
  ["INTERVAL '1 month 2 days 3 seconds'", Schema.String, "1 month 2 days 00:00:03"],
  ["'e4a1b2c3-0000-4000-8000-000000000001'::UUID", Schema.String, "e4a1b2c3-0000-4000-8000-000000000001"],
  ["'b'::ENUM('a', 'b')", Schema.Literals(["a", "b"]), "b"],
  ["'101'::BIT", Schema.String, "101"],
  ["NULL", Schema.NullOr(Schema.BigInt), null],
  ["[1, NULL, 9007199254740993]", Schema.Array(Schema.NullOr(Schema.BigInt)), [1n, null, 9007199254740993n]],
  ["[[1.5, 2.5]]", Schema.Array(Schema.Array(Schema.BigDecimal)), [[decimal("1.5"), decimal("2.5")]]],
  [
    "{'a': 9007199254740993, 'b': ['x']}",
    Schema.Struct({ a: Schema.BigInt, b: Schema.Array(Schema.String) }),
    { a: 9007199254740993n, b: ["x"] }
  ],
  [
    "MAP {'k': 18446744073709551615::UBIGINT}",
    Schema.Record(Schema.String, Schema.BigInt),
    { k: 2n ** 64n - 1n }
  ],
  [
    "MAP {7: DATE '2024-01-02'}",
    Schema.Record(Schema.String, Schema.Date),
    { 7: new Date("2024-01-02T00:00:00Z") }
  ],
  ["union_value(n := 9007199254740993)", Schema.Struct({ n: Schema.BigInt }), { n: 9007199254740993n }],
  [
    '\'{"a": [1, {"b": 2.5}]}\'::JSON',
    Schema.Struct({ a: Schema.Tuple([Schema.Int, Schema.Struct({ b: Schema.Finite })]) }),
    { a: [1, { b: 2.5 }] }
  ],
  ["'007'", Schema.Union([Schema.Int, Schema.String]), "007"],
  ["7::BIGINT", Schema.Union([Schema.String, Schema.Int]), 7],
  [
    "{'a b': ['007'], \"c\"\"d\": MAP {'k': 5::HUGEINT}}",
    Schema.Record(Schema.String, nested),
    { "a b": ["007"], 'c"d': { k: 5n } }
  ],
  ["'2024-01-02'", Schema.Union([Schema.Date, Schema.String]), "2024-01-02"],
  ["'[1e400, 1e-400, 1e300]'::JSON", Schema.Array(Schema.Unknown), ["1e400", "1e-400", 1e300]]
]

const name = (i: number) => `c${i}`
const all = `SELECT ${values.map(([sql], i) => `${sql} AS ${name(i)}`).join(", ")}`
const schema = Schema.Struct(Object.fromEntries(values.map(([, schema], i) => [name(i), schema])))

describe("rows of DuckDB", () => {
  it.effect("have a value of every type, exactly", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const [row = {}] = yield* Stream.runCollect(client.rows({ query: all }, schema))
        for (const [i, [sql, , value]] of values.entries()) {
          assert.isTrue(
            Equal.equals((row as Record<string, unknown>)[name(i)], value),
            `${sql} is ${row[name(i)]}`
          )
        }
      })
    )
  )

  it.effect("have the same where numbers are numbers, but for those that are not finite", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const finite = values.filter(([, , value]) => typeof value !== "number" || Number.isFinite(value))
        const wide = finite.filter(([, schema]) => schema !== Schema.String)
        const query = `SELECT ${wide.map(([sql], i) => `${sql} AS ${name(i)}`).join(", ")}`
        const own = Schema.Struct(Object.fromEntries(wide.map(([, schema], i) => [name(i), schema])))
        const [exact] = yield* Stream.runCollect(client.rows({ query }, own))
        const [found] = yield* Stream.runCollect(client.rows({ query, numbers: "number" }, own))
        assert.isTrue(Equal.equals(found, exact))
        assert.deepStrictEqual(
          yield* Stream.runCollect(
            client.rows({
              query: "SELECT 5::BIGINT AS a, 9007199254740993 AS b, 9007199254740993.5 AS c",
              numbers: "number"
            })
          ),
          [{ a: 5, b: "9007199254740993", c: "9007199254740993.5" }]
        )
      })
    )
  )

  it.effect.each([
    ["9007199254740993", Schema.Int],
    ["1.2345678901234567890::DECIMAL(20, 19)", Schema.Finite],
    ["TIMESTAMP '2024-01-02 09:30:00.000001'", Schema.DateTimeUtc],
    ["DATE '5877642-06-25 (BC)'", Schema.Date],
    ["DATE 'infinity'", Schema.Date],
    ["NULL::BIGINT", Schema.BigInt],
    ["'007'", Schema.Int],
    ["'101'::BIT", Schema.Int],
    ["'2024-01-02'", Schema.Date],
    ["'1e400'::JSON", Schema.Number],
    ["'x'", Schema.Uint8Array.check(Schema.makeFilter(() => "none will do"))]
  ] as ReadonlyArray<readonly [string, Schema.ConstraintDecoder<unknown>]>)(
    "are refused rather than changed: %s",
    ([sql, schema]) =>
      withClient((client) =>
        Effect.gen(function* () {
          const rows = client.rows({ query: `SELECT ${sql} AS a` }, Schema.Struct({ a: schema }))
          const error = yield* Effect.flip(Stream.runDrain(rows))
          assert.match(error.message, /^Row 1 does not match the schema at \["a"\]: /)
        })
      )
  )

  it.effect("are what an error says that would do", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const time = "TIMESTAMP '2024-01-02 09:30:00.446765'"
        const one = (sql: string) =>
          Stream.runCollect(
            client.rows({ query: `SELECT ${sql} AS a` }, Schema.Struct({ a: Schema.DateTimeUtc }))
          )
        const { message } = yield* Effect.flip(one(time))
        assert.include(message, "use Rows.Timestamp, or round in the query by a cast to TIMESTAMP_MS")
        const stamp = (sql: string) =>
          client.rows({ query: `SELECT ${sql} AS a` }, Schema.Struct({ a: Rows.Timestamp }))
        const finer = yield* Effect.flip(
          Stream.runDrain(stamp("TIMESTAMP_NS '2024-01-02 09:30:00.000000001'"))
        )
        assert.match(finer.message, /Expected a Timestamp, got .* \(Rows\.Timestamp holds microseconds: /)
        const infinite = yield* Effect.flip(Stream.runDrain(stamp("TIMESTAMP '-infinity'")))
        assert.match(infinite.message, /Expected a Timestamp, got "-infinity" \(.* hold no infinite time: /)
        const far = yield* Effect.flip(Stream.runDrain(stamp("TIMESTAMP '294000-01-01 00:00:00'")))
        assert.include(far.message, "hold times up to the year 275760")
        const text = yield* Effect.flip(one("'2024-01-02'"))
        assert.include(text.message, "it is a VARCHAR, so a text: cast it in the query")
        const [row] = yield* one(`${time}::TIMESTAMP_MS`)
        assert.strictEqual(row?.a.pipe(DateTime.formatIso), "2024-01-02T09:30:00.447Z")
      })
    )
  )

  it.effect("have a name for each column, `__proto__` too", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const query = `SELECT 1 AS a, 2 AS a, {'x': 3} AS "__proto__"`
        const plain = yield* Stream.runCollect(client.rows({ query }))
        const row = { a: 1, a_1: 2, ["__proto__"]: { x: 3 } }
        assert.deepStrictEqual(plain, [row])
        const Proto = Schema.Struct({ a: Schema.Int, ["__proto__"]: Schema.Struct({ x: Schema.BigInt }) })
        const [found] = yield* Stream.runCollect(client.rows({ query }, Proto))
        assert.deepStrictEqual(found, { a: 1, ["__proto__"]: { x: 3n } })
        assert.strictEqual(Object.getPrototypeOf(found), Object.prototype)
      })
    )
  )

  it.effect("come in order and whole, whatever their number", () =>
    withClient((client) =>
      Effect.gen(function* () {
        const query = "SELECT i, repeat('é', (i % 500)::INTEGER) AS t FROM range(20000) r(i)"
        const Numbered = Schema.Struct({ i: Schema.Int, t: Schema.String })
        const rows = yield* Stream.runCollect(client.rows({ query }, Numbered))
        assert.isTrue(
          rows.length === 20_000 && rows.every(({ i, t }, at) => i === at && t.length === at % 500)
        )
      })
    )
  )

  it.effect("end with the query's failure, after those before it", () =>
    withClient((client) =>
      Effect.gen(function* () {
        let count = 0
        const query =
          "SELECT CASE WHEN i < 20000 THEN repeat('x', 1000) ELSE error('no more') END AS t FROM range(30000) r(i)"
        const rows = Stream.runForEach(client.rows({ query }), () => Effect.sync(() => count++))
        assert.deepInclude(yield* Effect.flip(rows), { _tag: "QueryError", code: "execution_failed" })
        assert.isAbove(count, 0)
        assert.isAtMost(count, 20_000)
      })
    )
  )
})
