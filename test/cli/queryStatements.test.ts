/**
 * What `dataconn query` makes of its arguments: several statements, files, formats by extension, addresses, exit codes.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Arguments from "../../src/cli/Arguments.ts"
import * as Formats from "../../src/cli/Formats.ts"
import * as QueryReport from "../../src/cli/QueryReport.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as Poll from "../support/Poll.ts"
import { run } from "../support/QueryRun.ts"
import * as QueryServer from "../support/QueryServer.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

const asked = (stdout: string): ReadonlyArray<string> =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).query)

describe("several statements", () => {
  it.live("are requests of their own, one after the other", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const { code, stdout } = yield* run(["echo 1; echo ';'; -- nothing\n", "-s", address])
      assert.deepStrictEqual(asked(stdout), ["echo 1", "echo ';'"])
      assert.strictEqual(code, 0)
    })
  )

  it.live("go as they are where they are not to be cut", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const { stdout } = yield* run(["echo 1; echo 2;", "--no-split", "-s", address])
      assert.deepStrictEqual(asked(stdout), ["echo 1; echo 2;"])
    })
  )

  it.live("end with the first that fails, and the error has its line in the whole", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const { code, stderr, stdout } = yield* run(["echo 1;\nreject 3\n;echo 3", "-s", address])
      assert.deepStrictEqual(asked(stdout), ["echo 1"])
      assert.deepStrictEqual(stderr.split("\n"), [
        "syntax_error at line 2, column 3: syntax error at or near",
        "  reject 3",
        "    ^",
        "This was query 2 of 3; none after it was run."
      ])
      assert.strictEqual(code, 1)
    })
  )

  it.live("leave no file if one of them fails", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const file = join(yield* Folder.make, "result.ndjson")
      writeFileSync(file, "old")
      assert.strictEqual((yield* run(["echo 1; fail", "-o", file, "-s", address])).code, 1)
      assert.strictEqual(readFileSync(file, "utf8"), "old")
      assert.strictEqual((yield* run(["echo 1; echo 2", "-o", file, "-s", address])).code, 0)
      assert.match(readFileSync(file, "utf8"), /^\{"query":"echo 1".*\}\s*\{"query":"echo 2"/)
    })
  )

  it.live("have no one file of a binary format, or of JSON", () =>
    Effect.gen(function* () {
      const json = yield* run(["echo 1; echo 2", "-o", join(yield* Folder.make, "two.json")])
      assert.match(json.stderr, /2 queries have as many results, and a file of json holds one/)
      const { stderr } = yield* run(["echo 1; echo 2", "-f", "parquet"])
      assert.strictEqual(stderr, "dataconn query: 2 queries have as many results, and parquet holds one")
    })
  )
})

describe("the query", () => {
  it.live("comes from a file", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const file = join(yield* Folder.make, "query.sql")
      writeFileSync(file, "-- from a file\necho 1\n")
      assert.deepStrictEqual(asked((yield* run(["--file", file, "-s", address])).stdout), [
        "-- from a file\necho 1\n"
      ])
      const stdin = yield* run(["--file", "-", "-s", address], { stdin: "echo 2" })
      assert.deepStrictEqual(asked(stdin.stdout), ["echo 2"])
    })
  )

  it.live("is refused if it is not UTF-8, with the place, before anything is sent", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "query.sql")
      writeFileSync(file, Buffer.concat([Buffer.from("\ufeffecho 'é\ufffd"), Buffer.of(0xc3, 0x27)]))
      const { code, stderr } = yield* run(["--file", file, "-s", "127.0.0.1:1"])
      assert.include(stderr, `cannot read --file ${file}: it is not UTF-8 at byte offset 14`)
      assert.strictEqual(code, 1)
    })
  )

  it.live.each([
    [["", "-s", "127.0.0.1:1"], "the query is empty"],
    [[" ;-- nothing", "-s", "127.0.0.1:1"], "the query is empty"],
    [["echo", "--file", "x"], "a query and --file are both given; leave one out"],
    [["echo", "--csv-crlf", "-f", "json"], "--csv-crlf is for csv; it has no effect on json"],
    [
      ["echo", "--numbers", "string", "-f", "csv"],
      "--numbers is for json and ndjson; it has no effect on csv"
    ],
    [["echo", "--pager", "-o", "a.csv"], "--pager has no effect on what --output writes to a file"],
    [["echo", "--record-values"], "--record-values has no effect without --record"],
    [["echo", "--limit", "3", "-f", "csv"], "--limit is for tables; for csv, write LIMIT into the query"],
    [["--file", "/missing.sql"], "cannot read --file /missing.sql: ENOENT"]
  ] as const)("of %j is refused before anything is sent", ([args, said]) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(args)
      assert.include(stderr, said)
      assert.strictEqual(code, 1)
    })
  )
})

describe("the format", () => {
  it.live("is that of the extension of the file, unless another is asked for", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const folder = yield* Folder.make
      const format = (name: string, ...args: ReadonlyArray<string>) =>
        Effect.map(
          run(["echo", "-s", address, "-o", join(folder, name), ...args]),
          () => JSON.parse(readFileSync(join(folder, name), "utf8")).format
        )
      assert.strictEqual(yield* format("a.CSV"), "text/csv")
      assert.strictEqual(yield* format("a.parquet"), "application/vnd.apache.parquet")
      assert.strictEqual(yield* format("a.dat"), "application/json")
      assert.strictEqual(yield* format("a.csv", "-f", "ndjson"), "application/x-ndjson")
    })
  )

  it("has names for extensions", () => {
    const names = ["x.json", "x.jsonl", "x.ndjson", "x.arrows", "x.tar", "constructor", "x.constructor"]
    assert.deepStrictEqual(
      names.map((name) => Formats.ofFile(name)),
      [
        Formats.short.json,
        Formats.short.ndjson,
        Formats.short.ndjson,
        Formats.short.arrow,
        undefined,
        undefined,
        undefined
      ]
    )
  })

  it.live("CSV has LF, or CRLF if that is asked for", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const query = 'csv a|"b|c"|'
      const csv = (...args: ReadonlyArray<string>) =>
        Effect.map(run([query, "-f", "csv", "-s", address, ...args]), ({ stdout }) => stdout)
      assert.strictEqual(yield* csv(), 'a\n"b\r\nc"\n')
      assert.strictEqual(yield* csv("--csv-crlf"), 'a\r\n"b\r\nc"\r\n')
      assert.strictEqual(yield* csv("--output", "-"), 'a\n"b\r\nc"\n')
    })
  )

  it.live("on a terminal is a table, and where a server has no CSV, JSON", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const table = yield* run(["csv a,b|1,|", "-s", address], { isTerminal: true })
      assert.strictEqual(table.stdout, " a │ b\n───┼──────\n 1 │ NULL\n")
      const first = yield* run(["csv a|1|2|", "-f", "table", "--limit", "1", "-s", address])
      assert.strictEqual(first.stdout, " a\n───\n 1\n")
      const json = yield* ScriptedServer.make(({ onMessage, send }) => {
        let requests = 0
        onMessage(() => {
          if (requests++ === 0) send('J {"code":"unsupported_format","message":"no","retryable":false}')
          else send('A {"format":"application/json","queryId":"q"}', 'F [{"a":"\\u001b"}]')
        })
      })
      const { code, stdout } = yield* run(["x", "-s", json.address], { isTerminal: true })
      assert.strictEqual(stdout, '[{"a":"\\u001b"}]\n')
      assert.strictEqual(code, 0)
      const csv = yield* QueryServer.ofFormats("text/csv")
      assert.strictEqual((yield* run(["csv a|1|", "-s", csv.address])).stdout, "a\n1\n")
      const chosen = yield* run(["x", "-f", "table", "-s", json.address])
      assert.match(chosen.stderr, /^unsupported_format/)
    })
  )

  it.live("that is binary is refused on a terminal, before anything is sent", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(["x", "-f", "arrow"], { isTerminal: true })
      assert.match(stderr, /^dataconn query: arrow is binary, and nothing for a terminal/)
      assert.strictEqual(code, 1)
    })
  )
})

describe("the exit code", () => {
  it.live("of a server that is busy says to try again", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const { code, stderr } = yield* run(["busy", "-s", address])
      assert.strictEqual(stderr, "overloaded: too many (try again in 5 ms)")
      assert.strictEqual(code, 75)
    })
  )

  it.live("of something else that listens there is 3, with a line that says so", () =>
    Effect.gen(function* () {
      const web = yield* ScriptedServer.make(({ socket }) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      const { code, stderr } = yield* run(["x", "-s", web.address])
      assert.match(stderr, /^\S+ broke the protocol: .*\(is it a DataConn server\? See --server\)$/)
      assert.strictEqual(code, 3)
    })
  )
})

/** The command in a pipe: `dataconn` is a function of this script. */
const inShell = (script: string) =>
  Effect.gen(function* () {
    const { address } = yield* QueryServer.make
    const [node, file] = Dataconn.program
    const shell = yield* Dataconn.run(["-c", `dataconn() { "${node}" "${file}" "$@"; }\n${script}`], {
      program: ["/bin/bash"],
      cwd: yield* Folder.make,
      env: { DATACONN_SERVER: address }
    })
    yield* shell.exit
    return { stderr: shell.stderr(), lines: shell.lines() }
  }).pipe(Effect.scoped)

