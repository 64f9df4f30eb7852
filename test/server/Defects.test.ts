import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Served from "../support/Served.ts"

const payload = new TextEncoder().encode("yes")
const text = "text" as unknown as Uint8Array

describe("an engine that gives text for bytes", () => {
  it.effect("has its chunk answered with an error, and nothing of it sent", () =>
    Effect.gen(function* () {
      const init = () => Effect.succeed({ payload, chunks: Stream.make(text) })
      const { peer } = yield* Served.open({ engine: { init } })
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
      const end = yield* peer.next
      assert.match(end, /^E .*"internal"/)
    })
  )

  it.effect("has its payload answered with a reject", () =>
    Effect.gen(function* () {
      const init = () => Effect.succeed({ payload: text, chunks: Stream.empty })
      const { peer } = yield* Served.open({ engine: { init } })
      yield* peer.request("one")
      assert.match(yield* peer.next, /^J .*"internal"/)
    })
  )
})
