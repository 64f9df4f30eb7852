import { assert, it } from "@effect/vitest"
import { QueryApi } from "dataconn"
import { TestServer } from "dataconn/testing"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Countdowns } from "./countdown.ts"
import { Planets } from "./planets.ts"
import { retried } from "./retry.ts"

it.effect("an engine of the v1 query API gives out a table, and names what it does not know", () =>
  Effect.gen(function* () {
    const client = yield* TestServer.connect()
    const ask = (query: string) =>
      client.query({ query, format: "text/csv", parameters: ["Earth"] }).pipe(
        Effect.flatMap(({ accepted, chunks }) =>
          Effect.map(Stream.mkString(Stream.decodeText(chunks)), (text) => [accepted.columns, text])
        ),
        Effect.scoped
      )
    const columns = [{ name: "name", type: "VARCHAR" }]
    assert.deepStrictEqual(yield* ask("FROM planets"), [columns, "name\r\nMercury\r\nVenus\r\n"])
    assert.match(String(yield* Effect.flip(ask("FROM moons"))), /There are only planets/)
    const rows = yield* Effect.flip(retried(Stream.runCollect(client.rows({ query: "FROM planets" }))))
    assert.isFalse(rows.retryable)
  }).pipe(Effect.provide(Planets))
)

it.effect("a polled engine gives out what it has, and is asked again when it had nothing", () =>
  Effect.gen(function* () {
    const client = yield* TestServer.connect()
    const { chunks } = yield* client.request(new Uint8Array(0))
    const text = yield* chunks.pipe(Stream.decodeText, Stream.mkString, Effect.forkChild)
    yield* TestClock.adjust("2999 millis")
    assert.isUndefined(text.pollUnsafe())
    yield* TestClock.adjust("1 millis")
    assert.strictEqual(yield* Fiber.join(text), "3\n2\n1\n")
  }).pipe(Effect.provide(Countdowns))
)

it.effect("a request is repeated where that is safe, and only there", () =>
  Effect.gen(function* () {
    const asked: Array<string> = []
    const failing = (...codes: ReadonlyArray<QueryApi.ErrorCode>) =>
      Effect.suspend(() => {
        const code = codes[asked.length] ?? "internal"
        asked.push(code)
        return Effect.fail(QueryApi.queryError(code, "no"))
      })
    const fiber = yield* Effect.forkChild(Effect.exit(retried(failing("overloaded", "shutting_down"))))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(asked, ["overloaded", "shutting_down", "internal"])
  })
)
