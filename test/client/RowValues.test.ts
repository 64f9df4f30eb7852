import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as Rows from "../../src/client/Rows.ts"
import * as RowTypes from "../../src/client/RowTypes.ts"
import * as RowValues from "../../src/client/RowValues.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"

/** What a schema makes of a value of JSON, of a type if it is known; `undefined` if it refuses it. */
const decode = <A>(schema: Schema.ConstraintDecoder<A>, value: unknown, type?: string): A | undefined => {
  const known = type === undefined ? RowTypes.unknown : RowTypes.parse(type)
  const exit = Schema.decodeUnknownExit(schema)(RowValues.of(schema.ast, known)(value))
  return exit._tag === "Success" ? exit.value : undefined
}

const time = (text: string): string | undefined => decode(Schema.Date, text)?.toISOString()

describe("numbers", () => {
  it("are those of a text as long as all digits can be kept", () => {
    for (const [text, number] of [
      ["5", 5],
      ["-1.50", -1.5],
      ["0.000", 0],
      ["9007199254740991", 9007199254740991],
      ["1e21", 1e21],
      ["1152921504606846976", 2 ** 60],
      ["NaN", Number.NaN],
      ["-Infinity", Number.NEGATIVE_INFINITY]
    ] as const) {
      assert.deepStrictEqual(decode(Schema.Number, text), number)
    }
    for (const text of [
      "9007199254740993",
      "40949808554126170",
      "0.12345678901234567",
      "",
      " 5",
      "0x10",
      "5n",
      "--5",
      "1."
    ]) {
      assert.isUndefined(decode(Schema.Number, text), text)
    }
    assert.isUndefined(decode(Schema.Finite, "NaN"))
    assert.isUndefined(decode(Schema.Int, "1.5"))
  })

  it("are exact as bigint and as BigDecimal", () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.nat(30), (value, scale) => {
        assert.strictEqual(decode(Schema.BigInt, String(value)), value)
        const decimal = BigDecimal.make(value, scale)
        const found = decode(Schema.BigDecimal, BigDecimal.format(decimal))
        assert.isTrue(found !== undefined && BigDecimal.equals(found, decimal))
      })
    )
    assert.strictEqual(decode(Schema.BigInt, 5), 5n)
    // The digits that it came with; the double is less by two.
    assert.strictEqual(decode(Schema.BigInt, 40949808554126168), 40949808554126170n)
    assert.strictEqual(
      decode(Schema.BigDecimal, 40949808554126168)?.pipe(BigDecimal.format),
      "40949808554126170"
    )
    assert.isUndefined(decode(Schema.BigInt, 1e300))
    assert.isUndefined(decode(Schema.BigInt, 1.5))
    assert.isUndefined(decode(Schema.BigInt, "1.0"))
    assert.strictEqual(BigDecimal.format(decode(Schema.BigDecimal, 1.5) ?? BigDecimal.fromBigInt(0n)), "1.5")
    assert.isUndefined(decode(Schema.BigDecimal, "NaN"))
    assert.isUndefined(decode(Schema.BigDecimal, ""))
  })

  it("of a hostile length are refused rather than read", () => {
    assert.isUndefined(decode(Schema.BigInt, "9".repeat(10_001)))
    assert.isUndefined(decode(Schema.BigDecimal, "1e99999999"))
  })
})