describe("in a shell", () => {
  it.live("a command that nobody reads ends as by SIGPIPE, quietly", () =>
    Effect.gen(function* () {
      const { lines, stderr } = yield* inShell(
        [
          "set -o pipefail",
          "dataconn query endless | head -c 1 >/dev/null; echo query $?",
          "echo 'endless; echo 2;' | dataconn repl | head -c 1 >/dev/null; echo repl $?",
          "dataconn ping -c 1000 -i 0.01 | head -1 >/dev/null; echo ping $?"
        ].join("\n")
      )
      assert.deepStrictEqual(lines, ["query 141", "repl 141", "ping 141"])
      assert.strictEqual(stderr, "")
    })
  )

  it.live("writes to what is open already, and the repl looks at once whether it could write", () =>
    Effect.gen(function* () {
      const { lines, stderr } = yield* inShell(
        [
          "dataconn query 'csv a|1|' -f csv -o >(cat)",
          "echo before > log; dataconn query 'csv b|' -f csv -o /dev/stdout >> log; cat log",
          "printf '\\\\o /missing/x\\n' | dataconn repl",
          "printf 'csv a|2|;\\n\\303\\047' | dataconn repl -f csv",
          "dataconn query $'csv \\377'"
        ].join("\n")
      )
      assert.deepStrictEqual(lines, ["a", "1", "before", "b"])
      const [output, input, argument] = stderr.trim().split("\n")
      assert.match(output ?? "", /^standard input:1: \\o: Cannot write to \/missing\/x: ENOENT/)
      assert.strictEqual(input, "cannot read standard input: it is not UTF-8 at byte offset 10")
      assert.strictEqual(argument, "dataconn: argument 2 is not UTF-8")
    })
  )
})

