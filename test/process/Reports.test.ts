import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import { Reporter } from "../../src/process/Reports.ts"
import * as RowCount from "../../src/process/RowCount.ts"

const broken = (): never => {
  throw new Error("broken engine")
}

it.effect("an engine that breaks where it tells its progress or its rows tells none", () =>
  Effect.gen(function* () {
    const query = { payload: new Uint8Array(0), chunks: Stream.empty, queryId: "q" }
    const engine: Engine = { init: () => Effect.succeed({ ...query, progress: broken, rows: broken }) }
    const reporter = new Reporter()
    const { final } = yield* reporter.of(RowCount.of(engine)).init(new Uint8Array(0))
    assert.deepStrictEqual(reporter.reports, [["q", {}]])
    assert.isUndefined(RowCount.read(final?.(), false))
  })
)
