/**
 * `dataconn query` in a real terminal: keys are typed, and the screen is read.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as Tmux from "../support/Tmux.ts"

const [node, bin] = Dataconn.program

describe.runIf(Tmux.isThere)("dataconn query on a terminal", () => {
  const scope = Scope.makeUnsafe()
  let server: Dataconn.Dataconn
  let env: Readonly<Record<string, string>>
  let tmux: Tmux.Tmux

  beforeAll(() =>
    Effect.gen(function* () {
      server = yield* Dataconn.serve()
      env = { DATACONN_SERVER: `dataconn://${Address.format(yield* server.address)}` }
      tmux = yield* Tmux.make
    }).pipe(Scope.provide(scope), Effect.runPromise)
  )
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** A shell in which `dataconn` is the command of this source. */
  const shell = Effect.fnUntraced(function* (options: Tmux.Options = {}) {
    const window = yield* tmux.open({ ...options, env: { ...env, ...options.env } })
    yield* window.enter(`dataconn() { ${node} ${bin} "$@"; }; clear`)
    yield* window.shows(/^\$$/)
    return window
  })

  it.live("shows a table, with the number of rows and the time below it", () =>
    Effect.gen(function* () {
      const window = yield* shell({ columns: 60 })
      yield* window.enter(
        "clear; dataconn query \"SELECT 'Ōsaka 大阪' AS city, NULL AS n; FROM trades LIMIT 2\""
      )
      const screen = yield* window.shows(/\(2 rows in .*\)\n\$$/)
      const at = screen.indexOf(" city")
      assert.match(
        screen.slice(at),
        /^ city {7}│ {4}n\n─{12}┼─{6}\n Ōsaka 大阪 │ NULL\n\(1 row in .*\)\n ts {25}│ symbol │ {2}price │ size │ side\n/
      )
      const styled = yield* window.screen(true)
      assert.include(styled, "\u001b[1mcity")
      assert.include(styled, "\u001b[2mNULL")
    })
  )

  it.live("turns rows that do not fit on their side, and has no colours if told so", () =>
    Effect.gen(function* () {
      const window = yield* shell({ columns: 40, env: { NO_COLOR: "1" } })
      yield* window.enter("clear; dataconn query 'FROM trades LIMIT 1'")
      const screen = yield* window.shows(/\(1 row in .*\)\n\$$/)
      assert.match(screen, /─\[ row 1 \]─+\n ts {5}│ 2024-01-02 09:30:00\n symbol │ DEF\n/)
      assert.notInclude(yield* window.screen(true), "\u001b[1m")
    })
  )

  it.live(
    "says how far it is while it waits; Ctrl-C cancels it on the server and says what is incomplete",
    () =>
      Effect.gen(function* () {
        const window = yield* shell()
        yield* window.enter(
          "clear; dataconn query 'SELECT 1; SELECT list_sum(range(range % 7 + 500)) FROM range(1000000000)' -f csv > /dev/null; echo \"exit code $?\""
        )
        // A part of the second result has come.
        yield* window.shows(/^[\d.]+ [KM]iB, .*, first byte after .*s$/m)
        yield* window.press("C-c")
        const screen = yield* window.shows(/exit code 130\n\$$/)
        assert.match(screen, /^Cancelled in query 2 of 2\. The output is incomplete\.\nexit code 130/)
        assert.notMatch(screen, /first byte after/)
        yield* server.line(/cancel/i)
      })
  )

  it.live("says that a result is cancelled on a line of its own", () =>
    Effect.gen(function* () {
      const window = yield* shell()
      yield* window.enter("clear; dataconn query 'FROM range(100000000)' -f json; echo \"exit code $?\"")
      yield* window.shows(/"range":\d{4}/)
      yield* window.press("C-c")
      yield* window.shows(/\nCancelled\. The output is incomplete\.\nexit code 130\n\$$/)
    })
  )

  it.live("shows a long result in a pager", () =>
    Effect.gen(function* () {
      const window = yield* shell({ rows: 10 })
      yield* window.enter(
        "clear; PAGER=less dataconn query 'FROM range(100000) AS t(number)' --pager; echo \"exit code $?\""
      )
      yield* window.shows(/^ number\n─+\n +0\n +1\n[\s\S]*\n:$/)
      yield* window.type("q")
      yield* window.shows(/exit code 0\n\$$/)
      yield* window.enter("clear; PAGER=less dataconn query 'FROM range(30)' --pager; echo \"exit code $?\"")
      yield* window.shows(/\n:$/)
      yield* window.type("q")
      // The number of rows waits until the terminal is no more the pager's.
      yield* window.shows(/\n\(30 rows in .*\)\nexit code 0\n\$$/)
    })
  )

  it.live("refuses formats that are nothing for a terminal, and points to what is wrong with a query", () =>
    Effect.gen(function* () {
      const window = yield* shell({ columns: 100 })
      yield* window.enter(
        "clear; dataconn query 'SELECT 1' -f parquet; dataconn query \"SELECT '日本', selec\""
      )
      const screen = yield* window.shows(/\^\n\$$/)
      assert.match(
        screen,
        /parquet is binary, and nothing for a terminal; give --output a file, or use a pipe\n/
      )
      assert.match(screen, /at line 1, column 14: [\s\S]*\n {2}SELECT '日本', selec\n {17}\^\n/)
    })
  )

  it.live("is completed by a shell, files and the values of settings included", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      writeFileSync(join(folder, "report.sql"), "SELECT 'from a file' AS said;\n-- nothing more\n")
      const window = yield* shell({ columns: 100, shell: ["bash", "--norc", "--noprofile"] })
      yield* window.enter('clear; source <(dataconn completions bash); echo "loaded"')
      yield* window.shows(/^loaded\n\$$/)
      yield* window.type("dataconn serve --isol")
      yield* window.press("Tab")
      yield* window.type(" p")
      yield* window.press("Tab")
      yield* window.type(" --http-tok")
      yield* window.press("Tab")
      yield* window.type(` ${folder}/rep`)
      yield* window.press("Tab")
      yield* window.shows(/dataconn serve\s+--isolate\s+process\s+--http-tokens\s+\S+\/report\.sql$/)
      yield* window.press("C-c")
      yield* window.enter("clear")
      yield* window.shows(/^\$$/)
      yield* window.type("dataconn que")
      yield* window.press("Tab")
      yield* window.type(" --fi")
      yield* window.press("Tab")
      yield* window.type(` ${folder}/rep`)
      yield* window.press("Tab")
      yield* window.shows(/dataconn query\s+--file\s+\S+\/report\.sql$/)
      yield* window.press("Enter")
      yield* window.shows(/ said\n─+\n from a file\n\(1 row in .*\)\n\$$/)
    })
  )
})
