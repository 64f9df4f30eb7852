import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { defaults } from "../../src/engine/duckdb/Environment.ts"
import * as Dataconn from "../support/Dataconn.ts"

/** What a program writes to standard error before it ends well. */
const errors = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const child = yield* Dataconn.run(args, { program: [process.execPath], env })
    assert.strictEqual(yield* child.exit, 0)
    return child.stderr()
  })

const bin = Dataconn.program[1]
const tell = `data:text/javascript,${encodeURIComponent(
  `process.on("exit", () => console.error(JSON.stringify(
    Object.fromEntries(${JSON.stringify(Object.keys(defaults))}.map((name) => [name, process.env[name]])))))`
)}`

describe("the environment of the command", () => {
  it.live.each([
    ["has what DuckDB should have", {}],
    ["stays as its user has set it", { UV_THREADPOOL_SIZE: "9", DUCKDB_JE_MALLOC_CONF: "" }]
  ] as const)("%s", ([, given]) =>
    Effect.gen(function* () {
      const told = yield* errors(["--import", tell, bin, "--version"], given)
      assert.deepStrictEqual(JSON.parse(told), { ...defaults, ...given })
    })
  )

  it.live.runIf(process.platform === "linux")("says to DuckDB's allocator what it understands", () =>
    Effect.gen(function* () {
      const settings = defaults["DUCKDB_JE_MALLOC_CONF"] ?? ""
      const load = ["--input-type=module", "--eval", 'await import("@duckdb/node-api")']
      const said = yield* errors(load, { DUCKDB_JE_MALLOC_CONF: `confirm_conf:true,${settings}` })
      for (const setting of settings.split(",")) assert.include(said, `Set conf value: ${setting}\n`)
      assert.notMatch(said, /invalid/i)
    })
  )
})
