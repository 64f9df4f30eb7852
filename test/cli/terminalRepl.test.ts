/**
 * `dataconn repl` in a real terminal: keys are typed, and the screen is read.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs"
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

describe.runIf(Tmux.isThere)("the repl", () => {
  const scope = Scope.makeUnsafe()
  let server: Dataconn.Dataconn
  let address: string
  let folder: string
  let window: Tmux.Window

  beforeAll(() =>
    Effect.gen(function* () {
      server = yield* Dataconn.serve()
      address = Address.format(yield* server.address)
      folder = yield* Folder.make
      const tmux = yield* Tmux.make
      window = yield* tmux.open({ columns: 90, env: { DATACONN_HISTORY: join(folder, "history") } })
      yield* window.enter(`${node} ${bin} repl --server ${address}`)
      yield* window.shows(/connected to .* \\q leaves\.\ndataconn>$/)
    }).pipe(Scope.provide(scope), Effect.runPromise)
  )
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** Types lines one after the other, each once the prompt is there, and gives the screen from then on. */
  const say = Effect.fnUntraced(function* (text: string, shows: RegExp) {
    yield* window.clear
    yield* window.shows(/^dataconn\S?>$/)
    yield* window.enter(text)
    return yield* window.shows(shows)
  })

  it.live("shows a result as a table, with the number of rows", () =>
    Effect.gen(function* () {
      const screen = yield* say(
        "SELECT '東京' AS city, NULL AS a, '' AS b, 42 AS n;",
        /\(1 row in .*\)\ndataconn>$/
      )
      assert.deepStrictEqual(screen.split("\n").slice(1, 4), [
        " city │    a │ b │  n",
        "──────┼──────┼───┼────",
        " 東京 │ NULL │   │ 42"
      ])
    })
  )

  it.live("takes statements of several lines, completes names, and brings a statement back as a whole", () =>
    Effect.gen(function* () {
      yield* say("SELECT max(price)", /\ndataconn->$/)
      yield* window.type("FROM tra")
      yield* window.press("Tab")
      yield* window.shows(/FROM trades$/)
      yield* window.type(" WHERE sid")
      yield* window.press("Tab")
      yield* window.shows(/WHERE side$/)
      yield* window.enter(" = 'buy';")
      yield* window.shows(/\n\s+max\(price\)\n─+\n\s+[\d.]+\n\(1 row in .*\)\ndataconn>$/)
      yield* window.press("Up")
      yield* window.shows(/dataconn> SELECT max\(price\) FROM trades WHERE side = 'buy';$/)
      yield* window.press("C-c")
      yield* window.shows(/\^C\ndataconn>$/)
      assert.strictEqual(statSync(join(folder, "history")).mode & 0o777, 0o600)
      assert.include(
        readFileSync(join(folder, "history"), "utf8"),
        "\nSELECT max(price) FROM trades WHERE side = 'buy';\n"
      )
    })
  )

  it.live("takes a command within a statement, which goes on, and remembers each for itself", () =>
    Effect.gen(function* () {
      yield* say("SELECT 4711", /\ndataconn->$/)
      yield* window.enter("\\timing off")
      yield* window.shows(/Timing is off\.\ndataconn->$/)
      yield* window.enter("AS within;")
      yield* window.shows(/within\n─+\n\s+4711\n\(1 row in .*\)\ndataconn>$/)
      yield* window.press("Up")
      yield* window.shows(/dataconn> SELECT 4711 AS within;$/)
      yield* window.press("Up")
      yield* window.shows(/dataconn> \\timing off$/)
      yield* window.press("C-c")
      assert.match(readFileSync(join(folder, "history"), "utf8"), /\n\\timing off\nSELECT 4711 AS within;\n$/)
    })
  )

  it.live("ends the running query at Ctrl-C, on the server too, and goes on", () =>
    Effect.gen(function* () {
      yield* say("SELECT count(*) FROM range(100000000) a, range(1000000) b;", /the query runs, .* s$/)
      yield* window.press("C-c")
      yield* window.shows(/\nCancelled\..*\ndataconn>$/)
      yield* server.line(/cancel/i)
      yield* say("SELECT 1 AS still_there;", /still_there\n.*\n\s+1\n\(1 row in .*\)\ndataconn>$/)
    })
  )

  it.live("points to what is wrong with a statement", () =>
    Effect.gen(function* () {
      const screen = yield* say("SELECT 1 FROM nowhere;", /not_found at [\s\S]*\ndataconn>$/)
      assert.match(screen, /not_found at line 1, column 15: [\s\S]*\n {2}SELECT 1 FROM nowhere\n {16}\^\n/)
    })
  )

  it.live("says what tables there are, and what columns", () =>
    Effect.gen(function* () {
      assert.match(yield* say("\\dt", /\(2 rows in .*\)\ndataconn>$/), / main +│ quotes │ BASE TABLE\n/)
      assert.match(yield* say("\\d trades", /\(5 rows in .*\)\ndataconn>$/), / price +│ DECIMAL\(9,2\) │ YES/)
      yield* say("\\d main.trades", /\(5 rows in .*\)\ndataconn>$/)
      yield* say("\\d nosuch", /\nThere is no table named nosuch; \\dt shows them\ndataconn>$/)
    })
  )

  it.live("changes how results look", () =>
    Effect.gen(function* () {
      yield* say("\\x on", /Each row is turned on its side\.\ndataconn>$/)
      yield* say("SELECT 1 AS a, 2 AS b;", /─\[ row 1 \]─+\n a │ 1\n b │ 2\n\(1 row in/)
      yield* say("\\x auto", /Rows that do not fit/)
      yield* say("\\format csv", /The format is csv\./)
      yield* say("SELECT 1 AS a, 2 AS b;", /\na,b\n1,2\ndataconn>$/)
      yield* say("\\format auto", /The format is auto\./)
      yield* say("\\timing on", /Timing is on\./)
      yield* say("SELECT 1;", /\(1 row in .*\)\nTime: .* \(accepted after .*\)\ndataconn>$/)
      yield* say("\\timing off", /Timing is off\./)
      yield* say("\\format xml", /\\format: expected table, [\s\S]* not xml\ndataconn>$/)
    })
  )

  it.live("shows the first rows of a large result, and says so", () =>
    Effect.gen(function* () {
      yield* say("\\limit 3", /At most 3 rows of a table are shown\./)
      const screen = yield* say(
        "FROM trades SELECT symbol;",
        /\(the first 3 rows in .*\)\nThere are more rows/
      )
      assert.strictEqual(screen.split("\n").filter((line) => /^ [A-Z]{3}$/.test(line)).length, 3)
      yield* say("\\limit 1000", /At most 1000 rows/)
    })
  )

  it.live("binds parameters of one statement", () =>
    Effect.gen(function* () {
      yield* say(
        "SELECT $a AS a, typeof($b) AS b \\bind a='two words' b:blob=hex:00",
        / two words │ BLOB\n\(1 row/
      )
      yield* say("SELECT $1 + 1 AS psql \\bind 41 \\g", /psql\n─+\n\s+42\n\(1 row in .*\)\ndataconn>$/)
      yield* say("\\bind 7", /\ndataconn>$/)
      yield* say("SELECT $1 AS seven;", /seven\n─+\n\s+7\n\(1 row in .*\)\ndataconn>$/)
      yield* say("SELECT $1 AS eight;", /(bad_request|invalid_query)[\s\S]*\ndataconn>$/)
      yield* say("\\bind a:int=x", /\\bind: expected digits for the type int, not "x"\ndataconn>$/)
    })
  )

  it.live("writes results to a file, and takes back one that is not whole", () =>
    Effect.gen(function* () {
      const file = join(folder, "results.csv")
      yield* say(`\\o ${file}`, /Results go to/)
      yield* say("SELECT 1 AS a;", /\ndataconn>$/)
      yield* say("SELECT 2 AS a;", /\ndataconn>$/)
      yield* say("SELECT error('no') AS a FROM range(9);", /execution_failed|invalid_query/)
      yield* say(`\\o ${join(folder, "one.json")}`, /Results go to/)
      yield* say("SELECT 1 AS a;", /\ndataconn>$/)
      yield* say("SELECT 2 AS a;", /json holds[\s\S]*one/)
      assert.strictEqual(readFileSync(join(folder, "one.json"), "utf8"), '[{"a":1}]\n')
      yield* say("\\o", /Results are shown here\./)
      assert.strictEqual(readFileSync(file, "utf8"), "a\n1\na\n2\n")
    })
  )

  it.live("runs a file", () =>
    Effect.gen(function* () {
      const file = join(folder, "script.sql")
      writeFileSync(file, "-- a script\nSELECT 1\n  AS first;\n\\x on\nSELECT 2 AS second")
      yield* say(`\\i ${file}`, / first\n[\s\S]*on its side[\s\S]* second │ 2\n\(1 row in .*\)\ndataconn>$/)
      yield* say("\\x auto", /Rows that do not fit/)
      writeFileSync(file, "SELECT 1;\n\nSELECT\n  prise FROM trades;\nSELECT 3;\n")
      yield* say(
        `\\i ${file}`,
        /script\.sql:4: invalid_query at line 2, column 3: [\s\S]* {2}prise FROM trades\n {4}\^\ndataconn>$/
      )
      yield* say("\\i /missing", /\\i: cannot read \/missing: ENOENT.*\ndataconn>$/)
    })
  )

  it.live("runs a statement again and again, until Ctrl-C", () =>
    Effect.gen(function* () {
      yield* say("SELECT 'tick' AS t \\watch 100ms", /(every 100ms[\s\S]*tick[\s\S]*){2}/)
      yield* window.press("C-c")
      yield* window.shows(/\ndataconn>$/)
    })
  )

  it.live("goes over to another server, connects again when that has closed, and says both", () =>
    Effect.gen(function* () {
      const other = yield* Dataconn.serveTiny(["--idle-timeout", "500ms"])
      const otherAddress = Address.format(yield* other.address)
      yield* say("\\connect 127.0.0.1:1", /Cannot connect to 127\.0\.0\.1:1: [\s\S]*Still connected to/)
      yield* say(`\\connect ${otherAddress}`, /\nConnected to 127[\d.:]+\.\ndataconn>$/)
      yield* say("SELECT 1;", /\(1 row in .*\)\ndataconn>$/)
      yield* other.line(/disconnected/)
      yield* say("SELECT 2 AS b;", /The connection had ended; connected to .* again\.\n b\n/)
      yield* say(`\\connect ${address}`, /\nConnected to 127[\d.:]+\.\ndataconn>$/)
    })
  )

  it.live("shows its frames, and has the debugger beside it", () =>
    Effect.gen(function* () {
      yield* say("\\frames text", /Frames are shown, with bodies as text\.\n/)
      yield* say(
        "SELECT 1 AS a;",
        /→ R {2}Request .*"query":"SELECT 1[\s\S]*← F {2}Final Chunk [\s\S]*\ndataconn>$/
      )
      yield* say("\\frames off", /Frames are not shown\.\ndataconn>$/)
      yield* say("\\debug", /\\q goes back\.\n.*connected to [\s\S]*debug>$/)
      yield* window.enter("R nonsense")
      yield* window.shows(/← J {2}Reject Request .*bad_request[\s\S]*debug>$/)
      yield* window.enter("\\q")
      yield* window.shows(/\ndataconn>$/)
    })
  )

  it.live("explains its commands, and knows when there is none", () =>
    Effect.gen(function* () {
      yield* say("\\?", /\\d \[TABLE\] +The columns of a table[\s\S]*\\q +Leaves, as Ctrl-D does\ndataconn>$/)
      yield* say("\\nothing", /There is no \\nothing; \\\? shows the commands\ndataconn>$/)
    })
  )

  it.live("goes on after Ctrl-Z and fg, with the line that was being typed", () =>
    Effect.gen(function* () {
      yield* window.clear
      yield* window.type("SELECT 7 ")
      yield* window.press("C-z")
      yield* window.shows(/\n\$$/)
      yield* window.enter("fg")
      yield* window.shows(/dataconn> SELECT 7$/)
      yield* window.enter("AS z;")
      yield* window.shows(/ z\n─+\n\s+7\n\(1 row in .*\)\ndataconn>$/)
    })
  )

  it.live("ends at Ctrl-D", () =>
    Effect.gen(function* () {
      yield* window.clear
      yield* window.press("C-d")
      yield* window.shows(/\n\$$/)
      yield* window.enter('echo "exit code $?"')
      yield* window.shows(/exit code 0\n\$$/)
    })
  )
})