describe("times", () => {
  it.each([
    ["2024-01-02", "2024-01-02T00:00:00.000Z"],
    ["2024-02-29 23:59:59.5", "2024-02-29T23:59:59.500Z"],
    ["2024-01-02 09:30:00.123000", "2024-01-02T09:30:00.123Z"],
    ["2024-01-02 09:30:00+00", "2024-01-02T09:30:00.000Z"],
    ["2024-01-02 09:30:00+05:30", "2024-01-02T04:00:00.000Z"],
    ["2024-01-02 09:30:00.25-03", "2024-01-02T12:30:00.250Z"],
    ["2024-01-02T09:30:00Z", "2024-01-02T09:30:00.000Z"],
    ["0044-03-15 12:00:00", "0044-03-15T12:00:00.000Z"],
    ["1969-12-31 23:59:59.999", "1969-12-31T23:59:59.999Z"],
    ["12024-01-02", "+012024-01-02T00:00:00.000Z"],
    ["-000043-03-15T12:00:00.000Z", "-000043-03-15T12:00:00.000Z"],
    ["275760-09-13", "+275760-09-13T00:00:00.000Z"],
    ["0044-03-15 (BC)", "-000043-03-15T00:00:00.000Z"],
    ["0044-03-15 (BC) 01:02:03.5", "-000043-03-15T01:02:03.500Z"],
    ["0001-02-29 (BC) 23:00:00-02", "0000-03-01T01:00:00.000Z"],
    ["10000-01-02 (BC)", "-009999-01-02T00:00:00.000Z"]
  ])("are in UTC unless they say otherwise: %s", (text, iso) => {
    assert.strictEqual(time(text), iso)
    assert.strictEqual(decode(Schema.DateTimeUtc, text)?.pipe(DateTime.formatIso), iso)
  })

  it.each([
    "2024-02-30",
    "2023-02-29",
    "2024-13-01",
    "2024-00-10",
    "2024-01-00",
    "2024-01-02 24:00:00",
    "2024-01-02 09:60:00",
    "275760-09-13 00:00:00.001",
    "0002-02-29 (BC)",
    "-000043-03-15 (BC)",
    "300000-01-01 (BC)",
    "0044-03-15 01:02:03 (BC)",
    "infinity",
    "09:30:00",
    "2024-01-02 09:30",
    "2024-01-02 09:30:00.000001",
    ""
  ])("are refused where a Date cannot hold them: %j", (text) => {
    assert.isUndefined(time(text))
  })

  it("are what a Date has, and to the microsecond what a Timestamp has", () => {
    const instants = fc.date({ min: new Date(-62e12), max: new Date(253e12), noInvalidDate: true })
    fc.assert(
      fc.property(instants, fc.nat(999), (date, micros) => {
        const text = date.toISOString().replace("T", " ").slice(0, -1)
        assert.strictEqual(time(text), date.toISOString())
        const found = decode(Rows.Timestamp, `${text}${String(micros).padStart(3, "0")}`)
        assert.strictEqual(found?.epochMicros, BigInt(date.getTime()) * 1000n + BigInt(micros))
      })
    )
    const ides = decode(Rows.Timestamp, "0044-03-15 (BC) 12:00:00.000001")
    assert.strictEqual(ides?.epochMicros, -63_517_780_799_999_999n)
    assert.isUndefined(decode(Rows.Timestamp, "2024-01-02 09:30:00.000000001"))
    for (const [text, micros] of [
      ["294247-01-10 04:00:54.775806", 9_223_372_036_854_775_806n],
      ["290309-12-22 (BC) 00:00:00", -9_223_372_022_400_000_000n],
      ["275760-09-13 00:00:00.000001", 8_640_000_000_000_000_001n],
      ["0000-01-01 00:00:00", -62_167_219_200_000_000n]
    ] as const) {
      assert.strictEqual(decode(Rows.Timestamp, text)?.epochMicros, micros)
    }
  })
})

