/**
 * Results as tables: the CSV that they are made of, the widths of their columns, and how they are laid out.
 */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { LineBreaks } from "../../../src/cli/LineBreaks.ts"
import { CsvReader } from "../../../src/cli/terminal/CsvReader.ts"
import * as Style from "../../../src/cli/terminal/Style.ts"
import * as Table from "../../../src/cli/terminal/Table.ts"
import * as Width from "../../../src/cli/terminal/Width.ts"

type Rows = ReadonlyArray<ReadonlyArray<string | null>>

const field = (value: string | null): string =>
  value === null ? "" : value === "" || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value

const csv = (rows: Rows): string => rows.map((row) => `${row.map(field).join(",")}\r\n`).join("")

/** The text in pieces that end at the given places. */
const pieces = (text: string, cuts: ReadonlyArray<number>): ReadonlyArray<string> => {
  const at = [0, ...cuts.map((cut) => cut % (text.length + 1)).toSorted((a, b) => a - b), text.length]
  return at.slice(1).map((end, index) => text.slice(at[index], end))
}

const anyRows = fc.integer({ min: 1, max: 4 }).chain((columns) =>
  fc.array(
    fc.array(fc.option(fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", "é") })), {
      minLength: columns,
      maxLength: columns
    })
  )
)

const anyCuts = fc.array(fc.nat(200), { maxLength: 8 })

describe("rows of CSV", () => {
  it("come out as they went in, wherever the text is cut", () => {
    fc.assert(
      fc.property(anyRows, anyCuts, (rows, cuts) => {
        const reader = new CsvReader(1000)
        const read = pieces(csv(rows), cuts).flatMap((piece) => reader.push(piece))
        assert.deepStrictEqual([...read, ...reader.end()], rows)
      })
    )
  })

  it("have their last one without a line break", () => {
    const reader = new CsvReader(10)
    assert.deepStrictEqual([...reader.push('a\n"b'), ...reader.push('"'), ...reader.end()], [["a"], ["b"]])
  })

  it("keep no more of a field than was asked for", () => {
    const reader = new CsvReader(5)
    assert.deepStrictEqual(reader.push(`${"x".repeat(100)},"${"y".repeat(100)}"\n`), [["xxxxx", "yyyyy"]])
  })
})

describe("line breaks of CSV", () => {
  it("become LF between rows and stay within quotes, wherever the bytes are cut", () => {
    fc.assert(
      fc.property(anyRows, anyCuts, (rows, cuts) => {
        const breaks = new LineBreaks()
        const text = pieces(csv(rows), cuts).map((piece) => breaks.push(Buffer.from(piece)))
        const expected = rows.map((row) => `${row.map(field).join(",")}\n`).join("")
        assert.strictEqual(Buffer.concat([...text, breaks.end()]).toString(), expected)
      })
    )
  })
})

describe("a width", () => {
  it("is that of the characters on a terminal", () => {
    for (const [text, columns] of [
      ["abc", 3],
      ["日本", 4],
      ["é", 1],
      ["e\u0301", 1],
      ["😀", 2]
    ] as const) {
      assert.strictEqual(Width.of(text), columns, text)
    }
  })

  it("is never exceeded by what is cut, and a wide character is not cut in half", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 20 }), (text, columns) => {
        const shown = Width.cut(text, columns)
        assert.isAtMost(Width.of(shown), columns)
        if (Width.of(text) <= columns) assert.strictEqual(shown, text)
        else assert.isTrue(shown.endsWith(Width.mark) && text.startsWith(shown.slice(0, -1)))
      })
    )
  })
})

const show = (
  rows: Rows,
  options: Partial<Table.Options> = {}
): { readonly text: string; readonly table: Table.Table } => {
  const table = new Table.Table({
    columns: 80,
    layout: "auto",
    style: Style.plain,
    types: [],
    maxRows: Number.POSITIVE_INFINITY,
    ...options
  })
  return { text: table.push(rows) + table.end(), table }
}

const lines = (...text: ReadonlyArray<string>): string => text.map((line) => `${line}\n`).join("")

describe("a table", () => {
  it("has names, a rule and aligned rows: text on the left, numbers on the right", () => {
    const { text } = show(
      [
        ["city", "n"],
        ["東京", "7"],
        ["Oslo", "1200"]
      ],
      { types: ["VARCHAR", "BIGINT"] }
    )
    assert.strictEqual(text, lines(" city │    n", "──────┼──────", " 東京 │    7", " Oslo │ 1200"))
  })

  it("tells NULL, the empty string and the text NULL apart", () => {
    assert.strictEqual(
      show([["v"], [null], [""], ["NULL"]]).text,
      lines(" v", "────────", " NULL", "", " 'NULL'")
    )
  })

  it("keeps a row on its line, whatever its values hold", () => {
    const { text } = show([["v"], ["a\nb\tc\u001b[2Jd\u202ee"], ["a\\nb"]])
    assert.deepStrictEqual(text.split("\n").slice(2, 4), [" a↵b\\tc\\u001b[2Jd\\u202ee", " a\\nb"])
  })

  it("marks values that it cuts to make room, and never cuts a number", () => {
    const { table, text } = show(
      [
        ["note", "id"],
        ["x".repeat(100), "12345678901234567890"]
      ],
      { columns: 50, types: ["VARCHAR", "HUGEINT"] }
    )
    assert.strictEqual(text.split("\n")[2], ` ${"x".repeat(24)}… │ 12345678901234567890`)
    assert.isTrue(table.hasCut)
  })

  it("fits the terminal, or else has each row turned on its side", () => {
    const names = Array.from({ length: 12 }, (_, index) => `column_${index}`)
    const { text } = show([names, names.map((_, index) => "v".repeat(index))], { columns: 60 })
    assert.strictEqual(text.split("\n")[0], "─[ row 1 ]───────────────────")
    assert.strictEqual(text.split("\n")[12], " column_11 │ vvvvvvvvvvv")
  })

  it("is upright however wide it is, if it is told so", () => {
    const names = Array.from({ length: 12 }, (_, index) => `column_${index}`)
    assert.match(
      show([names, names], { columns: 60, layout: "table" }).text,
      /^ column_0 │ column_1 │.*column_11\n/
    )
  })

  it("cuts nothing where there is no terminal", () => {
    const value = "x".repeat(5000)
    assert.include(show([["v"], [value]], { columns: undefined }).text, value)
  })

  it("writes rows as they come once the layout is decided", () => {
    const { table } = show([["v"], ["a"]])
    assert.strictEqual(table.push([["longer"]]), " longer\n")
  })

  it("decides after a while, although few rows have come", () => {
    const table = new Table.Table({
      columns: 80,
      layout: "auto",
      style: Style.plain,
      types: [],
      maxRows: 10
    })
    assert.strictEqual(table.push([["v"], ["a"]]), "")
    assert.strictEqual(table.tick(), "")
    assert.strictEqual(table.tick(), lines(" v", "───", " a"))
  })

  it("shows no more rows than it may, and says that there are more", () => {
    const { table, text } = show([["v"], ["a"], ["b"], ["c"]], { maxRows: 2 })
    assert.strictEqual(text, lines(" v", "───", " a", " b"))
    assert.deepInclude(table, { rows: 2, isFull: true })
    assert.isFalse(show([["v"], ["a"], ["b"]], { maxRows: 2 }).table.isFull)
  })

  it("has its names without rows", () => {
    assert.strictEqual(show([["v"]]).text, lines(" v", "───"))
  })
})
