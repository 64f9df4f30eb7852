import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Completions from "effect/cli/Completions"
import * as ExitCodes from "../../src/cli/ExitCodes.ts"
import * as PingCommand from "../../src/cli/PingCommand.ts"
import * as QueryCommand from "../../src/cli/QueryCommand.ts"
import { commands } from "../../src/cli/repl/Commands.ts"
import * as ReplCommand from "../../src/cli/repl/ReplCommand.ts"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import type { Setting } from "../../src/server/Setting.ts"

const root = new URL("../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const readme = read("README.md")

describe("the README", () => {
  const examples = [...readme.matchAll(/<!-- (test\/readme\/\S+) -->\n```ts\n([\s\S]*?)```/g)]

  it("has examples", () => {
    assert.strictEqual(examples.length, 5)
  })

  for (const [, path = "", code] of examples) {
    it(`shows ${path} as it is compiled and run`, () => {
      assert.strictEqual(code, read(path))
    })
  }

  it("lists every setting with its default", () => {
    const row = ([name, { doc, fallbackText, form }]: readonly [string, Setting<unknown>]) =>
      `| \`${name}\` | ${form.replaceAll("|", "\\|")} | ${fallbackText} | ${doc} |`
    const table = [
      "| setting | form | default | what it limits |",
      "|---|---|---|---|",
      ...Object.entries(ServeConfig.all).map(row)
    ]
    const [, shown] = /<!-- settings -->\n([\s\S]*?)\n<!-- \/settings -->/.exec(readme) ?? []
    assert.strictEqual(shown, table.join("\n"))
  })
})

describe("the reference of the command", () => {
  const reference = read("src/cli/README.md")

  it.each([
    ["README.md", readme],
    ["src/cli/README.md", reference]
  ])("has the exit codes in %s", (_, text) => {
    const [, shown] = /<!-- exit codes -->\n([\s\S]*?)\n<!-- \/exit codes -->/.exec(text) ?? []
    assert.strictEqual(shown, ExitCodes.table.join("\n"))
  })

  for (const command of [QueryCommand.command, ReplCommand.command, PingCommand.command]) {
    it(`has every flag of dataconn ${command.name}`, () => {
      const [, section = ""] =
        new RegExp(`\n## dataconn ${command.name}\n([\\s\\S]*?)\n## `).exec(reference) ?? []
      const { flags } = Completions.fromCommand(command)
      assert.isAbove(flags.length, 3)
      for (const { aliases, name } of flags) {
        assert.match(section, new RegExp(`\`--(no-)?${name}[ \`]`))
        for (const alias of command.name === "repl" ? [] : aliases) assert.include(section, `\`-${alias}\``)
      }
    })
  }

  it("has every command of the repl", () => {
    for (const { help, usage } of commands.values()) {
      assert.include(reference, `\n| \`${usage.replaceAll("|", "\\|")}\` | ${help} |\n`)
    }
  })
})
