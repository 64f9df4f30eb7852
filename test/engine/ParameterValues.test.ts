import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as ParameterValues from "../../src/engine/ParameterValues.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"

const body = (parameters: unknown): string =>
  new TextDecoder().decode(QueryApi.encodeRequest({ query: "q", parameters: parameters as never }))

/** What an engine gets of a request. */
const received = (request: Uint8Array | string) =>
  Effect.gen(function* () {
    let parameters: QueryApi.Parameters | undefined
    const engine = QueryApi.makeEngine({
      formats: ["application/json"],
      run: (request) => {
        parameters = request.parameters
        return Effect.succeed({ chunks: Stream.empty })
      }
    })
    yield* engine.init(typeof request === "string" ? new TextEncoder().encode(request) : request)
    return parameters
  }).pipe(
    Effect.scoped,
    Effect.mapError((error) => ("payload" in error ? QueryApi.decodeError(error.payload).message : ""))
  )

const bigDecimal = (text: string) => BigDecimal.fromStringUnsafe(text)

describe("parameters", () => {
  it.effect("reach the engine as they are", () =>
    Effect.gen(function* () {
      const parameters = [
        null,
        true,
        0,
        -0,
        2 ** 53 - 1,
        0.1 + 0.2,
        1e21,
        5e-324,
        2n ** 63n,
        -(10n ** 60n),
        "it's \u0000 é😀",
        Uint8Array.of(0, 255, 92),
        [],
        [[], [1n]],
        { ["__proto__"]: 1, "": 2, b: [Uint8Array.of()] }
      ]
      const back = yield* received(QueryApi.encodeRequest({ query: "q", parameters }))
      const list = back as ReadonlyArray<unknown>
      assert.isTrue(Object.is(list[3], -0))
      // Safe integers are numbers, whatever they were.
      const expected = parameters.map((value) =>
        Array.isArray(value) && value.length === 2 ? [[], [1]] : value
      )
      assert.deepStrictEqual(back, expected as never)
    })
  )

  it.effect("are decimals to their last digit, and instants", () =>
    Effect.gen(function* () {
      const date = new Date("2026-01-31T12:00:00.123Z")
      const zoned = DateTime.makeZonedUnsafe(date, { timeZone: "Europe/Paris" })
      const back = yield* received(
        QueryApi.encodeRequest({
          query: "q",
          parameters: {
            a: bigDecimal("1.10"),
            b: bigDecimal("-0.00000000000000000001"),
            c: [date, zoned, null, new QueryApi.Timestamp(-1n), new QueryApi.Timestamp(-2000n)]
          }
        })
      )
      const { a, b, c } = back as Record<string, never>
      assert.deepStrictEqual([a, b], [BigDecimal.make(110n, 2), BigDecimal.make(-1n, 20)] as never)
      const utc = DateTime.makeUnsafe(date)
      // To the microsecond only where it has to be.
      const fine = [new QueryApi.Timestamp(-1n), DateTime.makeUnsafe(-2)]
      assert.deepStrictEqual(c, [utc, utc, null, ...fine] as never)
    })
  )

  it.effect("are instants of all years that DuckDB has", () =>
    Effect.gen(function* () {
      const last = 9_223_372_036_854_775_806n
      const first = -9_223_372_022_400_000_000n
      const times = [last, first, 8_640_000_000_000_000_001n, -8_640_000_000_000_001_000n]
      const parameters = times.map((micros) => new QueryApi.Timestamp(micros))
      const request = QueryApi.encodeRequest({ query: "q", parameters })
      assert.deepStrictEqual(yield* received(request), parameters as never)
      assert.include(
        new TextDecoder().decode(request),
        '["+294247-01-10T04:00:54.775806Z","-290308-12-22T00:00:00.000000Z",' +
          '"+275760-09-13T00:00:00.000001Z","-271821-04-19T23:59:59.999000Z"]'
      )
    })
  )

  it.effect("may be null whatever their type is", () =>
    Effect.gen(function* () {
      const types = ["double", "bigint", "decimal", "hugeint", "blob", "timestamp", ["double"], { a: "blob" }]
      const body = { version: "v1", query: "q", parameters: types.map(() => null), parameterTypes: types }
      assert.deepStrictEqual(yield* received(JSON.stringify(body)), body.parameters as never)
    })
  )

  it.effect("have the type of number that they name", () =>
    Effect.gen(function* () {
      const doubles = [7, -0, 0.1, 1e300, Number.NaN, Number.NEGATIVE_INFINITY]
      const parameters = {
        double: doubles.map((value) => new QueryApi.Numeric("double", value)),
        others: [
          new QueryApi.Numeric("decimal", bigDecimal("7.00")),
          new QueryApi.Numeric("bigint", -(2n ** 63n)),
          new QueryApi.Numeric("hugeint", 1n)
        ]
      }
      const request = QueryApi.encodeRequest({ query: "q", parameters })
      const back = yield* received(request)
      assert.deepStrictEqual(back, parameters as never)
      const json = '"double":[7,-0,0.1,1e+300,"NaN","-Infinity"],"others":[7.00,-9223372036854775808,1]'
      assert.include(new TextDecoder().decode(request), json)
    })
  )

  it("are on the wire as they are written", () => {
    assert.include(
      body([1.5, 0.30000000000000004, 1e20, 12345678901234567890n, bigDecimal("1.10"), -0]),
      '"parameters":[1.5e0,0.30000000000000004e0,100000000000000000000e0,12345678901234567890,1.10,-0]'
    )
  })

  const cycle: Array<unknown> = []
  cycle.push(cycle)
  for (const [what, parameters, message] of [
    ["NaN", [1, Number.NaN], "parameters.2: NaN"],
    ["Infinity", { a: [Number.NEGATIVE_INFINITY] }, "parameters.a[0]: -Infinity"],
    ["undefined", { a: undefined }, "parameters.a: undefined"],
    ["a hole", [new Array(1)], "parameters.1[0]: undefined"],
    ["a function", [() => 1], "parameters.1: a function"],
    ["a symbol", [Symbol("s")], "parameters.1: a symbol"],
    ["a Map", [new Map([[1, 2]])], "parameters.1: a Map"],
    ["an ArrayBuffer", [new ArrayBuffer(1)], "parameters.1: an ArrayBuffer has no SQL value"],
    [
      "an object that inherits",
      [Object.create({ a: 1 })],
      "parameters.1: an object with a prototype of its own"
    ],
    [
      "a getter that throws",
      {
        a: [
          {
            get b() {
              throw new Error("no b")
            }
          }
        ]
      },
      "parameters.a[0].b: it cannot be read (no b)"
    ],
    ["a Set", { s: { t: new Set() } }, "parameters.s.t: a Set"],
    ["other numbers in bytes", [new Float64Array(1)], "parameters.1: a Float64Array"],
    ["an invalid Date", [new Date("")], "parameters.1: an invalid Date"],
    [
      "a time beyond all",
      [new QueryApi.Timestamp(2n ** 63n)],
      "parameters.1: expected a timestamp in the years"
    ],
    ["half a character", ["\ud800"], "parameters.1: the text has half"],
    ["a fraction as a bigint", [new QueryApi.Numeric("bigint", 0.5)], "parameters.1: a bigint is"],
    [
      "a decimal that would be rounded",
      [bigDecimal(`0.${"1".repeat(39)}`)],
      "parameters.1: a decimal of more"
    ],
    ["a Map themselves", new Map([["a", 1]]), "parameters: a Map"],
    ["null themselves", null, "parameters: expected a list or an object"],
    ["a value that holds itself", [cycle], "holds itself"]
  ] as ReadonlyArray<readonly [string, unknown, string]>) {
    it(`may not be ${what}`, () => {
      try {
        body(parameters)
        assert.fail("it was encoded")
      } catch (error) {
        assert.instanceOf(error, QueryApi.QueryError)
        assert.strictEqual((error as QueryApi.QueryError).code, "bad_request")
        assert.include((error as QueryApi.QueryError).message, message)
      }
    })
  }

  for (const [what, fields, message] of [
    ["a name that occurs twice", '"parameters":{"a":1,"a":2}', "occurs twice"],
    ["a name that occurs twice, written otherwise", '"parameters":[{"a":1,"\\u0061":2}]', "occurs twice"],
    ["a number beyond all doubles", '"parameters":[1e400]', "1e400"],
    ["a number that would be zero", '"parameters":[[1e-400]]', "1e-400"],
    ["a number without end", `"parameters":[${"9".repeat(20_000)}]`, "10000 digits"],
    ["a blob that is none", '"parameters":["~"],"parameterTypes":["blob"]', "parameters.1: a blob"],
    [
      "a timestamp of nanoseconds",
      '"parameters":["2026-01-31T12:00:00.123456789Z"],"parameterTypes":["timestamp"]',
      "parameters.1: at most 6 digits of a second"
    ],
    [
      "a timestamp beyond all",
      '"parameters":["+294248-01-01T00:00:00Z"],"parameterTypes":["timestamp"]',
      "parameters.1: a timestamp in the years"
    ],
    ["a timestamp that is none", '"parameters":{"t":"x"},"parameterTypes":{"t":"timestamp"}', "parameters.t"],
    ...["2026-02-30", "2025-02-29", "2026-04-31", "1900-02-29"].map(
      (day) =>
        [
          `the day ${day}`,
          `"parameters":["${day}T00:00:00Z"],"parameterTypes":["timestamp"]`,
          "parameters.1"
        ] as const
    ),
    [
      "more than a double",
      `"parameters":[1${"0".repeat(400)}],"parameterTypes":["double"]`,
      "parameters.1: a double"
    ],
    ["a text for a double", '"parameters":["1"],"parameterTypes":["double"]', "parameters.1: a double is"],
    [
      "too much for a bigint",
      `"parameters":[${2n ** 63n}],"parameterTypes":["bigint"]`,
      "parameters.1: a bigint"
    ],
    ["half a character", '"parameters":[1,[{"a":"\\ud83d"}]]', "parameters.2: the text has half"],
    ["half a character in a name", '"parameters":{"a":{"\\uDC00":1}}', "parameters.a: the text has half"],
    ["an unknown type", '"parameters":["x"],"parameterTypes":["inet"]', "parameterTypes"],
    [
      "a type of nothing",
      '"parameters":{"a":1},"parameterTypes":{"b":"double"}',
      "parameterTypes.b: parameters has"
    ],
    [
      "a type of nothing in a value",
      '"parameters":[1,{"a":1}],"parameterTypes":[null,{"A":"double"}]',
      "parameterTypes.2.A: parameters has"
    ],
    ["types without values", '"parameterTypes":{"a":"double"}', "parameterTypes.a: parameters has"],
    ["types of another shape", '"parameters":["x"],"parameterTypes":{"a":"blob"}', "parameterTypes"]
  ] as const) {
    it.effect(`with ${what} are a bad request`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(received(`{"version":"v1","query":"q",${fields}}`))
        assert.include(error, message)
      })
    )
  }

  it.effect("and other fields may have whole characters in escapes", () =>
    Effect.gen(function* () {
      const back = yield* received('{"version":"v1","query":"q","parameters":["\\ud83d\\ude00"]}')
      assert.deepStrictEqual(back, ["😀"])
      const half = '{"version":"v1","query":"\\ud83d"}'
      assert.include(yield* Effect.flip(received(half)), "query: the text has half")
      assert.throws(() => QueryApi.encodeRequest({ query: "\ud83d" }), /query: the text has half/)
      assert.throws(
        () => QueryApi.encodeRequest({ query: "q", metadata: { a: "\udc00" } }),
        /metadata: the text/
      )
    })
  )

  it.effect("may be any day that there is", () =>
    Effect.gen(function* () {
      const days = ["2024-02-29", "2000-02-29", "2026-12-31", "-000004-02-29", "+275760-09-13"]
      const times = JSON.stringify(days.map((day) => `${day}T00:00:00Z`))
      const types = JSON.stringify(days.map(() => "timestamp"))
      const back = yield* received(
        `{"version":"v1","query":"q","parameters":${times},"parameterTypes":${types}}`
      )
      assert.deepStrictEqual(
        (back as ReadonlyArray<DateTime.Utc>).map((time) => DateTime.formatIso(time).split("T")[0]),
        days
      )
    })
  )

  it("of a request's other fields are numbers of any form", () => {
    for (const timeoutMs of ["250", "2.5e2", "250.0"]) {
      const request = new TextEncoder().encode(`{"version":"v1","query":"q","timeoutMs":${timeoutMs}}`)
      assert.isTrue(Result.isSuccess(Result.try(() => Effect.runSync(received(request)))))
    }
  })
})

