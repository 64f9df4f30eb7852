import { CompletionContext } from "@codemirror/autocomplete"
import { PostgreSQL } from "@codemirror/lang-sql"
import { EditorState, Text } from "@codemirror/state"
import { assert, describe, it } from "@effect/vitest"
import { vi } from "vitest"
import * as Completion from "../../src/gateway/console/Completion.ts"
import * as Format from "../../src/gateway/console/Format.ts"
import * as Json from "../../src/gateway/console/Json.ts"
import * as Named from "../../src/gateway/console/Named.ts"
import * as Positions from "../../src/gateway/console/Positions.ts"
import * as Records from "../../src/gateway/console/Records.ts"
import { Summary } from "../../src/gateway/console/Sampling.ts"
import * as Storage from "../../src/gateway/console/Storage.ts"

const columns = [
  { name: "n", type: "BIGINT" },
  { name: "name", type: "VARCHAR" },
  { name: "value", type: "DOUBLE" }
]

const summaryOf = (count: number, value: (n: number) => unknown): Summary => {
  const summary = new Summary(columns)
  summary.push(Array.from({ length: count }, (_, n) => ({ n: String(n), name: `row ${n}`, value: value(n) })))
  return summary
}

describe("the summary of rows", () => {
  it("has every row as long as they are few", () => {
    const values = [1, null, "2.5", "NaN"]
    const sample = summaryOf(4, (n) => values[n]).sample({ x: "name", ys: ["value", "n"] })
    assert.deepStrictEqual(sample, {
      rows: [1, 2, 3, 4],
      x: ["row 0", "row 1", "row 2", "row 3"],
      ys: [
        [1, null, 2.5, null],
        [0, 1, 2, 3]
      ],
      total: 4,
      isReduced: false
    })
  })

  it.each([4096, 4097, 100_000, 131_072, 131_073])("of %i rows stays small and loses no peak", (count) => {
    const peak = Math.floor(count / 3)
    const summary = summaryOf(count, (n) =>
      n === peak ? 1e6 : n === peak + 1 ? -1e6 : n % 2 === 0 ? null : 1
    )
    const { rows, total, x, ys } = summary.sample({ x: "n", ys: ["value"] })
    assert.strictEqual(total, count)
    assert.isAtMost(rows.length, 8192)
    // The first row and the last, and each point where it belongs.
    assert.deepStrictEqual([rows[0], rows.at(-1)], [1, count])
    assert.deepStrictEqual(
      x,
      rows.map((row) => row - 1)
    )
    for (const value of [1e6, -1e6]) {
      const at = ys[0]?.indexOf(value) ?? -1
      assert.isAtMost(Math.abs((rows[at] ?? 0) - peak), (2 * count) / 4096)
    }
  })

  it("does not hold on to long texts", () => {
    const summary = new Summary(columns)
    summary.push([{ name: "x".repeat(1000) }, { name: { json: '{"a":[1]}' } }])
    const { x } = summary.sample({ x: "name", ys: [] })
    assert.deepStrictEqual(x, [`${"x".repeat(40)}…`, '{"a":[1]}'])
  })
})

it.each<[values: ReadonlyArray<number>, step: number, texts: ReadonlyArray<string>]>([
  [[-500_000, 0, 500_000], 500_000, ["-500,000", "0", "500,000"]],
  [[100.15, 100.2, 0.1 + 0.2], 0.05, ["100.15", "100.2", "0.3"]],
  [[0.4999999, 0.50000005], 5e-8, ["0.4999999", "0.50000005"]],
  [[0, 2e-7, 4e-7], 2e-7, ["0", "2e-7", "4e-7"]],
  [[0, 1e300, 1.25e300], 2.5e299, ["0", "1.00e+300", "1.25e+300"]]
])("the ticks %j say what they stand for", (values, step, texts) => {
  assert.deepStrictEqual(Format.ticks(values, step), texts)
})

it.each([
  ["2024-01-01", new Date(2024, 0, 1)],
  ["2024-01-01 10:30:00.25", new Date(2024, 0, 1, 10, 30, 0, 250)],
  ["2024-01-01 10:30:00+03", new Date("2024-01-01T07:30:00Z")],
  ["2024-01-01 10:30:00+05:30", new Date("2024-01-01T05:00:00Z")]
])("the time %s is read as what it is", (text, date) => {
  assert.strictEqual(Format.seconds(text), date.getTime() / 1000)
})

