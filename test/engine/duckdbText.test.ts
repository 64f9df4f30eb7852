import { assert, describe, it } from "@effect/vitest"
import * as Lexer from "../../src/engine/duckdb/Lexer.ts"
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

describe("Lexer.trimEnd", () => {
  for (const [sql, expected] of [
    ["SELECT 1", "SELECT 1"],
    ["SELECT 1 ; ;\n", "SELECT 1"],
    ["SELECT 1 -- ;", "SELECT 1"],
    ["SELECT 1 /* a /* b */ ; */ ;", "SELECT 1"],
    ["SELECT ';' -- ;", "SELECT ';'"],
    ["SELECT 'it''s;' ;", "SELECT 'it''s;'"],
    ["SELECT e'\\';' ;", "SELECT e'\\';'"],
    ['SELECT 1 AS "--;" ;', 'SELECT 1 AS "--;"'],
    ["SELECT $$;--$$ ;", "SELECT $$;--$$"],
    ["SELECT $a$;$$;$a$ ;", "SELECT $a$;$$;$a$"],
    ["SELECT $1 - $2 -- $", "SELECT $1 - $2"],
    [" -- nothing\n;", ""]
  ] as const) {
    it(`leaves ${JSON.stringify(expected)} of ${JSON.stringify(sql)}`, () => {
      assert.strictEqual(Lexer.trimEnd(sql), expected)
    })
  }
})

describe("Lexer.calls", () => {
  for (const [sql, expected] of [
    ["SELECT Abs(1), 'no(' FROM a.b -- c(\n(d)", ["abs", "b"]],
    ['FROM "Range" /* x( */ (3)', ["range"]],
    ["SELECT $$no()$$", []]
  ] as const) {
    it(`finds ${JSON.stringify(expected)} in ${JSON.stringify(sql)}`, () => {
      assert.deepStrictEqual(Array.from(Lexer.calls(sql)), [...expected])
    })
  }
})

describe("Lexer.explained", () => {
  for (const [sql, expected] of [
    ["EXPLAIN SELECT 1", "SELECT 1"],
    ["explain /* x */ analyze INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"],
    ["EXPLAIN (ANALYZE, FORMAT json) DELETE FROM t", "DELETE FROM t"],
    ["EXPLAIN (SELECT 1)", "(SELECT 1)"],
    ["SELECT 1", undefined],
    ["EXPLAIN", undefined]
  ] as const) {
    it(`finds ${JSON.stringify(expected)} in ${JSON.stringify(sql)}`, () => {
      assert.strictEqual(Lexer.explained(sql), expected)
    })
  }
})
