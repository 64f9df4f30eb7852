import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as DateTime from "effect/DateTime"
import * as QueryParameters from "../../src/cli/QueryParameters.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"

describe("parameters", () => {
  it("without names are a list in their order", () => {
    assert.deepStrictEqual(QueryParameters.parse(["2", "x", '"a=b"']), [2, "x", "a=b"])
    assert.deepStrictEqual(QueryParameters.parse([]), [])
    assert.deepStrictEqual(QueryParameters.parse(["a=1e3", "b= 5", "c=null"]), { a: "1e3", b: " 5", c: null })
  })

  it("with names are a record, whatever the names", () => {
    assert.deepStrictEqual(QueryParameters.parse(["a=1", "b=", "c=x=y"]), { a: 1, b: "", c: "x=y" })
    const record = QueryParameters.parse(["__proto__=1"])
    assert.deepStrictEqual(Object.keys(record), ["__proto__"])
  })

  it("with positions are a list in the order of these", () => {
    assert.deepStrictEqual(QueryParameters.parse(["2=b", "1=a"]), ["a", "b"])
    assert.deepStrictEqual(QueryParameters.parse(["=x", "1", "http://a?b=c"]), ["=x", 1, "http://a?b=c"])
  })

  it("may have types", () => {
    const document = '{"a":[1,{"b":null}]}'
    assert.deepStrictEqual(
      QueryParameters.parse([
        'a:struct={"b":[1,12345678901234567890]}',
        "b:list=[1]",
        "c:TEXT=1",
        "d:bool=true",
        `e:json=${document}`
      ]),
      { a: { b: [1, 12345678901234567890n] }, b: [1], c: "1", d: true, e: document }
    )
    assert.deepStrictEqual(
      QueryParameters.parse([":blob=hex:00ff", ":blob=AAE=", ":int=12345678901234567890"]),
      [new Uint8Array([0, 255]), new Uint8Array([0, 1]), 12345678901234567890n]
    )
    assert.deepStrictEqual(QueryParameters.parse(["2:double=1e3", "1:integer=-7"]), [
      -7,
      new QueryApi.Numeric("double", 1000)
    ])
    const [time, amount] = QueryParameters.parse([
      ":timestamp=2026-01-31T12:00:00+01:00",
      ":decimal=1.10"
    ]) as [DateTime.DateTime, QueryApi.Numeric]
    assert.strictEqual(DateTime.formatIso(time), "2026-01-31T11:00:00.000Z")
    assert.deepStrictEqual(amount, new QueryApi.Numeric("decimal", BigDecimal.make(110n, 2)))
    assert.deepStrictEqual(QueryParameters.parse([":timestamp=2026-01-31 12:00:00.123456+01:00"]), [
      new QueryApi.Timestamp(1769857200123456n)
    ])
  })

  it("have each member once, also within others", () => {
    for (const text of ['a:struct={"x":1,"x":2}', 'a:list=[{"y":{"x":1,"\\u0078":2}}]']) {
      const refused = QueryParameters.parse([text])
      assert.instanceOf(refused, QueryParameters.ParameterError)
      assert.include(String((refused as Error).message), '"x"')
    }
  })

  it("go to the statements that name them, and to all where none does", () => {
    const statements = ["SELECT $From, '$to'", "SELECT 1 -- $from", "SELECT $to"]
    assert.deepStrictEqual(QueryParameters.ofEach({ from: 1, to: 2, other: 3 }, statements), [
      { from: 1, other: 3 },
      { other: 3 },
      { to: 2, other: 3 }
    ])
    assert.deepStrictEqual(QueryParameters.ofEach([1, 2], ["SELECT ?", "SET a = '?'", "SELECT $2 + $1"]), [
      [1],
      [],
      [1, 2]
    ])
    assert.deepStrictEqual(QueryParameters.ofEach([1, 2], ["SELECT ?", "SELECT 1"]), [
      [1, 2],
      [1, 2]
    ])
  })

  it("of a line are words, with quotes around blanks", () => {
    assert.deepStrictEqual(QueryParameters.words(" 1  'a b' c='it''s'"), ["1", "a b", "c=it's"])
  })

  for (const texts of [
    ["a=1", "2"],
    ["a=1", "a=2"],
    ["1=a", "3=b"],
    ["1=a", "1=b"],
    ["1=a", "b=c"],
    ["a:what=1"],
    ["a:constructor=1"],
    ["a:integer=1.5"],
    ["a:bigint=9223372036854775808"],
    ["a:double=0x10"],
    ["a:double=1e400"],
    ["a:blob=?"],
    ["a:json={"],
    ["a:list={}"],
    ["a:struct=1.5"],
    ["a:timestamp=2026-01-31T12:00:00.1234567Z"],
    ["a:timestamp=2026-01-31T12:00:00"],
    ["a:timestamp=2026-02-30T12:00:00Z"]
  ]) {
    it(`may not be ${texts.join(" and ")}`, () => {
      assert.instanceOf(QueryParameters.parse(texts), QueryParameters.ParameterError)
    })
  }
})
