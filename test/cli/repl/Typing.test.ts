/**
 * The parts of the repl that decide: what a line completes, what Tab offers, and what the history keeps.
 */
import { execFileSync } from "node:child_process"
import { statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Commands from "../../../src/cli/repl/Commands.ts"
import * as Completion from "../../../src/cli/repl/Completion.ts"
import * as History from "../../../src/cli/repl/History.ts"
import { type Action, Input } from "../../../src/cli/repl/Input.ts"
import * as LineReader from "../../../src/cli/repl/LineReader.ts"
import { TypedLines } from "../../../src/cli/repl/TypedLines.ts"
import * as Folder from "../../support/Folder.ts"

const statement = (text: string): Action => ({ _tag: "Statement", text })
const command = (name: string, argument = "", pending?: string): Action => ({
  _tag: "Command",
  name,
  argument,
  pending
})

/** What each line gives to do, and what the prompt is marked with after it. */
const typed = (...lines: ReadonlyArray<string>) => {
  const input = new Input()
  return lines.map((line) => [input.push(line), input.mark] as const)
}

describe("a line", () => {
  it("that ends a statement gives it", () => {
    assert.deepStrictEqual(typed("SELECT 1;"), [[[statement("SELECT 1")], "="]])
  })

  it("gives every statement that it ends", () => {
    assert.deepStrictEqual(typed("SELECT 1; SELECT 2; SELECT"), [
      [[statement("SELECT 1"), statement("SELECT 2")], "-"]
    ])
  })

  it("goes on with the ones before it", () => {
    assert.deepStrictEqual(typed("SELECT", "  1", ";"), [
      [[], "-"],
      [[], "-"],
      [[statement("SELECT\n  1")], "="]
    ])
  })

  it("shows what is open", () => {
    assert.deepStrictEqual(typed("SELECT 'a;", "b' || \"c", 'd"; /* e;', "*/"), [
      [[], "'"],
      [[], '"'],
      [[statement("SELECT 'a;\nb' || \"c\nd\"")], "/"],
      [[], "="]
    ])
  })

  it("of blanks or comments alone gives nothing", () => {
    assert.deepStrictEqual(typed("", "  ", "-- a; b", ";"), Array(4).fill([[], "="]))
  })

  it("gives a command with its argument", () => {
    assert.deepStrictEqual(typed("\\d  trades ;", "\\?"), [
      [[command("d", "trades")], "="],
      [[command("?")], "="]
    ])
  })

  it("gives a command behind a statement, which it leaves alone unless it takes it", () => {
    assert.deepStrictEqual(typed("SELECT 1; SELECT 2 \\watch 1", ";"), [
      [[statement("SELECT 1"), command("watch", "1", "SELECT 2")], "-"],
      [[statement("SELECT 2")], "="]
    ])
  })

  it("has no command within quotes", () => {
    assert.deepStrictEqual(typed("SELECT '\\q", "\\q';"), [
      [[], "'"],
      [[statement("SELECT '\\q\n\\q'")], "="]
    ])
  })

  it("may be a word of other shells, if nothing is before it", () => {
    assert.deepStrictEqual(typed("exit", "quit;", "HELP", "SELECT", "exit"), [
      [[command("q")], "="],
      [[command("q")], "="],
      [[command("?")], "="],
      [[], "-"],
      [[], "-"]
    ])
  })
})

describe("a word of other shells", () => {
  it("within a statement is SQL, and there is a hint at what was meant", () => {
    const input = new Input()
    assert.isUndefined(input.hint("exit"))
    input.push("SELECT")
    assert.match(input.hint("exit;") ?? "", /\\q /)
    assert.match(input.hint(" Help") ?? "", /\\\? /)
    assert.isUndefined(input.hint("1"))
    input.push("'")
    assert.isUndefined(input.hint("exit"))
  })
})

const catalogue: Completion.Catalogue = {
  keywords: ["select", "from", "where", "symmetric", "order"],
  tables: [
    { schema: "main", name: "trades", columns: ["ts", "symbol", "price"] },
    { schema: "main", name: "quotes", columns: ["ts", "symbol", "bid"] },
    { schema: "other", name: "Odd Name", columns: ["a b", "order"] }
  ]
}

const offered = (line: string, options: { readonly before?: string; readonly behind?: string } = {}) =>
  Completion.complete(line, { before: "", behind: "", catalogue, ...options })

describe("Tab", () => {
  it("offers keywords in the letters of the word", () => {
    assert.deepStrictEqual(offered("sel"), [["select"], "sel"])
    assert.deepStrictEqual(offered("SEL"), [["SELECT"], "SEL"])
  })

  it("offers tables where a table is named", () => {
    assert.deepStrictEqual(offered("SELECT * FROM t"), [["trades"], "t"])
    assert.deepStrictEqual(offered("FROM trades, q"), [["quotes"], "q"])
    assert.deepStrictEqual(offered("FROM "), [['"Odd Name"', "quotes", "trades"], ""])
    assert.deepStrictEqual(offered('FROM "Od'), [['"Odd Name"'], '"Od'])
  })

  it("offers the columns of the tables that the statement names, also behind the cursor and above the line", () => {
    assert.deepStrictEqual(offered("SELECT pr", { behind: " FROM trades" }), [["price"], "pr"])
    assert.deepStrictEqual(offered("WHERE pri", { before: "FROM trades\n" }), [["price"], "pri"])
    assert.deepStrictEqual(offered("FROM quotes SELECT pri"), [[], "pri"])
  })

  it("offers the columns of a table or its alias behind a dot, in quotes if they need them", () => {
    assert.deepStrictEqual(offered("SELECT t.", { behind: " FROM trades AS t" }), [
      ["price", "symbol", "ts"],
      ""
    ])
    assert.deepStrictEqual(offered("FROM quotes WHERE quotes.b"), [["bid"], "b"])
    assert.deepStrictEqual(offered("FROM other."), [['"Odd Name"'], ""])
    assert.deepStrictEqual(offered('FROM "Odd Name" o WHERE o.'), [['"a b"', '"order"'], ""])
  })

  it("offers nothing within a string or a comment", () => {
    assert.deepStrictEqual(offered("SELECT 'sel")[0], [])
    assert.deepStrictEqual(offered("-- sel")[0], [])
  })

  it("looks at the statement of the cursor only", () => {
    assert.deepStrictEqual(offered("FROM trades; SELECT bi"), [["bid"], "bi"])
  })
})

/** The entries of the history that lines become, as they come. */
const remembered = (...lines: ReadonlyArray<string>) => {
  const input = new Input()
  const typed = new TypedLines()
  return lines.flatMap((line) => {
    const before = input.pending
    const runs = Commands.runsPending(line)
    // As `Commands.perform` does it with a command that takes what is before it.
    if (input.push(line).some((action) => action._tag === "Command" && (runs || action.name === "r"))) {
      input.clear()
    }
    return typed.push({ line, before, runs, isOpen: input.pending !== "" }).map(({ text }) => text)
  })
}

describe("what is remembered", () => {
  it("is a statement as a whole, and a command within it for itself", () => {
    assert.deepStrictEqual(remembered("SELECT", "\\?", "  1;"), ["\\?", "SELECT 1;"])
    assert.deepStrictEqual(remembered("SELECT", "1 \\?", ";"), ["SELECT 1 \\?", ";"])
    assert.deepStrictEqual(remembered("SELECT '", "\\?", "';"), ["SELECT '", "\\?", "';"])
  })

  it("is a statement with the command that runs it, and one that was given up", () => {
    assert.deepStrictEqual(remembered("SELECT", "1", "\\g"), ["SELECT 1 \\g"])
    assert.deepStrictEqual(remembered("SELECT", "1 \\watch 2"), ["SELECT 1 \\watch 2"])
    assert.deepStrictEqual(remembered("SELECT", "1", "\\r", "\\dt"), ["SELECT 1", "\\r", "\\dt"])
  })
})

describe("the history", () => {
  it("has a statement of several lines as one, if that is the same statement", () => {
    assert.strictEqual(History.joined(["SELECT 1,", "  2", ";"]), "SELECT 1, 2 ;")
    assert.strictEqual(History.joined(["SELECT 1 -- one", ";"]), undefined)
    assert.strictEqual(History.joined(["SELECT 'a", "b';"]), undefined)
  })

  it.effect("is kept in a file of the user's own, the newest last", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "history")
      writeFileSync(file, "a\n", { mode: 0o644 })
      assert.deepStrictEqual(History.load(file), {
        entries: ["a"],
        isKept: true,
        problem: undefined
      })
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      History.append(file, "b")
      assert.deepStrictEqual(History.load(file).entries, ["b", "a"])
    })
  )

  it.effect("does not grow without end", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "history")
      writeFileSync(file, Array.from({ length: 3 * History.size }, (_, n) => `${n}\n`).join(""))
      assert.strictEqual(History.load(file).entries[0], String(3 * History.size - 1))
      assert.isBelow(statSync(file).size, 6 * History.size)
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
    })
  )

  it.effect("is not looked for in a device or a pipe, which stays as it is", () =>
    Effect.gen(function* () {
      const pipe = join(yield* Folder.make, "pipe")
      execFileSync("mkfifo", ["-m", "644", pipe])
      assert.deepStrictEqual(History.load(pipe), { entries: [], isKept: false, problem: undefined })
      assert.strictEqual(statSync(pipe).mode & 0o777, 0o644)
    })
  )

  it.effect("that cannot be kept says why", () =>
    Effect.gen(function* () {
      assert.match(History.load(join(yield* Folder.make, "missing", "history")).problem ?? "", /ENOENT/)
    })
  )
})

describe("what comes through a pipe", () => {
  const illAt = (...chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<number> => {
    const found: Array<number> = []
    const check = LineReader.checkUtf8((offset) => found.push(offset))
    for (const chunk of chunks) check(chunk)
    check()
    return found
  }
  const good = Buffer.from("é\ufffd😀a")

  it("is UTF-8, wherever it is cut, or the place is told at which it is not", () => {
    for (let cut = 0; cut <= good.length; cut++) {
      const [start, end] = [good.subarray(0, cut), good.subarray(cut)]
      assert.deepStrictEqual(illAt(start, end), [])
      assert.deepStrictEqual(illAt(start, Buffer.concat([end, Buffer.of(0xff, 0x0a, 0xff)])), [good.length])
    }
    assert.deepStrictEqual(illAt(...Array.from(good, (byte) => Uint8Array.of(byte))), [])
    assert.deepStrictEqual(illAt(good, Buffer.of(0xc3)), [good.length])
    assert.deepStrictEqual(illAt(Buffer.of(0x80), good), [0])
  })
})
