/**
 * Where a text of SQL is cut into statements.
 */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Statements from "../../../src/cli/sql/Statements.ts"

const texts = (sql: string) => Statements.all(sql).map(({ text }) => text)

describe("statements", () => {
  const cases: Record<string, readonly [string, ReadonlyArray<string>]> = {
    "are cut at semicolons": ["SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]],
    "need none at the end": ["SELECT 1;\n", ["SELECT 1"]],
    "are not empty": [";; ;\n-- nothing\n;/* nor here */", []],
    "keep the comments before them": [
      "-- a; b\nSELECT 1; /* c; */ SELECT 2",
      ["-- a; b\nSELECT 1", "/* c; */ SELECT 2"]
    ],
    "have strings": ["SELECT 'a;''b;'; SELECT 2", ["SELECT 'a;''b;'", "SELECT 2"]],
    "have names in quotes": ['SELECT 1 AS "a;""b"; SELECT 2', ['SELECT 1 AS "a;""b"', "SELECT 2"]],
    "have strings with backslashes after E": ["SELECT E'a\\';b'; SELECT 2", ["SELECT E'a\\';b'", "SELECT 2"]],
    "have backslashes that mean nothing elsewhere": ["SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", "SELECT 2"]],
    "have no E of a longer word": ["SELECT type'a\\'; SELECT 2", ["SELECT type'a\\'", "SELECT 2"]],
    "have text between dollars": [
      "SELECT $$a;b$$; SELECT $x$;$$;$x$",
      ["SELECT $$a;b$$", "SELECT $x$;$$;$x$"]
    ],
    "have parameters, which are none": [
      "SELECT $1; SELECT $a; SELECT a$b$c;",
      ["SELECT $1", "SELECT $a", "SELECT a$b$c"]
    ],
    "have comments within comments": [
      "SELECT /* a /* ; */ ; */ 1; SELECT 2",
      ["SELECT /* a /* ; */ ; */ 1", "SELECT 2"]
    ],
    "have dashes that are no comment": ["SELECT 1 - -1; SELECT 2", ["SELECT 1 - -1", "SELECT 2"]],
    "end with the text where a quote is open": ["SELECT 1; SELECT 'a; b", ["SELECT 1", "SELECT 'a; b"]],
    "have characters of any script": [
      "SELECT 'é;😀' AS 名前; SELECT 😀",
      ["SELECT 'é;😀' AS 名前", "SELECT 😀"]
    ]
  }
  for (const [name, [sql, expected]] of Object.entries(cases)) {
    it(name, () => assert.deepStrictEqual(texts(sql), expected))
  }

  it("say where they begin", () => {
    const sql = "SELECT 1;\n  SELECT 2;"
    assert.deepStrictEqual(
      Statements.all(sql).map(({ offset, text }) => sql.startsWith(text, offset) && offset),
      [0, 12]
    )
  })

  it("are found in any text, in order, without what is between them being lost", () => {
    const sql = fc.string({
      unit: fc.constantFrom("a", "e", "'", '"', ";", "-", "\n", "/", "*", "$", "\\", " ", "😀")
    })
    fc.assert(
      fc.property(sql, (text) => {
        let end = 0
        for (const statement of Statements.all(text)) {
          assert.strictEqual(
            text.slice(statement.offset, statement.offset + statement.text.length),
            statement.text
          )
          assert.match(text.slice(end, statement.offset), /^[\s;]|^$|^(--|\/\*)/)
          end = statement.offset + statement.text.length
        }
      })
    )
  })
})

describe("the end of a text", () => {
  for (const [sql, open] of [
    ["SELECT 'a", "'"],
    ['SELECT "a', '"'],
    ["SELECT /* a", "/*"],
    ["SELECT $a$ b", "$"],
    ["SELECT -- a", "--"],
    ["SELECT 'a'", undefined]
  ] as const) {
    it(`of ${sql} has open: ${open ?? "nothing"}`, () => assert.strictEqual(Statements.split(sql).open, open))
  }
})

describe("a backslash", () => {
  it("ends the text outside of quotes and comments, if asked for", () => {
    const sql = "SELECT '\\'; SELECT 2 \\watch 1; SELECT 3"
    const split = Statements.split(sql, { backslashes: true })
    assert.deepStrictEqual(
      split.statements.map(({ text }) => text),
      ["SELECT '\\'"]
    )
    assert.strictEqual(split.rest?.text, "SELECT 2")
    assert.strictEqual(split.backslash, sql.indexOf("\\watch"))
  })
})
