import { assert, describe, it } from "@effect/vitest"
import * as QueryParameters from "../../src/cli/QueryParameters.ts"

describe("a parameter's value", () => {
  const values: ReadonlyArray<readonly [string, unknown]> = [
    ["41", 41],
    ["-1.5", -1.5],
    ["-1.5e3", "-1.5e3"],
    ["-0", "-0"],
    [" 5", " 5"],
    ["true", true],
    ["null", null],
    ['"41"', "41"],
    ["it's", "it's"],
    ["", ""],
    ["2024-01-01", "2024-01-01"],
    ["007", "007"],
    ["[1]", "[1]"],
    ['{"a":1}', '{"a":1}'],
    // Beyond what a double holds exactly.
    ["9007199254740991", 9007199254740991],
    ["9007199254740993", "9007199254740993"],
    ["1e400", "1e400"],
    ["0.1", 0.1],
    ["1.10", "1.10"],
    ["1.0", "1.0"]
  ]
  for (const [text, expected] of values) {
    it(`${text} is ${JSON.stringify(expected)}`, () => {
      assert.strictEqual(QueryParameters.value(text), expected)
    })
  }
})

describe("parameters", () => {
  it("without names are a list in their order", () => {
    assert.deepStrictEqual(QueryParameters.parse(["2", "x", '"a=b"']), [2, "x", "a=b"])
    assert.deepStrictEqual(QueryParameters.parse([]), [])
  })

  it("with names are a record, whatever the names", () => {
    assert.deepStrictEqual(QueryParameters.parse(["a=1", "b=", "c=x=y"]), { a: 1, b: "", c: "x=y" })
    const record = QueryParameters.parse(["__proto__=1"])
    assert.deepStrictEqual(Object.keys(record), ["__proto__"])
  })

  for (const texts of [
    ["a=1", "2"],
    ["a=1", "a=2"]
  ]) {
    it(`may not be ${texts.join(" and ")}`, () => {
      assert.instanceOf(QueryParameters.parse(texts), QueryParameters.ParameterError)
    })
  }
})
