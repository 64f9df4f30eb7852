/**
 * Results in forms that are made of CSV.
 */
import { assert, describe, it } from "@effect/vitest"
import * as RowText from "../../../src/cli/RowText.ts"

const csv = 'n,"a ""b"""\r\n1,"x,é\r\n\ty|\\<"\r\n,""\r\n'

const made = (form: RowText.Form, size: number): string => {
  const text = new RowText.RowText(form)
  const bytes = new TextEncoder().encode(csv)
  let all = ""
  for (let at = 0; at < bytes.length; at += size) all += text.push(bytes.subarray(at, at + size))
  return all + text.end()
}

describe("rows, wherever their bytes are cut", () => {
  for (const size of [1, 7, 1000]) {
    it(`come as CSV without a header, in pieces of ${size}`, () => {
      assert.strictEqual(made(RowText.csv("\r\n"), size), csv.slice(csv.indexOf("\n") + 1))
      assert.strictEqual(made(RowText.csv("\n"), size), '1,"x,é\r\n\ty|\\<"\n,""\n')
    })

    it(`come as TSV, in pieces of ${size}`, () => {
      const rows = "1\tx,é\\r\\n\\ty|\\\\<\n\\N\t\n"
      assert.strictEqual(made(RowText.tsv(true), size), `n\ta "b"\n${rows}`)
      assert.strictEqual(made(RowText.tsv(false), size), rows)
    })

    it(`come as a table of Markdown, in pieces of ${size}`, () => {
      assert.strictEqual(
        made(RowText.markdown(["INTEGER", "VARCHAR"]), size),
        '| n | a "b" |\n| ---: | --- |\n| 1 | x,é<br>\ty\\|\\\\&lt; |\n| NULL |  |\n'
      )
    })
  }

  it("come as Markdown that shows their texts as they are, and no others", () => {
    const texts = {
      NULL: "'NULL'",
      "*a* _b_ c_d `e` ~~f~~": "\\*a\\* \\_b\\_ c_d \\`e\\` \\~\\~f\\~\\~",
      "[x](y) ![i](http://h/)": "\\[x](y) !\\[i](http://h/)",
      "< &lt; &#60; R&D": "&lt; &amp;lt; &amp;#60; R&D"
    }
    const { header, row } = RowText.markdown([])
    for (const [text, shown] of Object.entries(texts)) assert.strictEqual(row([text]), `| ${shown} |\n`)
    assert.strictEqual(row([null, ""]), "| NULL |  |\n")
    assert.strictEqual(header(["NULL", "a*"]), "| NULL | a\\* |\n| --- | --- |\n")
  })
})