it.each([
  ["a💥b", 1, 0, "line 1, column 1"],
  ["a💥b", 3, 3, "line 1, column 3"],
  ["💥\n💥b", 4, 5, "line 2, column 2"],
  ["ab", 9, 2, "line 1, column 3"]
])("in %j position %i is the offset %i, %s", (text, position, offset, place) => {
  assert.strictEqual(Positions.toOffset(text, position), offset)
  assert.strictEqual(Positions.describe(text, offset), place)
})

it.each([
  ["SELECT | FROM trades", "trades", false],
  ['FROM trades t, main."a b" AS o WHERE x IN (SELECT y FROM z) SELECT |', "trades t, main.a b o, z", false],
  ["SELECT | FROM a ASOF JOIN b USING (ts), c", "a, b", false],
  ["SELECT * FROM a AS b, |", "a b", true],
  ["SELECT q.| FROM (SELECT a, b FROM data d) q", "data d,  q", false],
  ["WITH big AS (FROM a), small AS MATERIALIZED (FROM b) SELECT * FROM b|", "a, b, b; big small", true],
  ["INSERT INTO trades (|", "trades", false],
  ["UPDATE trades SET a = 1, |", "trades", false],
  ["FROM trades WH|", "trades", false],
  ["MERGE INTO a o USING b c ON o.x = c.|", "a o, b c", false],
  ["DELETE FROM a USING b JOIN c USING (x) WHERE |", "a, b, c", false]
])("the tables of %s are found", (text, expected, expectsTable) => {
  const cursor = text.indexOf("|")
  const doc = text.replace("|", "")
  const { topNode } = PostgreSQL.language.parser.parse(doc)
  const from = cursor - (/\w*$/.exec(doc.slice(0, cursor))?.[0].length ?? 0)
  const named = Named.find(Text.of([doc]), topNode.firstChild ?? topNode, from)
  const tables = named.tables.map(({ alias, path }) =>
    alias === path.at(-1) ? path.join(".") : `${path.join(".")} ${alias}`
  )
  const expressions =
    named.expressions.length === 0 ? "" : `; ${named.expressions.map(({ name }) => name).join(" ")}`
  assert.strictEqual(tables.join(", ") + expressions, expected)
  assert.strictEqual(named.expectsTable, expectsTable)
})

it.each([
  ['SELECT "ma| FROM orders', '"main_only", "day"'],
  ['SELECT "ma| FROM "s 1".orders', '"other"'],
  ["SELECT o.| FROM orders o", "main_only, day"],
  ['SELECT orders.| FROM "s 1".orders', "other"],
  ["WITH x AS (SELECT o.day, count(*) AS n, main_only + day FROM orders o) SELECT x.| FROM x", "day, n"],
  ["SELECT q.| FROM (SELECT main_only mine, 'a' AS text) q", "mine, text"],
  ["FROM ord|", "orders, orders (s 1)"]
])("the completions of %s", (text, expected) => {
  const doc = text.replace("|", "")
  const state = EditorState.create({ doc, extensions: [PostgreSQL.language] })
  const table = (...names: ReadonlyArray<string>) => ({
    name: "orders",
    kind: "table",
    columns: names.map((name) => ({ name, type: "DATE" }))
  })
  const complete = Completion.source([
    { catalog: "memory", name: "main", tables: [table("main_only", "day")] },
    { catalog: "memory", name: "s 1", tables: [table("other")] }
  ])
  const { options = [] } = complete(new CompletionContext(state, text.indexOf("|"), true)) ?? {}
  const greatest = options.filter(({ boost }) => boost === 99)
  const shown = greatest.map(({ detail, label, type }) =>
    type === "type" && detail !== undefined ? `${label} (${detail})` : label
  )
  assert.strictEqual(shown.slice(0, expected.split(",").length).join(", "), expected)
})

