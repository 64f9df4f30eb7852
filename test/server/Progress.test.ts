/**
 * What a server answers to who asks how far a query is (PROTOCOL.md §3).
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { Progress } from "../../src/engine/QueryEngine.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"
import { Registry, RunningQueries } from "../../src/server/RunningQueries.ts"
import * as Served from "../support/Served.ts"

/** Two connections of a server that runs one query at a time, which ends when it is released. */
const serve = Effect.fnUntraced(function* (progress?: () => Progress | undefined) {
  const released = Latch.makeUnsafe(false)
  const engine = QueryApi.makeEngine({
    formats: ["text/csv"],
    run: () => Effect.succeed({ progress, chunks: Stream.fromEffectDrain(released.await) })
  })
  const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 0 })
  const open = Served.open({ engine }).pipe(
    Effect.provideService(QueryLimit.QueryLimit, limit),
    Effect.provideService(RunningQueries, running)
  )
  const [asked, asking] = [yield* open, yield* open]
  const run = Effect.fnUntraced(function* (queryId: string, more: object = { progress: true }) {
    yield* asked.peer.request(
      JSON.stringify({ version: "v1", query: "x", format: "text/csv", queryId, ...more })
    )
    yield* asked.peer.take(1)
  })
  return { asked, asking, run, release: released.release }
})

/** What a connection hears that sends a request: the types of the messages, and the body of the last one. */
const ask = Effect.fnUntraced(function* ({ peer }: Served.Served, request: object) {
  yield* peer.request(JSON.stringify({ version: "v1", query: "", ...request }))
  const [first = ""] = yield* peer.take(1)
  const last = first.startsWith("J") ? first : ((yield* peer.take(1))[0] ?? "")
  return { first, last: last.slice(0, 1), body: JSON.parse(last.slice(2)) as Record<string, unknown> }
})

const running = new Registry()

const account = { fraction: 0.25, rowsProcessed: 5, totalRows: 20 }

describe("a query that runs", () => {
  it.effect("is told about by its id, with the time since its request", () =>
    Effect.gen(function* () {
      const { asking, run } = yield* serve(() => account)
      yield* run("mine")
      yield* TestClock.adjust(1500)
      assert.deepStrictEqual(yield* ask(asking, { progressOf: "mine" }), {
        first: 'A {"format":"application/json","queryId":"mine"}',
        last: "F",
        body: { queryId: "mine", ...account, elapsedMs: 1500 }
      })
    })
  )

  it.effect("is told about without what its engine does not know, or cannot be", () =>
    Effect.gen(function* () {
      let told: Progress | undefined
      const { asking, run } = yield* serve(() => told)
      yield* run("mine")
      for (told of [undefined, {}, { fraction: Number.NaN, rowsProcessed: -1 }, { fraction: 1.5 }]) {
        const { body } = yield* ask(asking, { progressOf: "mine" })
        assert.deepStrictEqual(body, { queryId: "mine", elapsedMs: 0 })
      }
    })
  )

  it.effect("takes the only place: a question needs none, and another query finds none", () =>
    Effect.gen(function* () {
      const { asked, asking, release, run } = yield* serve(() => account)
      yield* run("mine")
      const query = { query: "x", format: "text/csv", progressOf: "mine" }
      assert.deepInclude((yield* ask(asking, query)).body, { code: "overloaded" })
      assert.strictEqual((yield* ask(asking, { progressOf: "mine" })).last, "F")
      yield* release
      assert.deepStrictEqual(yield* asked.peer.take(1), ["F"])
      // The question has given no place back that it did not have.
      yield* run("next")
      assert.deepInclude((yield* ask(asking, query)).body, { code: "overloaded" })
    })
  )

  it.effect("whose engine breaks when it is asked goes on", () =>
    Effect.gen(function* () {
      const { asked, asking, release, run } = yield* serve(() => {
        throw new Error("broken")
      })
      yield* run("mine")
      const { body, last } = yield* ask(asking, { progressOf: "mine" })
      assert.deepStrictEqual([last, body["code"]], ["J", "internal"])
      yield* release
      assert.deepStrictEqual(yield* asked.peer.take(1), ["F"])
    })
  )
})

