import { existsSync, readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import type { Setting } from "../../src/server/Setting.ts"

const root = new URL("../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const readme = read("README.md")

describe("the README", () => {
  const examples = [...readme.matchAll(/<!-- (test\/readme\/\S+) -->\n```ts\n([\s\S]*?)```/g)]

  it("has examples", () => {
    assert.strictEqual(examples.length, 7)
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