describe("--timing", () => {
  it.live("says on standard error how long the query took", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const { stderr } = yield* run(["csv a|", "-f", "csv", "--timing", "-s", address])
      assert.match(stderr, /^Time: .* \(accepted after .*, first byte after .*, 3 B\)$/)
    })
  )
})

describe("the address of a server", () => {
  it.live("may be a variable's, which an error names", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      process.env["DATACONN_SERVER"] = `dataconn://${address}`
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env["DATACONN_SERVER"]))
      assert.deepStrictEqual(asked((yield* run(["echo"])).stdout), ["echo"])
      process.env["DATACONN_SERVER"] = "db:x"
      assert.match((yield* run(["echo"])).stderr, /^dataconn query: DATACONN_SERVER: "db:x" is no address/)
    })
  )
})

describe("arguments", () => {
  it.each([
    [["help"], ["--help"]],
    [
      ["help", "query"],
      ["query", "--help"]
    ],
    [["help", "querry"], ["querry"]],
    [
      ["help", "version"],
      ["version", "--help"]
    ],
    [["version"], ["--version"]],
    [
      ["completions", "zsh"],
      ["--completions", "zsh"]
    ],
    [
      ["query", "help"],
      ["query", "help"]
    ],
    [
      ["query", "-- a\nSELECT 1", "-f", "csv"],
      ["query", "-f", "csv", "--", "-- a\nSELECT 1"]
    ],
    [
      ["query", "--a\nSELECT 1"],
      ["query", "--", "--a\nSELECT 1"]
    ],
    [
      ["query", "--param=a=x\ny", "SELECT 1"],
      ["query", "--param=a=x\ny", "SELECT 1"]
    ],
    [
      ["serve", "--query-timeout", "-5s", "--", "--a", "-5"],
      ["serve", "--query-timeout=-5s", "--", "--a", "-5"]
    ],
    [
      ["query", "--", "-- a\nSELECT 1"],
      ["query", "--", "-- a\nSELECT 1"]
    ]
  ] as const)("%j are understood", (given, expected) => {
    assert.deepStrictEqual(Arguments.rewrite(given, ["query", "serve"]), [...expected])
  })
})