it("bytes are those of DuckDB's text", () => {
  const text = (bytes: Uint8Array) =>
    Array.from(bytes, (byte) =>
      byte >= 32 && byte < 127 && !`\\'"`.includes(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`
    ).join("")
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepStrictEqual(decode(Schema.Uint8Array, text(bytes)), bytes)
    })
  )
  for (const wrong of ["é", "\\x0", "\\n", "\\", "\n"]) assert.isUndefined(decode(Schema.Uint8Array, wrong))
})

interface Tree {
  readonly n: bigint
  readonly children: ReadonlyArray<Tree>
}

const Tree = Schema.Struct({
  n: Schema.BigInt,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree, unknown> => Tree as never))
})

describe("inside", () => {
  const A = Schema.Struct({ kind: Schema.Literal("a"), value: Schema.BigInt })
  const B = Schema.Struct({ kind: Schema.Literal("b"), value: Schema.Finite })

  it.each([
    [
      "a struct",
      Schema.Struct({ a: Schema.BigInt, b: Schema.String }),
      { a: "1", b: "2" },
      { a: 1n, b: "2" }
    ],
    ["a list", Schema.Array(Schema.NullOr(Schema.BigInt)), ["1", null], [1n, null]],
    ["a tuple", Schema.Tuple([Schema.String, Schema.BigInt]), ["1", "2"], ["1", 2n]],
    [
      "a tuple with a rest",
      Schema.TupleWithRest(Schema.Tuple([Schema.String]), [Schema.BigInt, Schema.Finite]),
      ["1", "2", "3", "4"],
      ["1", 2n, 3n, 4]
    ],
    [
      "a record",
      Schema.Record(Schema.String, Schema.BigInt),
      { x: "1", ["__proto__"]: "2" },
      { x: 1n, ["__proto__"]: 2n }
    ],
    [
      "itself",
      Tree,
      { n: "1", children: [{ n: "2", children: [] }] },
      { n: 1n, children: [{ n: 2n, children: [] }] }
    ],
    ["a union of structs", Schema.Union([A, B]), { kind: "b", value: "1" }, { kind: "b", value: 1 }],
    ["a union with text", Schema.Union([Schema.Literal("infinity"), Schema.BigInt]), "5", 5n],
    [
      "a union with text that it is",
      Schema.Union([Schema.Literal("infinity"), Schema.BigInt]),
      "infinity",
      "infinity"
    ],
    ["literals", Schema.Literals([1, 2]), "2", 2],
    ["what is optional", Schema.Struct({ a: Schema.optional(Schema.BigInt) }), { a: "1" }, { a: 1n }],
    ["what is not there", Schema.Struct({ a: Schema.optionalKey(Schema.BigInt) }), {}, {}],
    [
      "a class",
      class extends Schema.Class<{ a: bigint }>("Row")({ a: Schema.BigInt }) {},
      { a: "1" },
      { a: 1n }
    ],
    [
      "a check",
      Schema.Struct({
        a: Schema.BigDecimal.check(Schema.isGreaterThanOrEqualToBigDecimal(BigDecimal.fromBigInt(0n)))
      }),
      { a: "-1" },
      undefined
    ],
    [
      "a transformation",
      Schema.Struct({ a: Schema.FiniteFromString, b: Schema.BigIntFromString }),
      { a: "1", b: "2" },
      { a: 1, b: 2n }
    ]
  ] as ReadonlyArray<readonly [string, Schema.ConstraintDecoder<unknown>, unknown, unknown]>)(
    "%s they are had",
    (_, schema, value, expected) => {
      const found = decode(schema, value)
      assert.deepEqual(
        found === undefined ? found : { ...Object(found) },
        expected === undefined ? expected : { ...Object(expected) }
      )
    }
  )

  it("a schema of one's own is taken for one of the classes, or for none", () => {
    class Amount {}
    assert.isUndefined(decode(Schema.instanceOf(Amount), "5"))
    assert.strictEqual(decode(Schema.Unknown, "5"), "5")
    const anything = Schema.declare((value): value is object => typeof value === "object")
    assert.isUndefined(decode(anything, "5"))
    assert.instanceOf(decode(Schema.instanceOf(QueryApi.Timestamp), "2024-01-02"), QueryApi.Timestamp)
  })
})

describe("the type of a column decides", () => {
  const { BigDecimal: Decimal, BigInt, Date, Int, Number, String, Uint8Array } = Schema
  const either = Schema.Union([Int, String])
  const text = Schema.Union([String, BigInt])

  it.each([
    ["a number is one", Int, "5", "BIGINT", 5],
    ["a text is none", Int, "007", "VARCHAR", undefined],
    ["bits are none", Int, "101", "BIT", undefined],
    ["an interval is none", BigInt, "1", "INTERVAL", undefined],
    ["the name of a value is none", Number, "NaN", "ENUM('NaN', 'a,b')", undefined],
    ["a text is no time", Date, "2024-01-02", "VARCHAR", undefined],
    ["a text is no bytes", Uint8Array, "hello", "VARCHAR", undefined],
    ["a text is a text before others", either, "007", "VARCHAR", "007"],
    ["a number is a number before others", text, "5", "HUGEINT", 5n],
    ["a number that no member can hold is a text", either, "1.50", "DECIMAL(9,2)", "1.50"],
    ["bytes are bytes before others", Schema.Union([String, Schema.NullOr(BigInt)]), "5", "BLOB", "5"],
    ["in a list", Schema.Array(either), ["007"], "VARCHAR[]", ["007"]],
    ["in a list of a length", Schema.Array(either), ["7"], "BIGINT[1]", [7]],
    [
      "in a struct",
      Schema.Struct({ 'a ", (b': either, c: either }),
      { 'a ", (b': "007", c: "8" },
      'STRUCT("a "", (b" VARCHAR, c BIGINT)',
      { 'a ", (b': "007", c: 8 }
    ],
    ["in a map", Schema.Record(String, either), { x: "7" }, "MAP(VARCHAR, DECIMAL(9,2))", { x: 7 }],
    ["in a map of texts", Schema.Record(String, either), { x: "7" }, "MAP(BIGINT, VARCHAR)", { x: "7" }],
    [
      "in lists of structs",
      Schema.Array(Schema.Array(Schema.Struct({ a: either }))),
      [[{ a: "1" }]],
      'STRUCT("a" VARCHAR)[][3]',
      [[{ a: "1" }]]
    ],
    ["in a union", Schema.Record(String, either), { n: "7" }, 'UNION("s" VARCHAR, "n" BIGINT)', { n: 7 }],
    ["of JSON a short text is none", Schema.Union([BigInt, String]), "007", "JSON", "007"],
    ["of JSON long digits are a number", BigInt, "12345678901234567890", "JSON", 12345678901234567890n],
    ["of JSON a number beyond a double is none of them", Number, "1e400", "JSON", undefined],
    ["a double is not infinite that was none", Number, "1e400", "DOUBLE", undefined]
  ] as ReadonlyArray<readonly [string, Schema.ConstraintDecoder<unknown>, unknown, string, unknown]>)(
    "%s",
    (_, schema, value, type, expected) => {
      assert.deepEqual(decode(schema, value, type), expected)
    }
  )

  it("also the type of one that a schema was asked for before", () => {
    assert.strictEqual(decode(either, "7", "BIGINT"), 7)
    assert.strictEqual(decode(either, "7", "VARCHAR"), "7")
    for (let size = 1; size < 100; size++) decode(either, "7", `DECIMAL(${size},0)`)
    assert.strictEqual(decode(either, "7", "VARCHAR"), "7")
  })

  it("a number of JSON beyond a double is a BigDecimal", () => {
    const found = decode(Decimal, "1e400", "JSON")
    assert.isTrue(found !== undefined && BigDecimal.equals(found, BigDecimal.make(1n, -400)))
  })

  it("is looked at no deeper than the schema goes, however deep it is", () => {
    const deep = `${'STRUCT("a" '.repeat(50_000)}BIGINT${")".repeat(50_000)}`
    assert.deepStrictEqual(decode(Schema.Struct({ a: Schema.Unknown }), { a: "1" }, deep), { a: "1" })
    const list = `BIGINT${"[]".repeat(50_000)}`
    assert.deepStrictEqual(decode(Schema.Array(Schema.Unknown), ["1"], list), ["1"])
  })
})
