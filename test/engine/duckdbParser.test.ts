import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Parser from "../../src/engine/duckdb/Parser.ts"
import * as Limits from "../../src/engine/Limits.ts"
import { fatal } from "../support/Invalidate.ts"

/** The instances that the effect makes, from now on. */
const made = Effect.acquireRelease(
  Effect.sync(() => {
    const instances: Array<DuckDBInstance> = []
    const { create } = DuckDBInstance
    DuckDBInstance.create = async (...args) => {
      const instance = await create.apply(DuckDBInstance, args)
      instances.push(instance)
      return instance
    }
    return { instances, create }
  }),
  ({ create }) =>
    Effect.sync(() => {
      DuckDBInstance.create = create
    })
)

describe("the parser", () => {
  it.live("goes on in another instance when DuckDB has given up its own", () =>
    Effect.gen(function* () {
      const { instances } = yield* made
      const parser = yield* Parser.open(Limits.defaults)
      for (let round = 0; round < 2; round++) {
        const text = `SELECT lower('${round}')`
        const [first, second] = yield* Effect.all([parser.parse(text), parser.tree(text)], {
          concurrency: "unbounded"
        })
        assert.deepInclude(first, { statements: 1, functions: ["lower"] })
        assert.include(second, "lower")
        const connection = yield* Effect.promise(async () => instances[round]?.connect())
        yield* Effect.promise(async () => connection?.run(fatal).catch(() => {}))
        connection?.disconnectSync()
      }
      const answers = yield* Effect.all(
        Array.from({ length: 12 }, (_, index) => parser.parse(`SELECT upper('${index}')`)),
        { concurrency: "unbounded" }
      )
      for (const answer of answers) assert.deepInclude(answer, { functions: ["upper"] })
      assert.strictEqual(instances.length, 3)
      assert.strictEqual(yield* parser.parse("SELEC"), "broken")
    })
  )
})
