import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { DuckDbEngine } from "../../src/engine/duckdb/index.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { ask, type Engine, failure, rows, text } from "./duckdbEngine.ts"

let engine: Engine
beforeAll(async () => {
  const scope = Scope.makeUnsafe()
  engine = await Effect.runPromise(Scope.provide(DuckDbEngine.make({ readWrite: true }), scope))
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
})

/** Asks with parameters as they stand in a request. */
const written = (query: string, parameters: string) =>
  Effect.gen(function* () {
    const { init } = engine
    const body = `{"version":"v1","query":${JSON.stringify(query)},"format":"text/csv","parameters":${parameters}}`
    const asked: Engine = { init: () => init(new TextEncoder().encode(body)) }
    return (yield* text(asked, "")).split("\r\n").slice(1, -1).join("|")
  })

const power = (base: bigint, exponent: bigint, plus = 0n): string => String(base ** exponent + plus)

describe("a number", () => {
  for (const [number, type, value = number] of [
    ["0", "INTEGER"],
    ["2147483647", "INTEGER"],
    ["2147483648", "BIGINT"],
    ["-2147483648", "INTEGER"],
    ["-2147483649", "BIGINT"],
    ["9007199254740993", "BIGINT"],
    [power(2n, 63n, -1n), "BIGINT"],
    [`-${power(2n, 63n)}`, "BIGINT"],
    [power(2n, 63n), "HUGEINT"],
    [`-${power(2n, 63n, 1n)}`, "HUGEINT"],
    ["18446744073709551615", "HUGEINT"],
    [power(2n, 127n, -1n), "HUGEINT"],
    [power(2n, 127n), "UHUGEINT"],
    [power(2n, 128n, -1n), "UHUGEINT"],
    [power(2n, 128n), "BIGNUM"],
    [`-${power(2n, 128n)}`, "BIGNUM"],
    [power(10n, 500n, 7n), "BIGNUM"],
    ["1.10", '"DECIMAL(3,2)"'],
    ["0.05", '"DECIMAL(3,2)"'],
    ["-0.5", '"DECIMAL(2,1)"'],
    ["123456789012345678.901", '"DECIMAL(21,3)"'],
    [`0.${"1".repeat(37)}`, '"DECIMAL(38,37)"'],
    [`0.${"1".repeat(38)}`, '"DECIMAL(38,38)"'],
    [`${"9".repeat(36)}.99`, '"DECIMAL(38,2)"'],
    [`1.${"0".repeat(60)}`, '"DECIMAL(38,37)"', `1.${"0".repeat(37)}`],
    [`0.${"1".repeat(39)}`, "DOUBLE", "0.1111111111111111"],
    ["1.5e0", "DOUBLE", "1.5"],
    ["1e300", "DOUBLE", "1e+300"],
    ["-0.0", "DOUBLE", "-0.0"]
  ] as ReadonlyArray<readonly [string, string, string?]>) {
    it.effect(`${number.slice(0, 30)} is ${type}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(
          yield* written("SELECT typeof($1) AS t, $1 AS v", `[${number}]`),
          `${type},${value}`
        )
      })
    )
  }

  it.effect("does not equal its neighbour", () =>
    Effect.gen(function* () {
      yield* ask(
        engine,
        "CREATE OR REPLACE TABLE n AS SELECT unnest([9007199254740992, 9007199254740993]) AS v"
      )
      assert.strictEqual(
        yield* written("SELECT v FROM n WHERE v = ?", "[9007199254740993]"),
        "9007199254740993"
      )
      assert.strictEqual(yield* written("SELECT count(*) FROM n WHERE v = $a", '{"a":9007199254740992}'), "1")
      yield* ask(engine, "CREATE OR REPLACE TABLE n AS SELECT 18446744073709551615::UBIGINT AS v")
      assert.strictEqual(
        yield* written("SELECT v FROM n WHERE v = ?", "[18446744073709551615]"),
        power(2n, 64n, -1n)
      )
      assert.strictEqual(yield* written("SELECT v FROM n WHERE v = ?", "[18446744073709551614]"), "")
    })
  )

  it.effect("is the text that was written where a text is wanted", () =>
    Effect.gen(function* () {
      yield* ask(
        engine,
        "CREATE OR REPLACE TABLE s AS SELECT unnest(['1.1', '1.10', 'x', '5', '5.0', 'true', 't']) AS v"
      )
      assert.strictEqual(yield* written("SELECT v FROM s WHERE v = ?", "[1.10]"), "1.10")
      assert.strictEqual(yield* written("SELECT v FROM s WHERE v = ?", '["1.10"]'), "1.10")
      assert.strictEqual(yield* written("SELECT v FROM s WHERE v = ?", "[5]"), "5")
      assert.strictEqual(yield* written("SELECT v FROM s WHERE v = ?", "[true]"), "true")
      yield* ask(engine, "CREATE OR REPLACE TABLE d AS SELECT 1.10::DECIMAL(5,2) AS v, 1000::DOUBLE AS e")
      // Texts that are numbers, as `dataconn query -p` sends the second.
      assert.strictEqual(yield* written("SELECT v FROM d WHERE v = ? AND e = ?", '["1.10","1e3"]'), "1.10")
    })
  )

  it.effect("does not equal what it would be rounded to, be it a text", () =>
    Effect.gen(function* () {
      yield* ask(
        engine,
        "CREATE OR REPLACE TABLE n AS SELECT 2 AS i, 2::UBIGINT AS u, 1.5::DECIMAL(5,1) AS d"
      )
      for (const number of ["1.50", '"1.50"', '".15e1"', '" 1.5 "', '"+1.50"', '"1.51"', '"1e-99"']) {
        const query = "SELECT count(*) FROM n WHERE i = $1 OR u IN ($2, 9) OR d - 0.1 = $3"
        assert.strictEqual(yield* written(query, `[${number},${number},${number}]`), "0")
      }
      assert.strictEqual(yield* written("SELECT i FROM n WHERE i = $1 AND d = $2", '["2.0","1.50"]'), "2")
      for (const two of ["002", "2e0", "+2", "20e-1", "2."]) {
        assert.strictEqual(
          yield* written("SELECT i FROM n WHERE i = $1 AND u = $2", `["${two}","${two}"]`),
          "2"
        )
      }
      const large = yield* written(
        "SELECT i FROM n WHERE i < $1 AND u < $2",
        '["1e20","123456789012345678901"]'
      )
      assert.strictEqual(large, "2")
      const { message } = yield* failure(engine, "FROM n WHERE i = $1", { parameters: ["two"] })
      assert.include(message, "two")
    })
  )

  it.effect("in a list has one type with the others", () =>
    Effect.gen(function* () {
      const typed = (list: string) =>
        written("SELECT typeof($1) AS t, to_json($1)::VARCHAR AS v", `[${list}]`)
      assert.strictEqual(yield* typed("[1,null,9007199254740993]"), 'BIGINT[],"[1,null,9007199254740993]"')
      assert.strictEqual(yield* typed("[1,1.10]"), '"DECIMAL(3,2)[]","[1.0,1.1]"')
      assert.strictEqual(yield* typed("[1,2.5e0]"), 'DOUBLE[],"[1.0,2.5]"')
      assert.strictEqual(yield* typed("[0.25,1.5e300]"), 'DOUBLE[],"[0.25,1.5e300]"')
    })
  )

  const ones = (count: number) => "1".repeat(count)
  const zeros = (count: number) => "0".repeat(count)

  for (const [numbers, type, values] of [
    [
      `12345678901234567890.12,0.1230${zeros(20)}`,
      '"DECIMAL(38,18)[]"',
      `12345678901234567890.12${zeros(16)}, 0.123${zeros(15)}`
    ],
    [`0.${ones(38)},0`, '"DECIMAL(38,38)[]"', `.${ones(38)}, .${zeros(38)}`],
    [`1.0,1${zeros(40)}`, "BIGNUM[]", `1, 1${zeros(40)}`],
    [`0.${ones(39)},1,2.0,0.25`, "DOUBLE[]", "0.1111111111111111, 1.0, 2.0, 0.25"]
  ] as const) {
    it.effect(`${numbers} in a list are ${type}`, () =>
      Effect.gen(function* () {
        const asked = written("SELECT typeof($1) AS t, $1::VARCHAR AS v", `[[${numbers}]]`)
        assert.strictEqual(yield* asked, `${type},"[${values}]"`)
      })
    )
  }

  for (const [a, b] of [
    ["12345678901234567890.12", "0.1234567890123456789"],
    [`0.${ones(38)}`, "5"],
    ["9007199254740993", "1.5e300"],
    ["2.5e0", "12345678901234567890.12"],
    [`0.${zeros(37)}1`, "5"],
    ["1.5", `1${zeros(38)}.0`],
    ["1.5e0", `1${zeros(400)}`]
  ] as const) {
    it.effect(`${a} and ${b.slice(0, 50)} have no type in common that keeps their digits`, () =>
      Effect.gen(function* () {
        for (const value of [`[${a},${b}]`, `[[${a}],[${b}]]`, `{"x":[{"y":${a}},{"y":${b}}]}`]) {
          const { code, message } = yield* Effect.flip(written("SELECT $1", `[${value}]`))
          assert.deepStrictEqual([code, message], ["bad_request", noExactType])
        }
      })
    )
  }
})

const noExactType = "parameters.1: not all of its numbers are doubles, and no other type holds them all"

describe("a parameter", () => {
  for (const [json, type, value] of [
    ["[[],[1]]", "INTEGER[][]", '"[[],[1]]"'],
    ["[]", '"""NULL""[]"', "[]"],
    ['[{"a":1},{"a":null}]', "STRUCT(a INTEGER)[]", '"[{""a"":1},{""a"":null}]"'],
    [
      '[{"a":[]},{"a":[{"b":1}]},null]',
      "STRUCT(a STRUCT(b INTEGER)[])[]",
      '"[{""a"":[]},{""a"":[{""b"":1}]},null]"'
    ],
    [
      '[{"a":1,"b":"x"},{"b":"y","a":2}]',
      '"STRUCT(a INTEGER, b VARCHAR)[]"',
      '"[{""a"":1,""b"":""x""},{""a"":2,""b"":""y""}]"'
    ],
    [
      '{"__proto__":1,"constructor":2}',
      '"STRUCT(__proto__ INTEGER, constructor INTEGER)"',
      '"{""__proto__"":1,""constructor"":2}"'
    ]
  ] as const) {
    it.effect(`${json} is ${type}`, () =>
      Effect.gen(function* () {
        const asked = written("SELECT typeof($1) AS t, to_json($1)::VARCHAR AS v", `[${json}]`)
        assert.strictEqual(yield* asked, `${type},${value}`)
      })
    )
  }

  it.effect("has its name in any case, where none is exact", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* written("SELECT $X AS v, $x AS w, $y AS y", '{"x":1,"y":2}'), "1,1,2")
      assert.strictEqual(yield* written("SELECT $aB AS v", '{"AB":1}'), "1")
      for (const [parameters, message] of [
        [{ XY: 1, Xy: 2 }, "parameters.Xy: ambiguous, as XY differs from it only in case"],
        [{ XY: 1, xy: 2 }, "parameters.XY: the query has no such parameter"],
        [{ xy: 1, Z: 2 }, "parameters.Z: the query has no such parameter"]
      ] as const) {
        const error = yield* failure(engine, "SELECT $xy", { parameters })
        assert.deepInclude(error, { code: "bad_request", message })
      }
    })
  )

  it.effect("has members of any name but an empty one, in every format", () =>
    Effect.gen(function* () {
      const parameters = [{ ["__proto__"]: 1, 'a "b"': [{ é: null }, { é: 3 }] }]
      assert.deepStrictEqual(yield* rows(engine, "SELECT ? AS v", { parameters }), [
        { v: parameters[0] }
      ] as never)
      for (const format of QueryApi.Format.literals)
        yield* ask(engine, "SELECT ? AS v", { parameters, format })
    })
  )

  for (const [what, parameter, message] of [
    ["an object without members", {}, "without members"],
    ["one in a list", [{}], "without members"],
    ["a member with an empty name", { a: [{ "": 1 }] }, "empty name"],
    ["a member with NUL in its name", { "a\0b": 1, "a\0c": 2 }, "NUL character in its name"],
    ["a member of a member with NUL in its name", [{ a: { "\0": null } }], "NUL character in its name"],
    ["names that DuckDB takes for one", { a: 1, A: 2 }, "capital letters"],
    ["a list of mixed types", [1, "a"], "no type in common"],
    ["objects of different members", [{ a: 1 }, { b: 1 }], "no type in common"],
    ["lists and scalars", [[1], 1], "no type in common"]
  ] as const) {
    it.effect(`may not be ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* failure(engine, "SELECT ?", { parameters: [parameter] })
        assert.deepInclude(error, { type: "J", code: "bad_request" })
        assert.include(error.message, "parameters.1: ")
        assert.include(error.message, message)
      })
    )
  }

  it.effect("is an instant of any year that DuckDB has", () =>
    Effect.gen(function* () {
      const parameters = [9_223_372_036_854_775_806n, -9_223_372_022_400_000_000n].map(
        (micros) => new QueryApi.Timestamp(micros)
      )
      assert.deepStrictEqual(
        yield* rows(engine, "SELECT epoch_us($1)::VARCHAR AS a, epoch_us($2)::VARCHAR AS b", { parameters }),
        [{ a: "9223372036854775806", b: "-9223372022400000000" }]
      )
    })
  )

  it.effect("has the type of number that it names, whatever its value is", () =>
    Effect.gen(function* () {
      const parameters = {
        double: new QueryApi.Numeric("double", 2147483647),
        decimal: new QueryApi.Numeric("decimal", BigDecimal.make(2147483647n, 0)),
        bigint: new QueryApi.Numeric("bigint", 2147483647n),
        hugeint: new QueryApi.Numeric("hugeint", 9223372036854775807n),
        list: [new QueryApi.Numeric("double", 7), 1, null]
      }
      const names = Object.keys(parameters)
      const query = `SELECT ${names.map((name) => `typeof($${name}) AS ${name}`).join(", ")}`
      assert.deepStrictEqual(yield* rows(engine, query, { parameters }), [
        {
          double: "DOUBLE",
          decimal: "DECIMAL(10,0)",
          bigint: "BIGINT",
          hugeint: "HUGEINT",
          list: "DOUBLE[]"
        }
      ])
      const sums = `SELECT ${names
        .slice(0, 4)
        .map((name) => `$${name} + 1 AS ${name}`)
        .join(", ")}, $list[1] // 2 AS half`
      assert.strictEqual(
        yield* text(engine, sums, { parameters }),
        '[{"double":2147483648.0,"decimal":2147483648,"bigint":2147483648,"hugeint":9223372036854775808,"half":3.5}]'
      )
      const infinite = { parameters: [new QueryApi.Numeric("double", Number.POSITIVE_INFINITY)] }
      assert.deepStrictEqual(yield* rows(engine, "SELECT $1 = 'inf'::DOUBLE AS v", infinite), [{ v: true }])
    })
  )

  it.effect("has the types that JSON has no word for", () =>
    Effect.gen(function* () {
      const date = new Date("1969-12-31T23:59:59.999Z")
      const parameters = [
        Uint8Array.of(0, 255, 92),
        date,
        [date, null],
        BigDecimal.fromStringUnsafe("12345678901234567890.10"),
        10n ** 20n
      ]
      const fine = [new QueryApi.Timestamp(-1n), [new QueryApi.Timestamp(-1n), date]]
      assert.deepStrictEqual(
        yield* rows(engine, "SELECT $1::VARCHAR AS t, $2[1] = $1 AS same", { parameters: fine }),
        [{ t: "1969-12-31 23:59:59.999999+00", same: true }]
      )
      const query =
        "SELECT typeof($1) || octet_length($1) || hex($1) AS b, typeof($2) AS d, $2::VARCHAR AS t, typeof($3) AS l, typeof($4) || $4 AS n, typeof($5) || $5 AS h"
      assert.deepStrictEqual(yield* rows(engine, query, { parameters }), [
        {
          b: "BLOB300FF5C",
          d: "TIMESTAMP WITH TIME ZONE",
          t: "1969-12-31 23:59:59.999+00",
          l: "TIMESTAMP WITH TIME ZONE[]",
          n: "DECIMAL(22,2)12345678901234567890.10",
          h: "HUGEINT100000000000000000000"
        }
      ])
      yield* ask(engine, "CREATE OR REPLACE TABLE w(b BLOB, t TIMESTAMP, d DECIMAL(30,4), h HUGEINT)")
      yield* ask(engine, "INSERT INTO w VALUES ($1, $2, $3, $4)", {
        parameters: [parameters[0], date, parameters[3], parameters[4]] as never
      })
      const same = "SELECT count(*) AS n FROM w WHERE b = $1 AND t = $2 AND d = $3 AND h = $4"
      assert.deepStrictEqual(
        yield* rows(engine, same, {
          parameters: [parameters[0], date, parameters[3], parameters[4]] as never
        }),
        [{ n: 1 }]
      )
    })
  )
})
