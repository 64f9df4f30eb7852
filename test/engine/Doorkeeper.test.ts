import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Doorkeeper from "../../src/engine/Doorkeeper.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"

/** An engine behind the door, and the requests that it got. */
const behind = (admit: Doorkeeper.Admit) => {
  const got: Array<string> = []
  const engine: Engine = {
    init: (request) =>
      Effect.sync(() => {
        got.push(new TextDecoder().decode(request))
        return { payload: request, chunks: Stream.empty }
      })
  }
  return { got, engine: Doorkeeper.before(engine, admit, { maxQueryLength: 20 }) }
}

/** The code of the reject, or none. */
const ask = ({ engine }: { readonly engine: Engine }, body: string) =>
  Effect.scoped(
    Effect.match(engine.init(new TextEncoder().encode(body)), {
      onSuccess: () => "accepted",
      onFailure: (error) => ("payload" in error ? QueryApi.decodeError(error.payload).code : error._tag)
    })
  )

const allowed: Doorkeeper.Admit = ({ metadata }) =>
  metadata["token"] === "s3cret" ? Effect.void : Effect.fail(QueryApi.queryError("not_allowed", "no"))

describe("an engine that runs elsewhere", () => {
  it.effect("gets what is admitted as it was sent, under the name that was admitted", () =>
    Effect.gen(function* () {
      const ids: Array<string> = []
      const door = behind((request) => {
        ids.push(request.queryId)
        return allowed(request)
      })
      const rest =
        '"version":"v1","query":"q","parameters":[0.10,9007199254740993],"metadata":{"token":"s3cret"}}'
      assert.strictEqual(yield* ask(door, ` {${rest}`), "accepted")
      assert.strictEqual(yield* ask(door, `{"queryId":"mine",${rest}`), "accepted")
      assert.match(ids.join(), /^[0-9a-f]{16},mine$/)
      assert.deepStrictEqual(door.got, [` {"queryId":"${ids[0]}",${rest}`, `{"queryId":"mine",${rest}`])
    })
  )

  it.effect("gets nothing else", () =>
    Effect.gen(function* () {
      const door = behind(allowed)
      for (const [body, code] of [
        ['{"version":"v1","query":"q"}', "not_allowed"],
        ['{"version":"v1","query":"q","metadata":{"token":"other"}}', "not_allowed"],
        [
          '{"version":"v1","query":"q","metadata":{"token":"other"},"metadata":{"token":"s3cret"}}',
          "bad_request"
        ],
        ['{"version":"v1","query":"longer than twenty bytes","metadata":{"token":"s3cret"}}', "bad_request"],
        ["no JSON", "bad_request"]
      ] as const) {
        assert.strictEqual(yield* ask(door, body), code)
      }
      assert.deepStrictEqual(door.got, [])
    })
  )

  it.effect("is not waited for beyond the request's timeoutMs", () =>
    Effect.gen(function* () {
      const asked = yield* Effect.forkChild(
        ask(
          behind(() => Effect.never),
          '{"version":"v1","query":"q","timeoutMs":50}'
        )
      )
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* Fiber.join(asked), "timeout")
    })
  )
})
