import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const src = fileURLToPath(new URL("../src", import.meta.url))

/** What each folder may import of the others, after the table in src/README.md. */
const allowed: Record<string, ReadonlyArray<string>> = {
  wire: [],
  engine: [],
  connection: ["wire", "engine/QueryEngine", "engine/QueryApi"],
  server: ["wire", "connection", "engine/QueryEngine", "engine/QueryApi"],
  client: ["wire", "engine/QueryEngine", "engine/QueryApi"],
  testing: ["wire", "engine", "connection", "server", "client"],
  cli: ["wire", "engine", "connection", "server", "client"]
}

const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(join(src, file), "utf8").matchAll(/(?:from |import\()"(\.[^"]+)"/g)].map(([, path = ""]) =>
    relative(src, join(src, dirname(file), path))
  )

describe("the folders of src", () => {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))

  for (const [folder, others] of Object.entries(allowed)) {
    it(`${folder} imports only what it may`, () => {
      const own = files.filter((file) => file.startsWith(`${folder}/`))
      assert.isAbove(own.length, 0)
      const may = [folder, ...others]
      const wrong = own.flatMap((file) =>
        importsOf(file)
          .filter((path) => !may.some((prefix) => path === `${prefix}.ts` || path.startsWith(`${prefix}/`)))
          .map((path) => `${file} imports ${path}`)
      )
      assert.deepStrictEqual(wrong, [])
    })
  }
})
