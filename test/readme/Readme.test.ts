import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
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
