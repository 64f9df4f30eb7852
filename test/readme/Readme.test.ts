import { existsSync, readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Completions from "effect/cli/Completions"
import * as Step from "../../src/cli/debug/Step.ts"
import * as ExitCodes from "../../src/cli/ExitCodes.ts"
import * as Plan from "../../src/cli/load/Plan.ts"
import { commands } from "../../src/cli/repl/Commands.ts"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import * as Subcommands from "../../src/cli/Subcommands.ts"
import type { Setting } from "../../src/server/Setting.ts"

const root = new URL("../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const readme = read("README.md")

describe("the README", () => {
  const examplesOf = (text: string) => [
    ...text.matchAll(/<!-- (test\/readme\/\S+) -->\n```ts\n([\s\S]*?)```/g)
  ]
  const examples = [...examplesOf(readme), ...examplesOf(read("src/gateway/README.md"))]

  it("has examples", () => {
    assert.strictEqual(examples.length, 14)
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

  it("has every command", () => {
    for (const { name } of [...Subcommands.servers, ...Subcommands.clients]) {
      assert.match(reference, new RegExp(`\ndataconn ${name} +\\[flags\\]`))
    }
  })

  // Those of servers are in the table of settings.
  for (const command of Subcommands.clients) {
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

  it("has every mode of dataconn bench", () => {
    for (const mode of Plan.modes) assert.include(reference, `\n| \`${mode}\` | `)
  })

  it("has every step of dataconn debug", () => {
    const rows = Step.forms.map(([form, meaning]) => `| \`${form.replaceAll("|", "\\|")}\` | ${meaning} |`)
    const [, shown] = /<!-- steps -->\n([\s\S]*?)\n<!-- \/steps -->/.exec(reference) ?? []
    assert.strictEqual(shown, ["| step | what it does |", "|---|---|", ...rows].join("\n"))
  })

  it("has every command of the repl", () => {
    for (const { help, usage } of commands.values()) {
      assert.include(reference, `\n| \`${usage.replaceAll("|", "\\|")}\` | ${help} |\n`)
    }
  })
})

describe("the docs of the package", () => {
  const { files, repository } = JSON.parse(read("package.json"))
  const own = `${repository.url.replace(/^git\+|\.git$/g, "")}/`
  const docs = [
    "README.md",
    ...readdirSync(new URL("src", root), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".md"))
      .map((path) => `src/${path}`)
  ]
  /** Where the links of a page lead, as paths of this repository. */
  const links = (page: string) =>
    [...read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = ""]) => ({
      link,
      path: link.startsWith(own)
        ? link.slice(own.length).replace(/^(blob|raw)\/main\//, "")
        : new URL(link, new URL(page, root)).pathname.slice(root.pathname.length),
      isRelative: !/^https?:/.test(link)
    }))

  it.each(docs)(
    "have links that lead somewhere, and stay in the package if they are relative: %s",
    (page) => {
      for (const { isRelative, link, path } of links(page)) {
        if (!isRelative && !link.startsWith(own)) continue
        assert.isTrue(existsSync(new URL(path, root)), link)
        if (isRelative) assert.include(files, path.split("/")[0], link)
      }
    }
  )
})
