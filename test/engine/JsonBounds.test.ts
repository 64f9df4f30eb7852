import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "fast-check"
import * as JsonBounds from "../../src/engine/JsonBounds.ts"

const exceeded = (json: string, levels: number, values: number) =>
  JsonBounds.exceeded(Buffer.from(json), { levels, values })?.bound

/** Levels of lists and objects in a value, and the values and names in it. */
const measure = (value: unknown): { readonly levels: number; readonly values: number } => {
  if (typeof value !== "object" || value === null) return { levels: 0, values: 1 }
  const names = Array.isArray(value) ? 0 : Object.keys(value).length
  const inner = Object.values(value).map(measure)
  return {
    levels: 1 + Math.max(0, ...inner.map(({ levels }) => levels)),
    values: inner.reduce((sum, { values }) => sum + values, 1 + names)
  }
}

describe("bounds on JSON", () => {
  it("are those of the value that it stands for, but for empty lists and objects", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.jsonValue({ maxDepth: 5 }), (value) => {
        const json = JSON.stringify(value)
        const { levels, values } = measure(value)
        assert.isUndefined(exceeded(json, levels, values + 1000))
        if (levels > 0) assert.strictEqual(exceeded(json, levels - 1, values + 1000), "levels")
        assert.isUndefined(exceeded(json, levels, 2 * values))
        if (values > 4) assert.strictEqual(exceeded(json, levels, values >> 2), "values")
      })
    )
  })

  it("do not count what stands in strings", () => {
    assert.isUndefined(exceeded(JSON.stringify(['[[,:"{{\\', "\\"]), 1, 3))
    assert.strictEqual(exceeded(JSON.stringify(["\\", [], []]), 1, 9), "levels")
  })

  it("hold for text that is no JSON", () => {
    assert.strictEqual(exceeded("[".repeat(100), 64, 1000), "levels")
    assert.strictEqual(exceeded('{"a":'.repeat(100), 64, 1000), "levels")
    assert.strictEqual(exceeded(",".repeat(100), 64, 10), "values")
    assert.isUndefined(exceeded(`"${"[".repeat(100)}`, 64, 10))
    assert.isUndefined(exceeded('"\\', 64, 10))
  })
})

describe("a request beyond its limits", () => {
  const problem = (json: string) =>
    JsonBounds.problem(Buffer.from(json), { maxNesting: 2, maxParameters: 10 })

  it("is told the field that is", () => {
    const deep = "[[[0]]]"
    assert.match(
      problem(`{"query":"\\"a:","parameters":${deep},"zz":[]}`) ?? "",
      /^parameters: more than 2 levels/
    )
    assert.match(problem(`{"parameters":[],"q":{"a":1} , "zz" : ${deep}}`) ?? "", /^zz: more than 2 levels/)
    assert.match(problem(`{"a":{"b":1},"zz":[${"1,".repeat(300)}1]}`) ?? "", /^zz: more than 10 values/)
    assert.match(problem("[[[[0]]]]") ?? "", /^The request has more than 2 levels/)
  })
})

describe("the scalars of an object", () => {
  const scalars = (json: string, ...names: ReadonlyArray<string>) =>
    Object.fromEntries(JsonBounds.scalars(Buffer.from(json), names))

  it("are what JSON.parse gives of them, whatever stands beside", () => {
    const scalar = FastCheck.oneof(FastCheck.string(), FastCheck.integer(), FastCheck.boolean())
    FastCheck.assert(
      FastCheck.property(
        FastCheck.jsonValue({ maxDepth: 3 }),
        scalar,
        scalar,
        FastCheck.jsonValue({ maxDepth: 3 }),
        (before, a, b, after) => {
          for (const space of [0, 2]) {
            const json = JSON.stringify(
              { before, a, list: [{ a: 1 }, "a"], b, after: { b: 2, after } },
              null,
              space
            )
            const found = scalars(json, "a", "b")
            assert.deepStrictEqual(
              [found["a"], found["b"]].map((text) => JSON.parse(text ?? "")),
              [a, b]
            )
          }
        }
      )
    )
  })

  it("are those that come last, and are short", () => {
    assert.deepStrictEqual(scalars('{"a":1,"a": 2 ,"b":"}"}', "a", "b"), { a: "2", b: '"}"' })
    assert.deepStrictEqual(scalars(`{"a":1,"a":"${"x".repeat(2000)}"}`, "a"), { a: "" })
  })

  it("are looked for in text that is no JSON", () => {
    for (const json of ["", "[", '{"a"', '{"a":1', '"a":1,', '[{"a":1}]', '{"\\', "}}}", '{"a":[[[[']) {
      assert.deepStrictEqual(scalars(json, "a"), {})
    }
  })
})
