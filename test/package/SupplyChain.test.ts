/**
 * What an installation consists of, and what the repository and the package say about it.
 */
import { execFile, spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"

const root = new URL("../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const manifest = JSON.parse(read("package.json"))

interface Locked {
  readonly version: string
  readonly integrity?: string
  readonly resolved?: string
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
}

const { "": _, ...locked }: Record<string, Locked> = JSON.parse(read("package-lock.json")).packages
const packages = Object.entries(locked)

describe("the lock file", () => {
  it("has the hash of every package", () => {
    const missing = packages.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ""))
    assert.deepStrictEqual(
      missing.map(([path]) => path),
      []
    )
  })

  it("has the engine for every system, each with its hash", () => {
    const engines = packages.filter(([path]) => path.startsWith("node_modules/@duckdb/node-bindings-"))
    assert.isAbove(engines.length, 5)
    for (const [, { integrity }] of engines) assert.isString(integrity)
  })

  it("comes from the registry and no other place", () => {
    for (const [, { resolved }] of packages) {
      if (resolved !== undefined) assert.match(resolved, /^https:\/\/registry\.npmjs\.org\//)
    }
  })

  it("has no package with an install script but for development", () => {
    const scripts = packages.filter(([, { hasInstallScript }]) => hasInstallScript)
    assert.deepStrictEqual(
      scripts.filter(([, { dev }]) => dev !== true).map(([path]) => path),
      []
    )
  })

  it("is the one of package.json", () => {
    const { "": own } = JSON.parse(read("package-lock.json")).packages
    for (const kind of ["dependencies", "devDependencies", "peerDependencies"]) {
      assert.deepStrictEqual(own[kind], manifest[kind])
    }
  })
})

describe("package.json", () => {
  it("says where the source, the issues and the home page are", () => {
    assert.match(manifest.repository.url, /^git\+https:\/\/.*\.git$/)
    const base = manifest.repository.url.replace(/^git\+/, "").replace(/\.git$/, "")
    assert.strictEqual(manifest.bugs, `${base}/issues`)
    assert.strictEqual(manifest.homepage, `${base}#readme`)
  })

  it("tells a Node that is too old what to do where install scripts may not run", async () => {
    const script = manifest.scripts["check:node"].replaceAll("process.versions.node", "'20.19.0'")
    const error = await promisify(execFile)("sh", ["-c", script]).catch((error) => error)
    assert.strictEqual(error.code, 1)
    assert.match(
      error.stderr,
      /^dataconn needs Node 22\.19 or newer; .* npm rebuild node --ignore-scripts=false\n$/
    )
  })
})

describe("the top level of the repository", () => {
  it("holds what belongs there", ({ skip }) => {
    const { status, stdout } = spawnSync("git", ["ls-files"], { cwd: root, encoding: "utf8" })
    if (status !== 0) return skip("this is no clone")
    const top = new Set(
      stdout
        .trim()
        .split("\n")
        .map((path) => path.split("/")[0] ?? "")
    )
    const may = /^(\..*|package(-lock)?\.json|tsconfig\.json|src|test|bench|README\.md|LICENSE)$/
    assert.deepStrictEqual(
      Array.from(top).filter((name) => !may.test(name)),
      []
    )
  })

  it("has a security policy that the README points to, and no link in either leads nowhere", () => {
    assert.match(read("README.md"), /\]\(https:\/\/\S+\/\.github\/SECURITY\.md\)/)
    for (const [file, base] of [
      ["README.md", ""],
      [".github/SECURITY.md", ".github/"]
    ] as const) {
      for (const [, link = ""] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        assert.isTrue(existsSync(new URL(base + link, root)), `${file}: ${link}`)
      }
    }
  })
})
