import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"

describe("a response", () => {
  it.effect("is accept, chunks and a final chunk, and the connection takes the next request", () =>
    Effect.gen(function* () {
      const { peer, steps, tags } = yield* Served.open()
      yield* peer.request("one")
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      yield* steps.step(chunk("a"))
      assert.strictEqual(yield* peer.next, "I a")
      yield* steps.step(chunk("b"))
      assert.strictEqual(yield* peer.next, "I b")
      yield* steps.step(end)
      assert.strictEqual(yield* peer.next, "F")
      yield* peer.request("two")
      yield* steps.step({ _tag: "reject", payload: "no" })
      assert.strictEqual(yield* peer.next, "J no")
      yield* peer.request("three")
      yield* steps.step(accept, end)
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      assert.deepStrictEqual(steps.log, ["init one", "ended", "init two", "ended", "init three", "ended"])
      yield* Served.settle
      assert.strictEqual(
        tags(),
        "Opened Request Accepted Completed Request Rejected Request Accepted Completed"
      )
    })
  )

  it.effect("ends with the last chunk at hand", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open()
      yield* steps.step(accept, chunk("a"), chunk("b"), end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(3), ["A yes", "I a", "F b"])
    })
  )

  it.effect("without chunks is an accept and an empty final chunk", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open()
      yield* steps.step(accept, end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )

  it.effect("is a reject if the engine throws where it should answer", () =>
    Effect.gen(function* () {
      const init = () => {
        throw new Error("no engine")
      }
      const { peer, tags } = yield* Served.open({ engine: { init } })
      for (const request of ["one", "two"]) {
        yield* peer.request(request)
        const reject = yield* peer.next
        assert.match(reject, /^J \{"code":"internal"/)
        assert.notInclude(reject, "no engine")
      }
      yield* Served.settle
      assert.strictEqual(tags(), "Opened Request Rejected Request Rejected")
    })
  )

  it.effect("leaves out empty chunks", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open()
      yield* steps.step(accept, chunk(""), chunk("a"), chunk(""), end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F a"])
      yield* peer.request("two")
      yield* steps.step(accept)
      assert.strictEqual(yield* peer.next, "A yes")
      yield* steps.step(chunk(""))
      yield* Served.settle
      yield* steps.step(chunk("b"))
      assert.strictEqual(yield* peer.next, "I b")
    })
  )

  it.effect("has chunks of at most chunkSize", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open({ chunkSize: 4 })
      yield* steps.step(accept, chunk("abcdefghij"), chunk("klmn"), chunk("op"), end)
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(6), ["A yes", "I abcd", "I efgh", "I ij", "I klmn", "F op"])
      yield* steps.step(accept, chunk("abcdefgh"), end)
      yield* peer.request("two")
      assert.deepStrictEqual(yield* peer.take(3), ["A yes", "I abcd", "F efgh"])
    })
  )

  it.effect("that is there at once is one write", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open()
      yield* steps.step(accept, chunk("a"), chunk("b"), end)
      yield* peer.request("one")
      yield* peer.take(3)
      assert.deepStrictEqual(writes, [5 + 3 + 5 + 1 + 5 + 1])
    })
  )

  it.effect("that is there at once after the engine took its time to accept is one write", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open()
      yield* peer.request("one")
      yield* Served.settle
      yield* steps.step(accept, chunk("a"), end)
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F a"])
      assert.lengthOf(writes, 1)
    })
  )

  it.effect("begins with the accept even while the engine is silent afterwards", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open()
      yield* steps.step(accept)
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
    })
  )

  it.effect("is written only when the query's finalizers have run", () =>
    Effect.gen(function* () {
      const { peer, steps, writes } = yield* Served.open({ finalizerMillis: 100 })
      yield* steps.step(accept, end)
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* TestClock.adjust(99)
      assert.lengthOf(writes, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* peer.next, "F")
      assert.deepStrictEqual(steps.log, ["init one", "ended"])
    })
  )
})

describe("an engine", () => {
  it.effect("whose finalizer breaks has not answered, and the connection takes the next request", () =>
    Effect.gen(function* () {
      const engine = QueryEngine.of({
        init: (request) =>
          Effect.as(
            Effect.addFinalizer(() => Effect.die(new Error("the file is gone"))),
            { payload: request, chunks: Stream.make(new TextEncoder().encode("all of it")) }
          )
      })
      const { peer } = yield* Served.open({ engine })
      for (const name of ["one", "two"]) {
        yield* peer.request(name)
        assert.deepStrictEqual(yield* peer.take(2), [`A ${name}`, "I all of it"])
        assert.match(yield* peer.next, /^E .*"internal"/)
      }
    })
  )

  it.effect("that fails in the middle ends the response with its error, behind the chunks", () =>
    Effect.gen(function* () {
      const { peer, steps, events } = yield* Served.open()
      yield* steps.step(accept, chunk("a"), chunk("b"), { _tag: "fail", payload: "no memory" })
      yield* peer.request("one")
      assert.deepStrictEqual(yield* peer.take(4), ["A yes", "I a", "I b", "E no memory"])
      yield* Served.settle
      const failed = events.at(-1)
      assert.strictEqual(failed?._tag, "Failed")
      assert.strictEqual(failed?._tag === "Failed" ? failed.query.reason : "", "error")
      yield* steps.step(accept, end)
      yield* peer.request("two")
      assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
    })
  )

  for (const step of ["die", "interrupt"] as const) {
    it.effect(`that ends in its stream with ${step} says no more than internal`, () =>
      Effect.gen(function* () {
        const { peer, steps, tags } = yield* Served.open()
        yield* steps.step(accept, chunk("a"), { _tag: step })
        yield* peer.request("one")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "I a"])
        const error = yield* peer.next
        assert.match(error, /^E \{"code":"internal"/)
        assert.notInclude(error, "step")
        assert.deepStrictEqual(steps.log, ["init one", "ended"])
        yield* Served.settle
        assert.strictEqual(tags(), "Opened Request Accepted Failed")
        yield* steps.step(accept, end)
        yield* peer.request("two")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      })
    )

    it.effect(`that ends in init with ${step} is answered for by the server`, () =>
      Effect.gen(function* () {
        const { peer, steps, tags } = yield* Served.open()
        yield* steps.step({ _tag: step })
        yield* peer.request("one")
        const reject = yield* peer.next
        assert.match(reject, /^J \{"code":"internal"/)
        assert.notInclude(reject, "step")
        assert.deepStrictEqual(steps.log, ["init one", "ended"])
        yield* Served.settle
        assert.strictEqual(tags(), "Opened Request Rejected")
        yield* steps.step(accept, end)
        yield* peer.request("two")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      })
    )
  }

  it.effect("that cannot initialise ends the connection with its message", () =>
    Effect.gen(function* () {
      const { peer, steps, ended, closed } = yield* Served.open()
      yield* steps.step({ _tag: "initFailure", message: "no database" })
      yield* peer.request("one")
      assert.strictEqual(yield* peer.next, "closed")
      assert.strictEqual((yield* ended).reason, "init")
      assert.strictEqual(closed().detail, "no database")
    })
  )
})