describe("the place of an error", () => {
  it("is counted in characters, and shown below them however wide they are", () => {
    assert.deepInclude(QueryReport.locate("SELECT '😀', x", 0, 13), { line: 1, column: 13, index: 13 })
    assert.deepInclude(QueryReport.locate("ab\ncd; ef\ngh", 7, 1), { line: 2, column: 5, text: "cd; ef" })
    assert.deepInclude(QueryReport.locate("ab", 0, 99), { line: 1, column: 3 })
  })
})

describe("a signal", () => {
  const beingWritten = (folder: string) =>
    Poll.until("a part is written", () =>
      readdirSync(folder).some(
        (name) => (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0) > 0
      )
    )

  it.live("cancels the query, says what is incomplete, and gives the exit code of the signal", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const query = yield* Dataconn.run(["query", "stuck", "-f", "csv", "-s", server.address])
      yield* query.line(/^x+$/)
      yield* query.kill("SIGTERM")
      assert.strictEqual(yield* query.exit, 143)
      assert.strictEqual(query.stderr(), "Cancelled. The output is incomplete.\n")
      yield* server.happened("Cancelled")
    })
  )

  it.live.each([
    ["SIGHUP", 129],
    ["SIGQUIT", 131]
  ] as const)("that is %s leaves no part of a file", ([signal, code]) =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const folder = yield* Folder.make
      const output = ["-o", join(folder, "a.csv")]
      const query = yield* Dataconn.run(["query", "stuck", ...output, "-s", server.address])
      yield* beingWritten(folder)
      yield* query.kill(signal)
      assert.strictEqual(yield* query.exit, code)
      assert.deepStrictEqual(readdirSync(folder), [])
      yield* server.happened("Cancelled")
    })
  )

  it.live("that comes twice does not wait for a server that does not confirm", () =>
    Effect.gen(function* () {
      const deaf = yield* ScriptedServer.make(({ forever, onMessage, send }) => {
        onMessage((letter) => letter === "R" && send('A {"format":"text/csv","queryId":"q"}', "I a\n"))
        forever(() => send("H"))
      })
      const folder = yield* Folder.make
      const output = ["-o", join(folder, "a.csv")]
      const query = yield* Dataconn.run(["query", "x", ...output, "-s", deaf.address])
      yield* beingWritten(folder)
      yield* query.kill("SIGINT")
      yield* Poll.until("it says what it waits for", () => query.stderr().includes("Ctrl-C again"))
      yield* query.kill("SIGINT")
      assert.strictEqual(yield* query.exit, 130)
      assert.deepStrictEqual(readdirSync(folder), [])
    })
  )
})
