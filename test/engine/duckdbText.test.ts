import { assert, describe, it } from "@effect/vitest"
import * as NonFinite from "../../src/engine/duckdb/NonFinite.ts"

describe("NonFinite.mend", () => {
  for (const [text, expected] of [
    ['{"a":NaN}', '{"a":null}'],
    ['{"a":-Infinity,"b":Infinity}', '{"a":null,"b":null}'],
    ['{"a":[nan,inf,-inf,1.5]}\n{"a":[]}\n', '{"a":[null,null,null,1.5]}\n{"a":[]}\n'],
    ['{"a":1e300,"b":-2.5E-7,"c":NaN}', '{"a":1e300,"b":-2.5E-7,"c":null}'],
    ['{"NaN":"NaN \\" NaN","\\\\":NaN}', '{"NaN":"NaN \\" NaN","\\\\":null}'],
    ['{"a":true,"b":false,"c":null,"ü":"Infinity"}', '{"a":true,"b":false,"c":null,"ü":"Infinity"}']
  ] as const) {
    it(`makes ${JSON.stringify(expected)} of ${JSON.stringify(text)}`, () => {
      assert.strictEqual(NonFinite.mend(Buffer.from(text)).toString(), expected)
    })
  }
})

describe("NonFinite.Mender", () => {
  it("does the same to a text in pieces, wherever they are cut", () => {
    const text =
      String.raw`{"a":-Infinity,"s":"NaN \" -inf \\","n":[-1.5e-7,nan,true,-2,null],"t":Infinity,"f":false}` +
      "\n"
    const whole = NonFinite.mend(Buffer.from(text)).toString()
    assert.deepStrictEqual(JSON.parse(whole).n, [-1.5e-7, null, true, -2, null])
    for (let size = 1; size <= text.length; size++) {
      const mender = new NonFinite.Mender()
      let mended = ""
      for (let at = 0; at < text.length; at += size)
        mended += mender.push(Buffer.from(text.slice(at, at + size)))
      assert.strictEqual(mended, whole, `pieces of ${size}`)
    }
  })
})

describe("NonFinite.suspicion", () => {
  it("is only had where a type can hold such a number", () => {
    assert.isUndefined(NonFinite.suspicion(["INTEGER", "VARCHAR[]", "DECIMAL(9,2)"]))
    const floats = NonFinite.suspicion(["INTEGER", 'STRUCT("a" FLOAT[])'])
    assert.isTrue(floats?.(Buffer.from('{"a":[-Infinity]}')))
    assert.isFalse(floats?.(Buffer.from('{"a":[1.0]}')))
    assert.isTrue(NonFinite.suspicion(["JSON"])?.(Buffer.from('{"a":nan}')))
  })
})
