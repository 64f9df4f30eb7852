import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

const commit = { _tag: "commit" } as const

/** A query that has begun to commit. */
const committing = Effect.fnUntraced(function* (options: Served.Options = {}) {
  const served = yield* Served.open({ ...options, commits: true })
  const { peer, steps } = served
  yield* peer.request("one")
  yield* steps.step(accept, chunk("a"), end)
  assert.deepStrictEqual(yield* peer.take(2), ["A yes", "I a"])
  yield* Served.settle
  assert.deepStrictEqual(steps.log, ["init one", "committing"])
  return served
})

/** The connection is as after any other response. */
const goesOn = Effect.fnUntraced(function* ({ peer, steps }: Effect.Success<ReturnType<typeof committing>>) {
  yield* peer.request("next")
  yield* steps.step({ _tag: "reject", payload: "no" })
  assert.strictEqual(yield* peer.next, "J no")
})

describe("a query that commits", () => {
  it.effect("does so behind its result and before F", () =>
    Effect.gen(function* () {
      const served = yield* committing()
      yield* served.steps.step(commit)
      assert.strictEqual(yield* served.peer.next, "F")
      assert.deepStrictEqual(served.steps.log, ["init one", "committing", "committed", "ended"])
      yield* goesOn(served)
    })
  )

  it.effect("does not before the client has taken the result", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ commits: true, capacity: 10 })
      yield* peer.request("one")
      yield* steps.step(accept, chunk("a".repeat(100)), end, commit)
      yield* Served.settle
      assert.deepStrictEqual(steps.log, ["init one"])
      assert.strictEqual(yield* peer.next, "A yes")
      yield* peer.take(1)
      assert.strictEqual(yield* peer.next, "F")
    })
  )

  it.effect("is answered with F although it was cancelled, and the connection goes on", () =>
    Effect.gen(function* () {
      const served = yield* committing()
      yield* served.peer.cancel
      yield* Served.settle
      yield* served.steps.step(commit)
      assert.strictEqual(yield* served.peer.next, "F")
      yield* goesOn(served)
    })
  )

  it.effect("is answered with F although it takes longer than it may", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* committing({ queryTimeout: "1 second" })
      yield* TestClock.adjust("2 seconds")
      yield* steps.step(commit)
      assert.strictEqual(yield* peer.next, "F")
    })
  )

  it.effect("is answered with F although the server waits no longer for it, and the connection closes", () =>
    Effect.gen(function* () {
      const { connection, peer, steps } = yield* committing()
      yield* connection.drain
      yield* connection.drainExpired
      yield* steps.step(commit)
      assert.strictEqual(yield* peer.next, "F")
      assert.match(yield* peer.next, /^J .*"closing":true\}$/)
      assert.strictEqual(yield* peer.next, "closed")
    })
  )

  it.effect("is answered with its own error if it does not commit", () =>
    Effect.gen(function* () {
      const served = yield* committing()
      yield* served.steps.step({ _tag: "fail", payload: "conflict" })
      assert.strictEqual(yield* served.peer.next, "E conflict")
      yield* goesOn(served)
    })
  )

  for (const step of ["die", "interrupt"] as const) {
    it.effect(`has an unknown outcome if its commit ends with ${step}`, () =>
      Effect.gen(function* () {
        const served = yield* committing()
        yield* served.peer.cancel
        yield* served.steps.step({ _tag: step })
        const error = yield* served.peer.next
        assert.match(error, /^E \{"code":"unknown_outcome",.*"retryable":false\}$/)
        yield* goesOn(served)
      })
    )
  }

  it.effect("goes on to commit for a client that is gone", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* committing()
      yield* peer.close
      yield* Served.settle
      yield* steps.step(commit)
      yield* Served.settle
      assert.deepStrictEqual(steps.log, ["init one", "committing", "committed", "ended"])
    })
  )
})

describe("a query that would commit", () => {
  for (const [what, act] of [
    ["is cancelled", ({ peer }: Effect.Success<ReturnType<typeof Served.open>>) => peer.cancel],
    ["loses its client", ({ peer }: Effect.Success<ReturnType<typeof Served.open>>) => peer.close],
    [
      "has to end with the server",
      ({ connection }: Effect.Success<ReturnType<typeof Served.open>>) => connection.drainExpired
    ]
  ] as const) {
    it.effect(`does not if it ${what} before`, () =>
      Effect.gen(function* () {
        const served = yield* Served.open({ commits: true })
        const { peer, steps } = served
        yield* peer.request("one")
        yield* steps.step(accept, chunk("a"))
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "I a"])
        yield* act(served)
        yield* steps.step(end, commit)
        yield* Served.settle
        assert.deepStrictEqual(steps.log, ["init one", "ended"])
      })
    )
  }
})
