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

/** The console is a program of its own, for browsers: it has no Effect. */
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter(
  (file) => file.endsWith(".ts") && !file.startsWith("gateway/console/")
)
const textOf = (file: string): string => readFileSync(join(src, file), "utf8")

/** The files that a file imports; those of which it imports but types too, unless it is told otherwise. */
const importsOf = (file: string, withTypes = true): ReadonlyArray<string> =>
  [...textOf(file).matchAll(/^(?:import|export)\s(type\s)?[^"]*?from "(\.[^"]+)"|import\("(\.[^"]+)"\)/gm)]
    .filter(([, type]) => withTypes || type === undefined)
    .map(([, , path, dynamic]) => relative(src, join(src, dirname(file), path ?? dynamic ?? "")))

const folderOf = (file: string): string => file.split("/")[0] ?? ""

/** A circle in a graph, if there is one. */
const circleIn = (nodes: ReadonlyArray<string>, next: (node: string) => ReadonlyArray<string>) => {
  const done = new Set<string>()
  const visit = (node: string, path: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const other of next(node)) {
      const circle = visit(other, [...path, node])
      if (circle !== undefined) return circle
    }
    done.add(node)
    return undefined
  }
  for (const node of nodes) {
    const circle = visit(node, [])
    if (circle !== undefined) return circle
  }
  return undefined
}

describe("the folders of src", () => {
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

  it("import each other in no circle, types included", () => {
    const next = (folder: string) => [
      ...new Set(
        files
          .filter((file) => folderOf(file) === folder)
          .flatMap((file) => importsOf(file))
          .map(folderOf)
          .filter((other) => other !== folder)
      )
    ]
    const folders = allowed.map(({ folder }) => folder)
    assert.isAbove(folders.length, 5)
    assert.isUndefined(circleIn(folders, next))
  })
})

describe("the files of src", () => {
  it("import each other in no circle", () => {
    assert.isAbove(files.flatMap((file) => importsOf(file)).length, 200)
    assert.isUndefined(circleIn(files, (file) => importsOf(file, false)))
  })

  it("have at most 400 lines", () => {
    const long = files.filter((file) => textOf(file).split("\n").length > 401)
    assert.deepStrictEqual(long, [])
  })

  it("leave Node's private members to one of them", () => {
    const members =
      /\b_handle\b|\bkBuffer(Cb)?\b|\b_writev?\b|\buseUserBuffer\b|\b_httpMessage\b|\bparser\??\.\??incoming\b/
    const found = files.filter((file) => members.test(textOf(file)))
    assert.deepStrictEqual(found, ["net/NodeInternals.ts"])
  })
})

describe("time", () => {
  /** What says which time of day it is. An operator may set it, so nothing is measured or waited for with it. */
  const wall =
    /\bDate\s*\.\s*now\b|\bnew Date\b|\bcurrentTime(?:Millis|Nanos)|\bDateTime\.(?:now|unsafeNow|nowUnsafe)|\bEffect\.clockWith\b.*currentTime/
  /** What runs beside Effect's Clock, so that a test's clock does not drive it. */
  const beside = /\bperformance\s*\.\s*now\b|\bhrtime\b|\bset(?:Timeout|Interval)\b/

  const filesWith = (pattern: RegExp) =>
    files.filter((file) => pattern.test(textOf(file).replace(/^\s*\*.*$/gm, "")))

  it("of day is for stamps only: what has elapsed is monotonic", () => {
    assert.deepStrictEqual(filesWith(wall).toSorted(), [
      // When `\\watch` ran a statement.
      "cli/repl/Commands.ts",
      // The date of an answer.
      "gateway/HttpRefusals.ts",
      // When a query began.
      "gateway/Queries.ts",
      "server/Log.ts"
    ])
  })

  it("is Effect's Clock, but for what no test's clock drives: DuckDB's threads, other threads and processes, Node's sockets", () => {
    assert.deepStrictEqual(filesWith(beside).toSorted(), [
      "engine/duckdb/ResultFiles.ts",
      "engine/duckdb/Session.ts",
      "gateway/BodyWriter.ts",
      "gateway/HttpListener.ts",
      "process/ChildProcess.ts",
      "process/Output.ts",
      "process/ParentWatch.ts"
    ])
  })
})
