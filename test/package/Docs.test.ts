/**
 * The docs of what the package exports.
 */
import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const src = new URL("../../src/", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, src), "utf8")
const { exports: paths } = JSON.parse(read("../package.json"))

interface Declaration {
  readonly name: string
  readonly doc: string
}

/** The exported declarations of a module, each with the docstring right before it. */
const declarations = (source: string): ReadonlyArray<Declaration> =>
  [
    ...source.matchAll(
      /(?:^\/\*\*\n?((?:(?!\*\/)[\s\S])*)\*\/\n)?^export (?:const|class|interface|type|function) (\w+)/gm
    )
  ].map(([, doc = "", name = ""]) => ({ name, doc }))

const sourceOf = (path: string) => path.replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts")

/** The modules that a module exports as namespaces: their names and paths. */
const namespaces = (entry: string): ReadonlyArray<readonly [string, string]> =>
  [...read(entry).matchAll(/^export \* as (\w+) from "(\.[^"]+)"/gm)].map(([, name = "", path = ""]) => [
    name,
    new URL(path, new URL(entry, src)).pathname.slice(src.pathname.length)
  ])

/** What a module exports of other modules, with the docs that it has there. */
const borrowed = (module: string): ReadonlyArray<Declaration> =>
  [...read(module).matchAll(/^export (?:type )?(?:\*|\{([^}]*)\}) from "(\.[^"]+)"/gm)].flatMap(
    ([, names, path = ""]) => {
      const there = declarations(readFileSync(new URL(path, new URL(module, src)), "utf8"))
      if (names === undefined) return there
      const wanted = names.split(",").map((name) => name.trim().replace(/^type /, ""))
      return wanted
        .filter((name) => name !== "")
        .flatMap((name) => {
          const found = there.filter((declaration) => declaration.name === name)
          return found.length > 0 ? found : [{ name, doc: "" }]
        })
    }
  )

const entries = { "": ".", duckdb: "./duckdb", testing: "./testing", toolbox: "./toolbox" }
/** Entries that are one module each. */
const single = ["./browser"]
const modules = new Set([
  ...single.map((entry) => sourceOf(paths[entry])),
  ...Object.values(entries).flatMap((entry) => {
    const source = sourceOf(paths[entry])
    return [source, ...namespaces(source).map(([, path]) => path)]
  })
])

describe("the exports of package.json", () => {
  for (const [folder, entry] of Object.entries(entries)) {
    it(`have a path for each module of dataconn${entry.slice(1)}`, () => {
      const own = namespaces(sourceOf(paths[entry]))
      assert.isAbove(own.length, 0)
      const all = Object.values(paths).map((path) => sourceOf(String(path)))
      for (const [name, path] of own) {
        const under = paths[["."].concat(folder === "" ? [] : folder, name).join("/")]
        assert.include(all, path)
        // A module that two entries have is exported under the first one's path.
        if (under !== undefined) assert.strictEqual(sourceOf(under), path)
      }
    })
  }

  it("lead to modules that an entry has, and to nothing else", () => {
    for (const path of Object.values(paths).map(String)) {
      if (path === "./package.json") continue
      assert.isTrue(existsSync(new URL(sourceOf(path), src)), path)
      assert.include([...modules], sourceOf(path))
    }
  })
})

describe("the docs", () => {
  for (const module of modules) {
    it(`say of each export of ${module} what kind it is, and since when`, () => {
      const all = [...declarations(read(module)), ...borrowed(module)]
      assert.isAbove(all.length + namespaces(module).length, 0)
      const wrong = all.filter(
        ({ doc }) =>
          !/^ \* [^@\s*]/.test(doc) ||
          !/^ \* @category \w/m.test(doc) ||
          !/^ \* @since \d+\.\d+\.\d+$/m.test(doc)
      )
      assert.deepStrictEqual(
        wrong.map(({ name }) => name),
        []
      )
    })
  }
})
