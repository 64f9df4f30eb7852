/**
 * What the documents show of a terminal: the keys of each picture are typed into a real one, and its screen is compared.
 * A picture that is no more what the command shows is renewed from the screen that the failure has.
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Tmux from "../support/Tmux.ts"

const [node, bin] = Dataconn.program

/** The block of a document that begins with this line. */
const picture = (file: string, start: string): string => {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")
  const at = text.indexOf(`\`\`\`\n${start}`)
  assert.notStrictEqual(at, -1, `${file} has no block that begins with ${start}`)
  return text.slice(at + 4, text.indexOf("\n```", at))
}

/** What a server logs without what is another in every run. */
const lastingLog = (log: string): string =>
  lasting(log)
    .replaceAll(/^\S+Z /gm, "")
    .replaceAll(/process \d+|queryId \w+|[\d.]+ ms/g, (text) => text.replaceAll(/\w*\d[\w.]*/g, "1"))
    .replace(/; (?:all )?settings\b.*/, "; settings")

/** A screen without what is another in every run. */
const lasting = (screen: string): string =>
  screen
    .replaceAll(/ in [\d.]+ m?s\)/g, " in 1 ms)")
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:11653")
    .replaceAll(/^ *\d+\.\d{3} s/gm, "0.000 s")
    .replaceAll(/"queryId":"\w+"/g, '"queryId":"0"')
    .trimEnd()

const screen = Effect.fnUntraced(function* (
  columns: number,
  steps: ReadonlyArray<readonly [typed: string, shown: RegExp, key?: string]>
) {
  const server = yield* Dataconn.serve()
  const tmux = yield* Tmux.make
  const env = { DATACONN_SERVER: Address.format(yield* server.address), PS2: "" }
  const window = yield* tmux.open({ columns, rows: 60, env })
  yield* window.enter(`dataconn() { ${node} ${bin} "$@"; }; clear`)
  yield* window.shows(/^\$$/)
  for (const [typed, shown, key = "Enter"] of steps) {
    if (typed !== "") yield* window.type(typed)
    yield* window.press(key)
    yield* window.shows(shown)
  }
  return yield* window.screen()
})

const atPrompt = /\)\ndataconn>$/

describe.runIf(Tmux.isThere)("the picture of", () => {
  it.live("the terminal in README.md is what it shows", () =>
    Effect.gen(function* () {
      const shown = yield* screen(84, [
        ["dataconn query 'SELECT symbol, count(*) AS n, max(price) FROM trades GROUP BY ALL", /ALL$/],
        ["ORDER BY n DESC, symbol LIMIT 3'", /\(3 rows in .*\)\n\$$/],
        ["dataconn repl", /leaves\.\ndataconn>$/],
        ["SELECT ts, bid, NULL AS note", /dataconn->$/],
        ["FROM quotes LIMIT 2;", atPrompt],
        ["\\x", /on its side\.\ndataconn>$/],
        ["FROM trades LIMIT 1;", atPrompt],
        ["SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b;", /the query runs/],
        ["", /Cancelled\.\ndataconn>$/, "C-c"],
        ["SELECT prise FROM trades;", /\^\ndataconn>$/]
      ])
      assert.strictEqual(lasting(shown), lasting(picture("README.md", "$ dataconn query 'SELECT symbol")))
    })
  )

  it.live("the debugger in src/cli/README.md is the beginning of each line", () =>
    Effect.gen(function* () {
      const shown = yield* screen(200, [
        ["dataconn debug --no-heartbeats", /debug>$/],
        ["query SELECT 42 AS a", /Final Chunk +0\ndebug>$/]
      ])
      const lines = lasting(shown.slice(shown.indexOf("debug> query"))).split("\n")
      const expected = lasting(picture("src/cli/README.md", "debug> query")).split("\n")
      expected.forEach((line, index) => {
        const [start = ""] = line.split("…")
        assert.strictEqual(lines[index]?.slice(0, line.includes("…") ? start.length : undefined), start)
      })
    })
  )
})

describe("the log of a server in README.md", () => {
  it.live("is what it logs", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve()
      const address = Address.format(yield* server.address)
      const sql = "SELECT symbol, count(*) AS n FROM trades GROUP BY ALL ORDER BY ALL"
      const query = yield* Dataconn.run(["query", sql, "--format", "csv", "--server", address])
      assert.strictEqual(yield* query.exit, 0)
      yield* server.line(/disconnected/)
      const expected = lastingLog(picture("README.md", "2026"))
      assert.strictEqual(lastingLog(server.lines().join("\n")), expected)
    })
  )
})
