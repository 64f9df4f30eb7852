/**
 * Asking how far an engine is disturbs nothing, whatever the server does.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as EngineProgress from "../../src/cli/EngineProgress.ts"
import * as Execution from "../../src/cli/Execution.ts"
import * as Stopwatch from "../../src/cli/Stopwatch.ts"
import * as Address from "../../src/net/Address.ts"
import * as Poll from "../support/Poll.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

/** Watches an accepted query, and gives its progress, the fiber that asks, and how to end that. */
const watch = Effect.fnUntraced(function* (
  server: ScriptedServer.ScriptedServer,
  queryId: string | undefined
) {
  const progress = new Execution.Progress(yield* Stopwatch.start)
  progress.acceptedAfter = 0
  progress.queryId = queryId
  const scope = yield* Scope.fork(yield* Effect.scope)
  const address = Result.getOrThrow(Address.parse(server.address))
  const fiber = yield* Scope.provide(EngineProgress.watch(address, progress), scope)
  return { progress, fiber, close: Scope.close(scope, Exit.void) }
})

const accept = 'A {"format":"application/json","queryId":"mine"}'

describe("asking how far the engine is", () => {
  it.live("ends with the query, also if the server does not answer", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(({ onMessage }) => onMessage(() => {}))
      const { close } = yield* watch(server, "mine")
      yield* Poll.until("it asks", () => server.received() === "R")
      const time = yield* Stopwatch.start
      yield* close
      // An answer would be waited for twice as long.
      assert.isBelow(time(), 1000)
    })
  )

  it.live("ends with the first answer that is none, and what was known is shown no more", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(({ onMessage, send }) => {
        let asked = 0
        onMessage(() => {
          if (asked++ === 0) send(accept, 'F {"queryId":"mine","fraction":0.5,"elapsedMs":1}')
          else send('J {"code":"bad_request","message":"the query is empty","retryable":false}')
        })
      })
      const { fiber, progress } = yield* watch(server, "mine")
      yield* Poll.until("it is told", () => progress.fraction === 0.5)
      yield* Fiber.join(fiber)
      assert.isUndefined(progress.fraction)
      assert.strictEqual(server.received(), "RR")
    })
  )

  it.live("does not begin where the accept does not say that one can ask", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(({ onMessage }) => onMessage(() => {}))
      const { fiber } = yield* watch(server, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(server.received(), "")
    })
  )
})
