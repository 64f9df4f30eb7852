/**
 * The package as it is published: packed, installed in an empty folder, and used.
 */
import { execFile } from "node:child_process"
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Dataconn from "../support/Dataconn.ts"
import * as LiveServer from "../support/LiveServer.ts"
import { some } from "../support/Long.ts"
import * as Response from "../support/Response.ts"
import * as Consumer from "./Consumer.ts"

const root = new URL("../../", import.meta.url).pathname
const minutes = 60_000

// The Node that runs the tests is the one that the package is tried with.
const { PATH = "" } = process.env
const env = { ...process.env, PATH: [dirname(process.execPath), PATH].join(delimiter) }

const run = async (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const running = promisify(execFile)(command, args, { cwd, env, maxBuffer: 16 * 1024 * 1024 })
  const { stdout } = await running.catch((error) => {
    // A compiler says on standard output what is wrong.
    throw new Error(`${error.message}\n${error.stdout}`)
  })
  return stdout
}

interface Packed {
  readonly filename: string
  readonly files: ReadonlyArray<{ readonly path: string }>
}

let folder = ""
let files: ReadonlyArray<string> = []
const installed = () => join(folder, "node_modules", "dataconn")
const bin = () => join(folder, "node_modules", ".bin", "dataconn")

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dataconn-package-"))
  // The build writes to standard output what it does; the list begins where the JSON does.
  const said = await run(root, "npm", "pack", "--json", "--pack-destination", folder)
  const packed: Packed | ReadonlyArray<Packed> = JSON.parse(said.slice(said.search(/^[[{]/m)))
  const [first] = Array.isArray(packed) ? packed : Object.values(packed)
  files = first.files.map(({ path }: { readonly path: string }) => path)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  await run(folder, "npm", "install", "--no-audit", "--no-fund", `./${first.filename}`)
}, 3 * minutes)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("the tarball", () => {
  it("holds the build, its source and what a reader needs, and nothing else", () => {
    for (const path of ["package.json", "README.md", "LICENSE", "src/protocol/PROTOCOL.md", "src/index.ts"]) {
      assert.include(files, path)
    }
    const others = files.filter((path) => !/^(dist|src)\/|^(package\.json|README\.md|LICENSE)$/.test(path))
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(
      files.filter((path) => /test\.|tsbuildinfo|node_modules/.test(path)),
      []
    )
  })

  it("has script, declarations and maps of every module", () => {
    // The console is bundled.
    for (const name of ["index.html", "console.js", "console.css", "worker.js"]) {
      assert.include(files, `dist/gateway/console/${name}`)
    }
    const modules = files
      .filter((path) => /^src\/(?!gateway\/console\/).*\.ts$/.test(path))
      .map((path) => path.slice(4, -3))
    for (const name of modules) {
      for (const extension of ["js", "js.map", "d.ts", "d.ts.map"]) {
        assert.include(files, `dist/${name}.${extension}`)
      }
    }
  })

  it("imports its own modules by their built names", () => {
    const scripts = readdirSync(join(installed(), "dist"), { recursive: true, encoding: "utf8" })
      .filter((path) => /\.js$/.test(path))
      .map((path) => readFileSync(join(installed(), "dist", path), "utf8"))
    assert.isAbove(scripts.length, 10)
    const imports = scripts.flatMap((script) =>
      [...script.matchAll(/(?:from|import\(|import) ?"(\.[^"]*)"/g)].map(([, path]) => path ?? "")
    )
    assert.isAbove(imports.length, 10)
    assert.deepStrictEqual(
      imports.filter((path) => !path.endsWith(".js")),
      []
    )
  })
})

describe("the declarations", () => {
  const sources = ["package/consumer", "readme"].flatMap((folder) =>
    readdirSync(join(root, "test", folder))
      .filter((name) => /^[a-z]+(\.test)?\.ts$/.test(name))
      .map((name) => join("test", folder, name))
  )
  const project = () => join(folder, "project")

  let names: ReadonlyArray<string> = []
  beforeAll(() => {
    names = Consumer.make(project(), sources)
  })

  it("are tried with the examples of the README and of the docs", () => {
    assert.includeMembers([...names], ["client.ts", "ticks.test.ts", "service.ts", "example7.ts"])
  })

  const compilers = { typescript: /^Version 7\./, "typescript-5.9": /^Version 5\.9\./ }
  const modules = {
    NodeNext: { module: "NodeNext" },
    bundler: { module: "ESNext", moduleResolution: "bundler" }
  }

  for (const [name, version] of some(Object.entries(compilers), 2)) {
    for (const [resolution, options] of some(Object.entries(modules), 2)) {
      it(
        `name every type that a user exports: ${name}, ${resolution}`,
        async () => {
          const out = `${name}-${resolution}`
          const tsc = Consumer.compiler(name)
          assert.match(await run(folder, process.execPath, tsc, "--version"), version)
          const config = Consumer.configure(project(), out, options)
          assert.strictEqual(await run(folder, process.execPath, tsc, "--pretty", "false", "-p", config), "")
          const declarations = readdirSync(join(project(), out)).filter((path) => path.endsWith(".d.ts"))
          assert.lengthOf(declarations, names.length)
          for (const path of declarations) {
            // Not even as a path into the package, which another machine or version does not have.
            assert.notMatch(readFileSync(join(project(), out, path), "utf8"), /\bany\b|dist\//, path)
          }
        },
        3 * minutes
      )
    }
  }
})

describe("the installed package", () => {
  it("has one effect, shared with whoever installs it", () => {
    const effects = readdirSync(join(folder, "node_modules"), { recursive: true, encoding: "utf8" }).filter(
      (path) => /(^|node_modules\/)effect\/package\.json$/.test(path)
    )
    assert.deepStrictEqual(effects, [join("effect", "package.json")])
  })

  it("runs as a command", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    assert.strictEqual(
      await run(folder, "npx", "--no-install", "dataconn", "--version"),
      `dataconn v${version}\n`
    )
  })

  it.live("serves the sample with nothing else given", () =>
    Effect.gen(function* () {
      const server = yield* Dataconn.serve([], {
        cwd: folder,
        program: [bin()],
        env: { PATH: env.PATH }
      })
      const peer = yield* Effect.flatMap(server.address, LiveServer.connect)
      const query = "SELECT count(*) AS n FROM trades"
      assert.strictEqual(
        yield* Response.result(peer, JSON.stringify({ version: "v1", query })),
        `[{"n":100000}]`
      )
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
      assert.strictEqual(server.stderr(), "")
    })
  )

  const service = `
    import { DuckDbEngine } from "dataconn/duckdb"
    import { Address, Client, Server } from "dataconn"
    import { Effect, Layer, Logger, Stream } from "effect"

    const engine = DuckDbEngine.layer({ sample: true })
    const server = Server.layer({ listen: ["127.0.0.1:0"] }).pipe(
      Layer.provide(engine),
      Layer.provide(Logger.layer([]))
    )

    const program = Effect.gen(function* () {
      const { addresses } = yield* Server.Server
      const address = addresses[0] ?? (yield* Effect.die("it listens nowhere"))
      const client = yield* Client.connect(address)
      const { chunks } = yield* client.query({ query: "SELECT 42 AS answer" })
      const text = yield* Stream.mkString(Stream.decodeText(chunks))
      console.log(Address.format(address).slice(0, 10), text)
    })

    Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(server)))
  `

  it("is a library: server, client and engine in one program", async () => {
    writeFileSync(join(folder, "service.ts"), service)
    assert.strictEqual(await run(folder, process.execPath, "service.ts"), `127.0.0.1: [{"answer":42}]\n`)
  })

  const firstPrimes = `
    import { TestServer } from "dataconn/testing"
    import { Effect, Stream } from "effect"
    import { Primes } from "./threads.ts"

    const primes = Effect.gen(function* () {
      const client = yield* TestServer.connect()
      const { chunks } = yield* client.query({ query: "PRIMES FROM 1000000", format: "text/csv" })
      const lines = Stream.splitLines(Stream.decodeText(chunks))
      return (yield* Stream.runCollect(Stream.take(lines, 2))).join(" ")
    })

    console.log(await Effect.runPromise(Effect.scoped(Effect.provide(primes, Primes))))
  `

  it("runs the README's engine in threads, which load the package for themselves", async () => {
    const project = join(folder, "threads")
    mkdirSync(project)
    for (const name of ["primes.ts", "threads.ts"]) {
      copyFileSync(join(root, "test/readme", name), join(project, name))
    }
    writeFileSync(join(project, "main.ts"), firstPrimes)
    assert.strictEqual(await run(project, process.execPath, "main.ts"), "1000003 1000033\n")
  })

  it("has declarations that a strict consumer compiles against", async () => {
    // What is wrong with them must not pass for right: the use of a thing that is not there fails.
    writeFileSync(
      join(folder, "wrong.ts"),
      `import { Server } from "dataconn"\n// @ts-expect-error\nServer.layer({ listen: 5 })\n`
    )
    writeFileSync(join(folder, "service.ts"), service)
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          target: "ES2024",
          lib: ["ES2024", "ESNext.Disposable", "DOM"],
          module: "NodeNext",
          strict: true,
          noEmit: true,
          skipLibCheck: true,
          types: []
        },
        include: ["*.ts"]
      })
    )
    const tsc = join(root, "node_modules", ".bin", "tsc")
    assert.strictEqual(await run(folder, tsc, "-p", "."), "")
  })

  it("exports what its package.json says, and nothing of its inside", async () => {
    const script = `
      for (const name of ["dataconn", "dataconn/duckdb", "dataconn/testing", "dataconn/toolbox", "dataconn/Client", "dataconn/testing/TestServer", "dataconn/package.json", "dataconn/server/Server"]) {
        try { import.meta.resolve(name); console.log(name) } catch (error) { console.log(name, error.code) }
      }`
    const said = await run(folder, process.execPath, "--input-type=module", "-e", script)
    assert.strictEqual(
      said,
      "dataconn\ndataconn/duckdb\ndataconn/testing\ndataconn/toolbox\ndataconn/Client\ndataconn/testing/TestServer\ndataconn/package.json\ndataconn/server/Server ERR_PACKAGE_PATH_NOT_EXPORTED\n"
    )
  })

  // An old Node where the system has one; the check itself is tested with a faked version beside the command.
  const old = "/usr/bin/node"
  const isOld = async () => {
    const version = await run(root, old, "-p", "process.versions.node").catch(() => "99.0.0")
    const [major = 0, minor = 0] = version.trim().split(".").map(Number)
    return major < 22 || (major === 22 && minor < 19)
  }

  it.live("tells an old Node which one it needs", ({ skip }) =>
    Effect.gen(function* () {
      if (!(yield* Effect.promise(isOld))) return skip("the system's Node is none, or new enough")
      const command = yield* Dataconn.run(["serve"], { program: [old, join(installed(), "dist", "bin.js")] })
      assert.strictEqual(yield* command.exit, 1)
      assert.match(command.stderr(), /^dataconn needs Node 22\.19 or newer; this is v\S+\.\n$/)
    })
  )
})