describe("not_found is answered", () => {
  it.effect("of an id that no query has, of a query that was not accepted with progress, or has ended", () =>
    Effect.gen(function* () {
      const { asked, asking, release, run } = yield* serve(() => account)
      const question = Effect.map(ask(asking, { progressOf: "mine" }), ({ body, last }) => [
        last,
        body["code"]
      ])
      assert.deepStrictEqual(yield* question, ["J", "not_found"])
      yield* run("other")
      assert.deepStrictEqual(yield* question, ["J", "not_found"])
      yield* asked.peer.cancel
      assert.deepStrictEqual(yield* asked.peer.take(1), ["K"])
      for (const more of [{}, { progress: false }]) {
        yield* run("mine", more)
        assert.deepStrictEqual(yield* question, ["J", "not_found"])
        yield* release
        assert.deepStrictEqual(yield* asked.peer.take(1), ["F"])
      }
      yield* run("mine")
      yield* release
      assert.deepStrictEqual(yield* asked.peer.take(1), ["F"])
      assert.deepStrictEqual(yield* question, ["J", "not_found"])
    })
  )
})

describe("a request", () => {
  const question = (body: object | string) =>
    QueryApi.progressOf(new TextEncoder().encode(JSON.stringify(body)))
  const good = { version: "v1", query: "", progressOf: "é" }

  it("asks for progress with an empty query and an id, whatever else is in it", () => {
    assert.strictEqual(question(good), "é")
    assert.strictEqual(question({ ...good, metadata: { user: "ada" } }), "é")
    assert.strictEqual(QueryApi.progressOf(QueryApi.encodeProgressRequest('"')), '"')
  })

  it("is what PROTOCOL.md shows, and so is its answer", () => {
    const page = readFileSync(new URL("../../src/protocol/PROTOCOL.md", import.meta.url), "utf8")
    const [, section = ""] = page.split("**Progress.**")
    const bytes = (text = "") => new TextEncoder().encode(text)
    const [request, answer] = Array.from(section.matchAll(/```json\n(.*?)```/gs), ([, json]) => bytes(json))
    assert.isDefined(QueryApi.progressOf(request ?? bytes()))
    const shown = Result.getOrThrow(QueryApi.decodeProgress(answer ?? bytes()))
    assert.deepStrictEqual(Object.keys(shown), [
      "queryId",
      "fraction",
      "rowsProcessed",
      "totalRows",
      "elapsedMs"
    ])
  })

  it.each<[string, object | string]>([
    ["of another version", { ...good, version: "v2" }],
    ["with a query", { ...good, query: "SELECT 1" }],
    ["with the word in a query", { version: "v1", query: "SELECT 'progressOf'" }],
    ["with the field elsewhere", { version: "v1", query: "", metadata: { progressOf: "x" } }],
    ["with an id that is no text", { ...good, progressOf: 7 }],
    ["with an id that is too long", { ...good, progressOf: "x".repeat(1025) }],
    ["that is too long", { ...good, metadata: { long: "x".repeat(16 * 1024) } }],
    ["that is a list", [good]],
    ["that is a text", "progressOf"]
  ])("%s does not", (_, body) => {
    assert.isUndefined(question(body))
  })

  it.effect("that should and cannot is told the field", () =>
    Effect.gen(function* () {
      const { asking } = yield* serve()
      const { body } = yield* ask(asking, { progressOf: 7 })
      assert.strictEqual(body["code"], "bad_request")
      assert.match(String(body["message"]), /^progressOf: /)
    })
  )

  it.effect("is its engine's own where that has other requests than the API's", () =>
    Effect.gen(function* () {
      const { peer, steps } = yield* Served.open()
      yield* peer.request(JSON.stringify(good))
      yield* Served.settle
      assert.deepStrictEqual(steps.log, [`init ${JSON.stringify(good)}`])
    })
  )
})
