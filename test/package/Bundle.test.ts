/**
 * Programs of others that bundle the package.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as esbuild from "esbuild"
import * as Program from "../../src/process/Program.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))

/** Programs by their names. */
const programs: Readonly<Record<string, string>> = {
  client: `export { Client } from "dataconn"`,
  engines: `
    import { ProcessEngine, ThreadEngine, ThreadPool } from "dataconn"
    import { Effect } from "effect"

    const failing = (made) => Effect.map(Effect.flip(Effect.scoped(made)), String)
    const module = new URL("file:///engine.js")
    export const failures = () =>
      Effect.runPromise(
        Effect.all([
          failing(ProcessEngine.make({ module })),
          failing(Effect.provide(ThreadEngine.make({ module }), ThreadPool.layer()))
        ])
      )`
}

let folder = ""
let inputs = (_name: string): ReadonlyArray<string> => []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dataconn-bundle-"))
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
  const entryPoints = Object.entries(programs).map(([name, code]) => {
    writeFileSync(join(folder, `${name}.js`), code)
    return join(folder, `${name}.js`)
  })
  const { metafile } = await esbuild.build({
    absWorkingDir: root,
    entryPoints,
    outdir: join(folder, "out"),
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    format: "cjs",
    alias: { dataconn: join(root, "src/index.ts") },
    packages: "external",
    metafile: true,
    // That CommonJS has no `import.meta`.
    logLevel: "error"
  })
  inputs = (name) => {
    const output = Object.entries(metafile.outputs).find(([path]) => path.endsWith(`/${name}.cjs`))
    return Object.keys(output?.[1].inputs ?? {})
  }
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const load = (name: string) => createRequire(import.meta.url)(join(folder, "out", `${name}.cjs`))

describe("a bundle", () => {
  it("of a client loads as CommonJS, and has in it what the client needs", () => {
    assert.isFunction(load("client").Client.connect)
    const folders = inputs("client").flatMap((path) => path.match(/^src\/(\w+)\//)?.[1] ?? [])
    assert.include(folders, "client")
    assert.deepStrictEqual(
      folders.filter((name) => /^(gateway|process|threads|recording|testing)$/.test(name)),
      []
    )
  })

  it("with engines in it fails at their start, and does not start itself", async () => {
    const failures = await load("engines").failures()
    assert.lengthOf(failures, 2)
    for (const failure of failures) assert.include(failure, "dataconn must stay external to a bundle")
    for (const from of ["file:///srv/server.mjs", "file:///srv/Program.js"]) {
      assert.throws(() => Program.beside(from, "Program", "main"), `${from}, and its program main is not`)
    }
  })
})

it("an old Node is told which one is needed, before it loads anything else", async () => {
  for (const name of ["index.ts", "toolbox.ts"]) {
    assert.match(readFileSync(join(root, "src", name), "utf8"), /^[^"]*\nimport "\.\/NodeVersion\.ts"\n/)
  }
  const { versions } = process
  Object.defineProperty(process, "versions", { value: { ...versions, node: "22.18.0" } })
  const refused = await import("../../src/NodeVersion.ts").catch(String)
  Object.defineProperty(process, "versions", { value: versions })
  assert.match(String(refused), /^Error: dataconn needs Node 22\.19 or newer; this is v/)
})

describe("package.json", () => {
  it("names the modules that are loaded for their effects", () => {
    const { sideEffects } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    const named = (path: string) =>
      sideEffects.some((pattern: string) =>
        pattern.startsWith("./")
          ? new RegExp(`^${pattern.slice(2).replaceAll("*", ".*")}$`).test(`src/${path}`)
          : new RegExp(`(^|/)${pattern.replaceAll("*", ".*")}$`).test(path)
      )
    const statement =
      /^(?!(?:import|export|const|let|type|interface|function|class|abstract|declare|async)\b)[\w$(;!+`]/m
    const acting = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter(
      (path) =>
        path.endsWith(".ts") &&
        statement.test(readFileSync(join(root, "src", path), "utf8").replace(/`[^`]*`/g, ""))
    )
    assert.include(acting, "threads/EngineThread.ts")
    assert.deepStrictEqual(
      acting.filter((path) => !named(path)),
      []
    )
  })
})
