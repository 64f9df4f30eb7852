/**
 * The samples of a unit and of an image: their commands are ones that the command knows.
 */
import { execFile, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"

const file = (name: string) => new URL(`../../src/server/deploy/${name}`, import.meta.url)
const unit = readFileSync(file("dataconn.service"), "utf8")
const image = readFileSync(file("Containerfile"), "utf8")

/** The last value of a setting of the unit. */
const setting = (name: string) => [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].at(-1)?.[1]

const words = (setting("ExecStart") ?? "").split(" ")

const commands: Record<string, ReadonlyArray<string>> = {
  "dataconn.service": words.slice(words.indexOf("serve")),
  Containerfile: JSON.parse(/^CMD (.*)$/m.exec(image)?.[1] ?? "")
}

describe.each(Object.entries(commands))("%s", (_, command) => {
  it.live("starts a server with a command that is known", () =>
    Effect.gen(function* () {
      const database = join(yield* Folder.make, "market.duckdb")
      yield* Effect.promise(async () => (await DuckDBInstance.create(database)).closeSync())
      const args = command.map((word) =>
        word.replace(/^\/.*\.duckdb$/, database).replace(/^[\d.]+:11653$/, "127.0.0.1:0")
      )
      assert.include(args, database)
      assert.include(args, "127.0.0.1:0")
      const server = yield* Dataconn.run(args)
      yield* server.address
      yield* server.kill("SIGTERM")
      assert.strictEqual(yield* server.exit, 0)
    })
  )
})

describe("the unit", () => {
  it("runs the program of the package", () => {
    const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
    assert.include(words[1], `node_modules/${manifest.name}/${manifest.bin.dataconn}`)
  })

  it("gives no more rights than needed", () => {
    for (const name of [
      "NoNewPrivileges",
      "DynamicUser",
      "PrivateTmp",
      "PrivateDevices",
      "RestrictNamespaces"
    ]) {
      assert.strictEqual(setting(name), "yes", name)
    }
    assert.strictEqual(setting("ProtectSystem"), "strict")
    assert.strictEqual(setting("CapabilityBoundingSet"), "")
    assert.match(setting("RestrictAddressFamilies") ?? "", /^AF_INET AF_INET6 AF_UNIX$/)
    assert.match(setting("MemoryMax") ?? "", /^\d+G$/)
    assert.match(unit, /^SystemCallFilter=@system-service$/m)
  })

  const installed = spawnSync("systemd-analyze", ["--version"]).status === 0

  it.runIf(installed)("is exposed as little as the security policy says", async () => {
    const args = ["security", "--offline=true", "--no-pager", file("dataconn.service").pathname]
    const { stdout } = await promisify(execFile)("systemd-analyze", args)
    const [, exposure] = /exposure level for dataconn\.service: ([\d.]+)/.exec(stdout) ?? []
    const policy = readFileSync(new URL("../../.github/SECURITY.md", import.meta.url), "utf8")
    assert.isAtMost(Number(exposure), 1.5)
    assert.include(policy, `gives it ${exposure} of 10`)
  })
})

describe("the image", () => {
  it("is run by nobody in particular, and installs by the hashes of the lock file without scripts", () => {
    assert.match(image, /^USER [1-9]\d*:[1-9]\d*$/m)
    assert.match(image, /^RUN npm ci --ignore-scripts /m)
    assert.match(image, /--read-only/)
    assert.match(image, /--cap-drop=all/)
  })

  it("runs the program of the build", () => {
    const [, build = ""] = /^ENTRYPOINT (.*)$/m.exec(image) ?? []
    assert.deepStrictEqual(JSON.parse(build), ["node", "/opt/dataconn/dist/command/bin.js"])
  })
})
