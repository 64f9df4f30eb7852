import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const src = fileURLToPath(new URL("../src", import.meta.url))

/** The table of src/README.md: each folder, and the folders and modules that it may import. */
const allowed = [
  ...readFileSync(join(src, "README.md"), "utf8").matchAll(/^\| `(\w+)\/` \| [^|]* \| ([^|]*) \|$/gm)
].map(([, folder = "", may = ""]) => ({
  folder,
  may: [...may.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name)
}))

const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(join(src, file), "utf8").matchAll(/(?:from |import\()"(\.[^"]+)"/g)].map(([, path = ""]) =>
    relative(src, join(src, dirname(file), path))
  )

describe("the folders of src", () => {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))

  it("are those of the table", () => {
    const folders = new Set(files.filter((file) => file.includes("/")).map((file) => file.split("/")[0]))
    assert.deepStrictEqual(allowed.map(({ folder }) => folder).sort(), [...folders].sort())
  })

  for (const { folder, may } of allowed) {
    it(`${folder} imports only what it may`, () => {
      const own = files.filter((file) => file.startsWith(`${folder}/`))
      assert.isAbove(own.length, 0)
      const prefixes = [folder, ...may]
      const wrong = own.flatMap((file) =>
        importsOf(file)
          .filter(
            (path) => !prefixes.some((prefix) => path === `${prefix}.ts` || path.startsWith(`${prefix}/`))
          )
          .map((path) => `${file} imports ${path}`)
      )
      assert.deepStrictEqual(wrong, [])
    })
  }
})
