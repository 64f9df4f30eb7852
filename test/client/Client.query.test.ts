import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Client from "../../src/client/Client.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const open = Effect.gen(function* () {
  const [near, far] = yield* MemorySocket.pair()
  const server = yield* ServerPeer.make(far)
  const client = yield* Client.make(near)
  return { client, server }
})

const acceptBody = '{"format":"text/csv","queryId":"q1","columns":[{"name":"a","type":"INTEGER"}]}'
const errorBody = '{"code":"execution_failed","message":"Division by zero","retryable":false}'

describe("query", () => {
  it.effect("sends what was given and no more", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* client
        .query({ query: "SELECT ?", parameters: [1, "it's"], format: "text/csv", timeoutMs: 5000 })
        .pipe(Effect.flip, Effect.forkChild)
      const sent = yield* server.next
      assert.deepStrictEqual(JSON.parse(sent.slice(2)), {
        version: "v1",
        query: "SELECT ?",
        parameters: [1, "it's"],
        format: "text/csv",
        timeoutMs: 5000
      })
      yield* server.send("J {}")
      yield* Fiber.join(fiber)
    })
  )

  it.effect("sends the client's metadata and its own, which comes first", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const server = yield* ServerPeer.make(far)
      const client = yield* Client.make(near, { metadata: { token: "s3cret", user: "nobody" } })
      const sent: Array<unknown> = []
      for (const metadata of [{ user: "ada" }, undefined]) {
        const fiber = yield* Effect.forkChild(Effect.flip(client.query({ query: "q", metadata })))
        sent.push(JSON.parse((yield* server.next).slice(2)).metadata)
        yield* server.send("J {}")
        yield* Fiber.join(fiber)
      }
      assert.deepStrictEqual(sent, [
        { token: "s3cret", user: "ada" },
        { token: "s3cret", user: "nobody" }
      ])
      const refused = yield* Effect.flip(client.query({ query: "q", metadata: "abc" as never }))
      assert.strictEqual(refused.message, "metadata: expected an object of strings")
    })
  )

  it.effect("sends the caller's span as its traceparent, unless it has one or tracing is off", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const span = Tracer.externalSpan({ traceId, spanId: "b7ad6b7169203331", sampled: true })
      const ask = (traceparent?: string) => Effect.flip(client.query({ query: "q", traceparent }))
      const sent: Array<unknown> = []
      for (const asked of [
        ask(),
        Effect.withParentSpan(ask(), span),
        Effect.withParentSpan(ask("own"), span),
        Effect.withTracerEnabled(Effect.withParentSpan(ask(), span), false),
        ask().pipe(
          Effect.provideService(Tracer.DisablePropagation, true),
          Effect.withSpan("hidden"),
          Effect.withParentSpan(span)
        ),
        Stream.runDrain(client.rows({ query: "q" })).pipe(Effect.flip, Effect.withParentSpan(span))
      ]) {
        const fiber = yield* Effect.forkChild(asked)
        sent.push(JSON.parse((yield* server.next).slice(2)).traceparent)
        yield* server.send("J {}")
        yield* Fiber.join(fiber)
      }
      const traceparent = `00-${traceId}-b7ad6b7169203331-01`
      assert.deepStrictEqual(sent, [undefined, traceparent, "own", undefined, undefined, traceparent])
    })
  )

  it.effect("refuses metadata that no server takes, and sends nothing", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const metadata = { a: "x".repeat(9000) }
      const error = yield* Effect.flip(client.query({ query: "one", metadata }))
      assert.strictEqual(error._tag, "QueryError")
      assert.strictEqual(error.message, "metadata: more than 8192 bytes of names and values")
      for (const metadata of ["abc", null, new Map()]) {
        const refused = yield* Effect.flip(client.query({ query: "one", metadata: metadata as never }))
        assert.strictEqual(refused.message, "metadata: expected an object of strings")
      }
      const fiber = yield* Effect.forkChild(Effect.flip(client.query({ query: "two" })))
      assert.include(yield* server.next, `"two"`)
      yield* server.send("J {}")
      yield* Fiber.join(fiber)
    })
  )

  it.effect("sends nothing where a parameter has no SQL value or the request is too long, and goes on", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const server = yield* ServerPeer.make(far)
      const client = yield* Client.make(near, { maxRequestSize: 1000 })
      const refused = yield* Effect.flip(client.query({ query: "SELECT ?", parameters: [Number.NaN] }))
      assert.deepInclude(refused, { _tag: "QueryError", code: "bad_request" })
      assert.include(refused.message, "parameters.1: NaN")
      const long = yield* Effect.flip(client.query({ query: `SELECT '${"x".repeat(1000)}'` }))
      assert.strictEqual(long._tag === "ClientError" && long.reason._tag, "RequestTooLarge")
      assert.include(long.message, "maxRequestSize")
      const fiber = yield* client.query({ query: "SELECT 1" }).pipe(Effect.flip, Effect.forkChild)
      assert.include(yield* server.next, "SELECT 1")
      yield* server.send("J {}")
      yield* Fiber.join(fiber)
    })
  )

  it.effect("whose response breaks off says that a write may have happened or not", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* Effect.forkChild(client.query({ query: "INSERT", format: "text/csv" }))
      yield* server.next
      yield* server.send(`A ${acceptBody}`)
      const { chunks } = yield* Fiber.join(fiber)
      yield* server.close
      const error = yield* Effect.flip(Stream.runDrain(chunks))
      assert.include(error.message, "that may have happened or not")
    })
  )

  it.effect("gives the accept with the columns, and the result", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* Effect.forkChild(client.query({ query: "SELECT 1", format: "text/csv" }))
      yield* server.next
      yield* server.send(`A ${acceptBody}`, "F a\n1")
      const { accepted, chunks } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(accepted.columns, [{ name: "a", type: "INTEGER" }])
      assert.strictEqual(accepted.queryId, "q1")
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(chunks)), "a\n1")
    })
  )

  it.effect("that is rejected fails at once with what the server says", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* Effect.forkChild(Effect.flip(client.query({ query: "SELEC" })))
      yield* server.next
      yield* server.send('J {"code":"syntax_error","message":"at SELEC","retryable":false,"position":1}')
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "QueryError")
      if (error._tag === "QueryError")
        assert.deepStrictEqual([error.code, error.position], ["syntax_error", 1])
    })
  )

  it.effect("that fails after chunks fails the stream with what the server says", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* Effect.forkChild(client.query({ query: "SELECT 1/0", format: "text/csv" }))
      yield* server.next
      yield* server.send(`A ${acceptBody}`, "I a\n", `E ${errorBody}`)
      const { chunks } = yield* Fiber.join(fiber)
      const error = yield* Effect.flip(Stream.runDrain(chunks))
      assert.strictEqual(error._tag, "QueryError")
      assert.strictEqual(error.message, "Division by zero")
    })
  )

  it.effect("whose accept cannot be read is cancelled, however long its scope is open, and fails", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* Effect.forkChild(Effect.flip(client.query({ query: "SELECT 1" })))
      yield* server.next
      yield* server.send("A nonsense")
      assert.strictEqual(yield* server.next, "C")
      yield* server.send("K")
      assert.match((yield* Fiber.join(fiber)).message, /undecodable accept/)
    })
  )

  it.effect.each([
    ["text/csv", "application/json"],
    [undefined, "text/csv"],
    ["application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]
  ] as const)(
    "for %s whose accept says %s is cancelled and fails, and the client goes on",
    ([asked, given]) =>
      Effect.gen(function* () {
        const { client, server } = yield* open
        const query = asked === undefined ? { query: "SELECT 1" } : { query: "SELECT 1", format: asked }
        const fiber = yield* Effect.forkChild(Effect.flip(client.query(query)))
        yield* server.next
        yield* server.send(`A {"format":"${given}","queryId":"q1"}`, "I looks like a result")
        assert.strictEqual(yield* server.next, "C")
        yield* server.send("K")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error._tag === "QueryError" && error.code, "internal")
        assert.strictEqual(
          error.message,
          `The server accepted the query with the format ${given}, but ${asked ?? "application/json"} was asked for; it was cancelled`
        )
        const again = yield* Effect.forkChild(client.query(query))
        assert.match(yield* server.next, /^R /)
        yield* server.send(`A {"format":"${asked ?? "application/json"}","queryId":"q2"}`, "F")
        assert.strictEqual((yield* Fiber.join(again)).accepted.queryId, "q2")
      })
  )

  it.effect("that names no format is accepted with JSON", () =>
    Effect.gen(function* () {
      const { client, server } = yield* open
      const fiber = yield* Effect.forkChild(client.query({ query: "SELECT 1" }))
      yield* server.next
      yield* server.send('A {"format":"application/json","queryId":"q"}', "F []")
      assert.strictEqual((yield* Fiber.join(fiber)).accepted.format, "application/json")
    })
  )
})