describe("what the browser keeps", () => {
  const window = (local: Map<string, string>) => {
    const place = (map: Map<string, string>) => ({
      getItem: (key: string) => map.get(key) ?? null,
      setItem: (key: string, value: string) => void map.set(key, value)
    })
    const places = { localStorage: place(local), sessionStorage: place(new Map()) }
    return () => Object.entries(places).map(([name, place]) => vi.stubGlobal(name, place))
  }

  it("is a window's own tabs, and a history of all", () => {
    const local = new Map<string, string>()
    const [one, other, third] = [window(local), window(local), window(local)]
    for (const [open, query] of [[one, "SELECT 1"] as const, [other, "SELECT 2"] as const]) {
      open()
      Storage.tabs.write([{ name: "Query 1", text: query }])
      Storage.history.add({ query, at: 0, rows: 1, elapsedMs: 1, outcome: "Complete" })
    }
    one()
    assert.strictEqual(Storage.tabs.read()[0]?.text, "SELECT 1")
    assert.deepStrictEqual(
      Storage.history.read().map(({ query }) => query),
      ["SELECT 2", "SELECT 1"]
    )
    third()
    assert.strictEqual(Storage.tabs.read()[0]?.text, "SELECT 2")
    local.set("dataconn.tabs", '{"of":"another version"}')
    assert.deepStrictEqual(Storage.tabs.read(), [])
    vi.unstubAllGlobals()
  })

  it("is each text of a tab as a whole, or not at all", () => {
    const map = new Map<string, string>()
    const place = {
      getItem: (key: string) => map.get(key) ?? null,
      setItem: (key: string, value: string) => {
        if (value.length > 500_000) throw new Error("quota exceeded")
        map.set(key, value)
      }
    }
    for (const name of ["localStorage", "sessionStorage"]) vi.stubGlobal(name, place)
    const texts = ["x".repeat(600_000), "x".repeat(400_000), "SELECT 1"]
    assert.deepStrictEqual(Storage.tabs.write(texts.map((text) => ({ name: "", text }))), [false, true, true])
    const [lost, ...kept] = Storage.tabs.read().map(({ text }) => text)
    assert.match(lost ?? "", /^-- The browser had no space/)
    assert.deepStrictEqual(kept, texts.slice(1))
    for (let at = 0; at < 20; at++)
      Storage.history.add({ query: "x".repeat(99_999), at, rows: 1, elapsedMs: 1, outcome: "Complete" })
    assert.isAtMost(Storage.history.read().length, 10)
    vi.unstubAllGlobals()
  })

  it("is kept by the page where the browser may keep nothing", () => {
    for (const name of ["localStorage", "sessionStorage"])
      vi.stubGlobal(name, {
        getItem: () => {
          throw new Error("denied")
        },
        setItem: () => {
          throw new Error("denied")
        }
      })
    assert.deepStrictEqual([Storage.tabs.read(), Storage.token.read()], [[], undefined])
    Storage.token.write("secret")
    assert.strictEqual(Storage.token.read(), "secret")
    vi.unstubAllGlobals()
  })
})

it.each<[names: ReadonlyArray<string>, rows: ReadonlyArray<object>]>([
  [
    ["a", "b"],
    [
      { a: "1", b: "2.50" },
      { a: null, b: -0.5 },
      { a: true, b: 1e300 }
    ]
  ],
  [['a.b"\\', "ä"], [{ 'a.b"\\': 'x"},{"\n\\', ä: "💥" }]],
  [["a", "b"], [{ b: 'other "order"\\', a: "1" }]],
  [["__proto__"], [Object.fromEntries([["__proto__", "1"]])]],
  [["a"], []],
  [["a"], [{ a: "\n".repeat(600_000) }]]
])("rows with %j are read as they are", (names, rows) => {
  const parse = Records.rowParser(names.map((name) => ({ name, type: "VARCHAR" })))
  const line = JSON.stringify({ type: "rows", rows })
  assert.deepStrictEqual(parse(Records.rowsText(line) ?? "none"), rows)
})

it("nested values and JSON keep the server's own text", () => {
  const nested = String.raw`{"id": 9007199254740993, "price":1.10, "z":"}\\","z":[ ],"10":-0.0}`
  const parse = Records.rowParser([
    { name: "s", type: "STRUCT" },
    { name: "j", type: "JSON" }
  ])
  const line = `{ "rows" : [{"s":${nested},"j": 1e400 },{"s":null,"j":"a"} , {"j":null,"s":[1,{}]}], "type":"rows" }`
  const rows = parse(Records.rowsText(line) ?? "")
  assert.deepStrictEqual(
    rows.map(({ j, s }) => [Format.cell(s), Format.cell(j)]),
    [
      [nested, "1e400"],
      [undefined, '"a"'],
      ["[1,{}]", undefined]
    ]
  )
  assert.strictEqual(
    Json.indented(nested, 1000),
    String.raw`{
  "id": 9007199254740993,
  "price": 1.10,
  "z": "}\\",
  "z": [],
  "10": -0.0
}`
  )
  assert.throws(() => parse('{"s":nothing}'), SyntaxError)
  assert.throws(() => parse('{"s":[1,"]'), SyntaxError)
})
