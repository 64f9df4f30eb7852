import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { type Options, RowReader } from "../../src/client/RowReader.ts"

const numbers = { hasDecimals: true, hasJson: false }
const defaults: Options = { maxRowSize: 1000, numbers }

/** All rows of bytes that come in these parts, and what is wrong in the end. */
const read = (parts: ReadonlyArray<Uint8Array>, options: Partial<Options> = {}) => {
  const reader = new RowReader({ ...defaults, ...options })
  const rows: Array<unknown> = []
  for (const part of parts) {
    reader.add(part)
    rows.push(...reader.take())
  }
  rows.push(...reader.finish())
  return { rows, problem: reader.problem?.message, count: reader.count }
}

const readText = (text: string, options?: Partial<Options>) => read([Buffer.from(text)], options)

/** Parts that end at these places. */
const cut = (bytes: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

const row = fc.dictionary(
  fc.oneof(fc.string({ unit: "grapheme", maxLength: 5 }), fc.constant("__proto__")),
  fc.jsonValue({ maxDepth: 2 }),
  { maxKeys: 4 }
)

const line = fc
  .tuple(row, fc.constantFrom("\n", "\r\n", "\n\n"))
  .map(([value, end]) => JSON.stringify(value) + end)

const wrong = fc.constantFrom(
  "1\n",
  "[1]\n",
  "null\n",
  '"a"\n',
  "a,b\n",
  '{"a":1\n',
  '{"a":1}{"b":2}\n',
  `{"a":"${"x".repeat(2000)}"}\n`
)

const places = fc.array(fc.nat(5000), { maxLength: 12 })

describe("rows of NDJSON", () => {
  it("are what a parser makes of each line, however it is cut", () => {
    fc.assert(
      fc.property(fc.array(line), places, fc.boolean(), (lines, places, hasBreak) => {
        const text = lines.join("")
        const given = Buffer.from(hasBreak ? text : text.trimEnd())
        const expected = lines.map((one) => JSON.parse(one))
        assert.deepStrictEqual(read(cut(given, places), { maxRowSize: 1e6 }), {
          rows: expected,
          problem: undefined,
          count: expected.length
        })
      })
    )
  })

  it("end before the first that is wrong, however it is cut", () => {
    fc.assert(
      fc.property(fc.array(line), wrong, fc.array(line), places, (before, bad, after, places) => {
        fc.pre(before.every((one) => Buffer.byteLength(one) < 1000))
        const found = read(cut(Buffer.from([...before, bad, ...after].join("")), places))
        assert.deepStrictEqual(
          found.rows,
          before.map((one) => JSON.parse(one))
        )
        assert.match(found.problem ?? "", new RegExp(`^Row ${before.length + 1} (cannot be read|is longer)`))
      })
    )
  })

  it.each([
    ["name,n\r\na,1\r\n", 'Row 1 cannot be read: not JSON: "name,n\\r"'],
    ["{}\n[1,2]\n", 'Row 2 cannot be read: no object: "[1,2]"'],
    ["{}\n{},{}\n", 'Row 2 cannot be read: not JSON: "{},{}"'],
    ['{}\n{"a":\n1}\n', 'Row 2 cannot be read: not JSON: "{\\"a\\":"'],
    ['{"a":1\n"b":2},{"c":3}\n', 'Row 1 cannot be read: not JSON: "{\\"a\\":1"'],
    ['{}\n{"a":"\n"},{}\n', 'Row 2 cannot be read: not JSON: "{\\"a\\":\\""'],
    ['{}\n{"a":', 'Row 2 cannot be read: not JSON: "{\\"a\\":"']
  ])("refuses %j by its number", (text, problem) => {
    assert.strictEqual(readText(text).problem, problem)
  })

  it("refuses bytes that are not UTF-8, and a character that is cut off at the end", () => {
    for (const bytes of [[0xff], [0xc3]]) {
      const { problem } = read([Buffer.from('{}\n{"a":"'), Buffer.from(bytes), Buffer.from('"}')])
      assert.strictEqual(problem, "Row 2 cannot be read: not UTF-8")
    }
  })

  it("may be as long as maxRowSize and no longer, with or without a line break", () => {
    const text = '{"a":"12345"}'
    for (const end of ["", "\n", "\r\n", '\n{"b":1}', '\r\n{"b":1}\r\n']) {
      assert.isUndefined(readText(text + end, { maxRowSize: 13 }).problem)
      const { problem, rows } = readText(`{}\n${text}${end}`, { maxRowSize: 12 })
      assert.deepStrictEqual(rows, [{}])
      assert.strictEqual(problem, "Row 2 is longer than 12 bytes (maxRowSize)")
    }
  })

  it("is refused when more than maxRowSize has come of it, and not held to its end", () => {
    const reader = new RowReader({ ...defaults, maxRowSize: 10 })
    reader.add(Buffer.from('{"a":"12345'))
    assert.deepStrictEqual(reader.take(), [])
    assert.strictEqual(reader.problem?.reason._tag, "RowTooLong")
  })

  it("is not too long for the first half of its line break", () => {
    const given = '{"a":"12345"}\r\n'
    const reader = new RowReader({ ...defaults, maxRowSize: 13 })
    reader.add(Buffer.from(given.slice(0, -1)))
    assert.deepStrictEqual(reader.take(), [])
    reader.add(Buffer.from("\n"))
    assert.deepStrictEqual(reader.take(), [{ a: "12345" }])
  })
})

describe("numbers", () => {
  const only = (source: string, some: Partial<typeof numbers> = {}) =>
    readText(`{"a":${source}}`, { numbers: { ...numbers, ...some } }).rows

  it.each([
    "9007199254740993",
    "-12345678901234567890",
    "1152921504606846976",
    "[1,9007199254740993]",
    "123456789012345678.9",
    "0.12345678901234567890"
  ])("are texts where a JavaScript number would lose digits: %s", (source) => {
    const [found] = only(source) as ReadonlyArray<{ readonly a: unknown }>
    assert.include(JSON.stringify(found?.a), `"${source.replace(/^\[1,(.*)\]$/, "$1")}"`)
  })

  it.each([
    "9007199254740991",
    "1000000000000000000000",
    "40949808554126170",
    "40949808554126170.00",
    "0.30000000000000004",
    "1234567890123456.50",
    "1e300",
    "1.2345678901234567e-200"
  ])("are numbers where it has them all: %s", (source) => {
    assert.deepStrictEqual(only(source), [{ a: Number(source) }])
  })

  it("with a point and at most 17 digits are doubles where no column is a decimal", () => {
    assert.deepStrictEqual(only("9007199254740993.5"), [{ a: "9007199254740993.5" }])
    assert.deepStrictEqual(only("9007199254740993.5", { hasDecimals: false }), [{ a: 9007199254740994 }])
    assert.deepStrictEqual(only("123456789012345678.9", { hasDecimals: false }), [
      { a: "123456789012345678.9" }
    ])
  })

  it.each(["1e400", "-1E+0400", "1e-400", `1${"0".repeat(250)}e99`, "123.5e1000"])(
    "of JSON are texts where they would be infinite, or nothing: %s",
    (source) => {
      assert.deepStrictEqual(only(source, { hasJson: true }), [{ a: source }])
      const lines = readText(`{"a":1}\n{"a":[${source}]}\n{"a":2}`, {
        numbers: { ...numbers, hasJson: true }
      })
      assert.deepStrictEqual(lines.rows, [{ a: 1 }, { a: [source] }, { a: 2 }])
    }
  )

  it.each(["1e300", "-1.5e-300", "0e999", "0.000e-999", "1.2345678901234567e+300", "5e-324"])(
    "of JSON are numbers where they are doubles: %s",
    (source) => {
      assert.deepStrictEqual(only(source, { hasJson: true }), [{ a: Number(source) }])
    }
  )

  it("in texts are nothing but text", () => {
    for (const text of [
      "9007199254740993",
      "x, 9007199254740993",
      "a:9007199254740993,",
      "[9007199254740993"
    ]) {
      assert.deepStrictEqual(only(JSON.stringify(text)), [{ a: text }])
    }
  })

  it("of 16 digits are found at any place", () => {
    for (let padding = 0; padding < 40; padding++) {
      const [found] = readText(`{"${"p".repeat(padding)}":9007199254740993}`).rows
      assert.deepStrictEqual(Object.values(Object(found)), ["9007199254740993"])
      const both = readText(`{"x":"12345678901","${"p".repeat(padding)}":9007199254740993}`).rows
      assert.deepStrictEqual(Object.values(Object(both[0])), ["12345678901", "9007199254740993"])
    }
  })

  it("of any digits are found wherever they stand among others", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.bigInt({ min: -(10n ** 17n), max: 10n ** 17n }), fc.bigInt()), { minLength: 1 }),
        fc.nat(40),
        (numbers, padding) => {
          const text = `{"${"p".repeat(padding)}":[${numbers.join(",")}]}`
          const [found] = readText(`{}\n${text}`, { maxRowSize: 1e6 }).rows.slice(1) as [
            Record<string, unknown>
          ]
          const read = Object.values(found)[0] as ReadonlyArray<number | string>
          assert.deepStrictEqual(
            read.map((one) => BigInt(String(one))),
            numbers
          )
        }
      )
    )
  })
})
