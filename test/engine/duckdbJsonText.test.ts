import { DECIMAL, DOUBLE, DuckDBVarCharType, FLOAT, INTEGER, LIST, STRUCT, VARCHAR } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as JsonText from "../../src/engine/duckdb/JsonText.ts"

const JSON_TYPE = DuckDBVarCharType.create("JSON")

describe("JsonText.mend", () => {
  for (const [text, expected] of [
    ['{"a":NaN}', '{"a":null}'],
    ['{"a":-Infinity,"b":Infinity}', '{"a":null,"b":null}'],
    ['{"a":[nan,inf,-inf,1.5]}\n{"a":[]}\n', '{"a":[null,null,null,1.5]}\n{"a":[]}\n'],
    ['{"a":1e300,"b":-2.5E-7,"c":NaN}', '{"a":1e300,"b":-2.5E-7,"c":null}'],
    ['{"NaN":"NaN \\" NaN","\\\\":NaN}', '{"NaN":"NaN \\" NaN","\\\\":null}'],
    ['{"a":[.5,-.5,5.5,-0.5],"b":".5"}', '{"a":[0.5,-0.5,5.5,-0.5],"b":".5"}'],
    ['{"a":true,"b":false,"c":null,"ü":"Infinity"}', '{"a":true,"b":false,"c":null,"ü":"Infinity"}']
  ] as const) {
    it(`makes ${JSON.stringify(expected)} of ${JSON.stringify(text)}`, () => {
      assert.strictEqual(JsonText.mend(Buffer.from(text), "number").toString(), expected)
    })
  }

  it("makes strings of them where numbers may be strings, and null of other words", () => {
    const text = "[nan,NaN,inf,Infinity,-inf,-Infinity,1,null,nothing]"
    assert.strictEqual(
      JsonText.mend(Buffer.from(text), "string").toString(),
      '["NaN","NaN","Infinity","Infinity","-Infinity","-Infinity",1,null,null]'
    )
    assert.strictEqual(JsonText.mend(Buffer.from("inf"), "string").toString(), '"Infinity"')
  })
})

describe("JsonText.Mender", () => {
  it("does the same to a text in pieces, wherever they are cut", () => {
    const text =
      String.raw`{"a":-Infinity,"s":"NaN \" -inf \\","n":[-1.5e-7,-.25,nan,true,-2,null],"t":Infinity,"f":false}` +
      "\n"
    const whole = JsonText.mend(Buffer.from(text), "number").toString()
    assert.deepStrictEqual(JSON.parse(whole).n, [-1.5e-7, -0.25, null, true, -2, null])
    for (let size = 1; size <= text.length; size++) {
      const mender = new JsonText.Mender("number")
      let mended = ""
      for (let at = 0; at < text.length; at += size)
        mended += mender.push(Buffer.from(text.slice(at, at + size)))
      assert.strictEqual(mended, whole, `pieces of ${size}`)
    }
  })
})

describe("JsonText.suspicion", () => {
  it("is only had where a type can hold such a number", () => {
    assert.isUndefined(JsonText.suspicion([INTEGER, DOUBLE, LIST(VARCHAR), LIST(DECIMAL(9, 2))]))
    const floats = JsonText.suspicion([INTEGER, STRUCT({ a: LIST(FLOAT) })])
    assert.isTrue(floats?.(Buffer.from('{"a":[-Infinity]}')))
    assert.isFalse(floats?.(Buffer.from('{"a":[1.0]}')))
    const fractions = JsonText.suspicion([LIST(DECIMAL(38, 38))])
    assert.isTrue(fractions?.(Buffer.from('{"a":[-.5]}')))
    assert.isFalse(fractions?.(Buffer.from('{"a":[0.5]}')))
    const json = JsonText.suspicion([JSON_TYPE])
    assert.isTrue(json?.(Buffer.from('{"a":nan}')))
    assert.isTrue(json?.(Buffer.from('{"a":.5}')))
  })
})