describe("a text as a parameter", () => {
  const ones = "1".repeat(37)
  const values: ReadonlyArray<readonly [string, unknown]> = [
    ["41", 41],
    ["-1.5", BigDecimal.make(-15n, 1)],
    ["true", true],
    ["false", false],
    ["null", null],
    ['"41"', "41"],
    ["9007199254740991", 9007199254740991],
    ["9007199254740993", 9007199254740993n],
    [`-${ones}123`, BigInt(`-${ones}123`)],
    ["1.10", BigDecimal.make(110n, 2)],
    ["1.0", BigDecimal.make(10n, 1)],
    // 38 digits: a zero before the point is none of them.
    [`0.${ones}2`, BigDecimal.make(BigInt(`${ones}2`), 38)],
    [`-1.${ones}`, BigDecimal.make(BigInt(`-1${ones}`), 37)]
  ]
  for (const [text, expected] of values) {
    it(`${text} is ${BigDecimal.isBigDecimal(expected) ? "a decimal" : `the ${typeof expected} ${expected}`}`, () => {
      assert.deepStrictEqual(ParameterValues.fromText(text), expected as never)
    })
  }

  it("stays a text where it is no exact value of JSON, to the last character", () => {
    const exponents = ["1e3", "-1.5e3", "1e+21", "5e-324", "1e400"]
    const blanks = [" 5", "5 ", "5\n", "null ", "true\n", ' "a"']
    const long = [`0.${ones}23`, `1.${ones}2`, `10.${ones}`, "1".repeat(10_001)]
    const others = ["", "it's", "007", ".5", "5.", "+5", "True", "NULL", "[1]", '{"a":1}', "2024-01-01", '"']
    for (const text of ["-0", "-0.0", ...exponents, ...blanks, ...long, ...others]) {
      assert.strictEqual(ParameterValues.fromText(text), text)
    }
  })
})
