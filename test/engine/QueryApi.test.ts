import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Limits from "../../src/engine/Limits.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryFailed, QueryRejected } from "../../src/engine/QueryEngine.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)
const parse = (payload: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(payload))

const engineOf = (
  run: (request: QueryApi.ResolvedRequest) => ReturnType<Parameters<typeof QueryApi.makeEngine>[0]["run"]>
) => QueryApi.makeEngine({ formats: ["application/json", "text/csv"], run })

const empty = engineOf(() => Effect.succeed({ chunks: Stream.empty }))

const rejected = (body: string | Uint8Array, engine = empty) =>
  engine.init(typeof body === "string" ? utf8(body) : body).pipe(
    Effect.flip,
    Effect.map((error) => {
      assert.instanceOf(error, QueryRejected)
      return QueryApi.decodeError(error.payload)
    }),
    Effect.scoped
  )

/** A request whose parameters are lists in lists, so many levels of them. */
const nested = (depth: number): string =>
  `{"version":"v1","query":"q","parameters":${"[".repeat(depth)}${"]".repeat(depth)}}`

describe("requests", () => {
  for (const [what, body, code, mention] of [
    ["text that is no JSON", "SELECT 1", "bad_request", "JSON"],
    ["bytes that are no UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "bad_request", "UTF-8"],
    ["JSON that is no object", "[1]", "bad_request", "object"],
    ["a missing version", '{"query":"SELECT 1"}', "bad_request", "version"],
    ["another version", '{"version":"v2","query":"SELECT 1"}', "unsupported_version", "v1"],
    ["a version that is no string", '{"version":1,"query":"SELECT 1"}', "bad_request", "version"],
    ["a missing query", '{"version":"v1"}', "bad_request", "query"],
    ["an empty query", '{"version":"v1","query":""}', "bad_request", "query"],
    ["a query that is no string", '{"version":"v1","query":5}', "bad_request", "query"],
    [
      "an unknown format",
      '{"version":"v1","query":"q","format":"text/html"}',
      "unsupported_format",
      "text/csv"
    ],
    [
      "a format of the API that the engine lacks",
      '{"version":"v1","query":"q","format":"application/x-ndjson"}',
      "unsupported_format",
      "application/json, text/csv"
    ],
    ["scalar parameters", '{"version":"v1","query":"q","parameters":5}', "bad_request", "parameters"],
    ["parameters nested too deep", nested(Limits.defaults.maxNesting + 1), "bad_request", "maxNesting"],
    ["parameters nested beyond any stack", nested(200_000), "bad_request", "parameters"],
    [
      "more parameters than the limit",
      `{"version":"v1","query":"q","parameters":[${"1,".repeat(70_000)}1]}`,
      "bad_request",
      "maxParameters"
    ],
    [
      "a query longer than the limit",
      `{"version":"v1","query":"${"é".repeat(140_000)}"}`,
      "bad_request",
      "maxQueryLength"
    ],
    [
      "an id that the accept has no room for",
      `{"version":"v1","query":"q","queryId":"${"i".repeat(1025)}"}`,
      "bad_request",
      "queryId"
    ],
    ["a timeout of zero", '{"version":"v1","query":"q","timeoutMs":0}', "bad_request", "timeoutMs"],
    [
      "a timeout that is no number",
      '{"version":"v1","query":"q","timeoutMs":"1s"}',
      "bad_request",
      "timeoutMs"
    ],
    ["an id that is no string", '{"version":"v1","query":"q","queryId":7}', "bad_request", "queryId"]
  ] as const) {
    it.effect(`${what} is rejected with ${code}`, () =>
      Effect.gen(function* () {
        const error = yield* rejected(body)
        assert.strictEqual(error.code, code)
        assert.include(error.message, mention)
        assert.isFalse(error.retryable)
      })
    )
  }

  it.effect("may have parameters nested as deep as the limit", () =>
    Effect.scoped(empty.init(utf8(nested(Limits.defaults.maxNesting))))
  )

  it.effect("reach the engine with defaults filled in and unknown fields ignored", () =>
    Effect.gen(function* () {
      const seen: Array<QueryApi.ResolvedRequest> = []
      const engine = engineOf((request) => {
        seen.push(request)
        return Effect.succeed({ chunks: Stream.empty })
      })
      yield* Effect.scoped(engine.init(utf8('{"version":"v1","query":"q","later":true}')))
      yield* Effect.scoped(engine.init(utf8('{"version":"v1","query":"q"}')))
      const [first, second] = seen
      assert.deepInclude(first, {
        query: "q",
        parameters: [],
        format: "application/json",
        timeout: undefined
      })
      assert.notStrictEqual(first?.queryId, "")
      assert.notStrictEqual(first?.queryId, second?.queryId)
    })
  )

  it.effect("reach the engine as the client encoded them", () =>
    Effect.gen(function* () {
      let seen: QueryApi.ResolvedRequest | undefined
      const engine = engineOf((request) => {
        seen = request
        return Effect.succeed({ chunks: Stream.empty })
      })
      const accepted = yield* Effect.scoped(
        engine.init(
          QueryApi.encodeRequest({
            query: "é",
            parameters: { a: [1, null] },
            format: "text/csv",
            numbers: "string",
            queryId: "id",
            timeoutMs: 250,
            metadata: { user: "ada", "": "" }
          })
        )
      )
      assert.deepStrictEqual(seen, {
        query: "é",
        parameters: { a: [1, null] },
        format: "text/csv",
        numbers: "string",
        queryId: "id",
        timeout: Duration.millis(250),
        metadata: { user: "ada", "": "" },
        readOnly: false,
        progress: false
      })
      assert.deepStrictEqual(accepted.timeout, Duration.millis(250))
      assert.strictEqual(accepted.queryId, "id")
    })
  )
})

describe("answers", () => {
  const request = QueryApi.encodeRequest({ query: "q", queryId: "id" })

  it.effect("accept with the columns that the engine knows, and pass its chunks on", () =>
    Effect.gen(function* () {
      const columns = [{ name: "a", type: "INTEGER" }]
      const engine = engineOf(() => Effect.succeed({ columns, chunks: Stream.make(utf8("[1"), utf8("]")) }))
      const accepted = yield* engine.init(request)
      const expected = { format: "application/json", queryId: "id", columns }
      assert.deepStrictEqual(parse(accepted.payload), expected)
      assert.deepStrictEqual(
        Result.getOrThrow(QueryApi.decodeAccepted(accepted.payload)),
        new QueryApi.QueryAccepted({ ...expected, format: "application/json" })
      )
      assert.deepStrictEqual(yield* Stream.runCollect(accepted.chunks), [utf8("[1"), utf8("]")])
    }).pipe(Effect.scoped)
  )

  it.effect("a failing run is a reject, a failing chunk an error", () =>
    Effect.gen(function* () {
      const reason = QueryApi.queryError("syntax_error", "near x", { position: 3 })
      const rejection = yield* rejected(
        request,
        engineOf(() => Effect.fail(reason))
      )
      assert.deepStrictEqual(rejection, reason)

      const engine = engineOf(() => Effect.succeed({ chunks: Stream.fail(reason) }))
      const accepted = yield* engine.init(request)
      const failure = yield* Effect.flip(Stream.runDrain(accepted.chunks))
      assert.instanceOf(failure, QueryFailed)
      assert.deepStrictEqual(parse(failure.payload), {
        code: "syntax_error",
        message: "near x",
        retryable: false,
        position: 3
      })
    }).pipe(Effect.scoped)
  )

  it.effect("a run that outlasts timeoutMs is interrupted, accepted and fails with timeout", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const engine = engineOf(() =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      )
      const fiber = yield* Effect.forkChild(
        engine.init(QueryApi.encodeRequest({ query: "q", queryId: "id", timeoutMs: 100 }))
      )
      yield* TestClock.adjust(100)
      const accepted = yield* Fiber.join(fiber)
      yield* Deferred.await(interrupted)
      assert.deepStrictEqual(parse(accepted.payload), { format: "application/json", queryId: "id" })
      const failure = yield* Effect.flip(Stream.runDrain(accepted.chunks))
      assert.strictEqual(QueryApi.decodeError(failure.payload).code, "timeout")
    }).pipe(Effect.scoped)
  )

  for (const [what, traceparent, traceId] of [
    [
      "with a traceparent",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "0af7651916cd43dd8448eb211c80319c"
    ],
    ["with a malformed traceparent", "nonsense", undefined],
    ["without one", undefined, undefined]
  ] as const) {
    it.effect(
      `a query ${what} runs ${traceId === undefined ? "without a span" : "below the client's span"}`,
      () =>
        Effect.gen(function* () {
          const current = Effect.map(
            Effect.option(Effect.currentSpan),
            Option.map((span) => span.traceId)
          )
          const seen: Array<string | undefined> = []
          const note = Effect.map(current, (id) => {
            seen.push(Option.getOrUndefined(id))
          })
          const engine = engineOf(() =>
            Effect.as(note, { chunks: Stream.drain(Stream.fromEffect(note)) as Stream.Stream<never> })
          )
          const accepted = yield* engine.init(
            QueryApi.encodeRequest({ query: "q", ...(traceparent === undefined ? {} : { traceparent }) })
          )
          yield* Stream.runDrain(accepted.chunks)
          assert.deepStrictEqual(seen, [traceId, traceId])
        }).pipe(Effect.scoped)
    )
  }
})

describe("decodeError", () => {
  for (const [what, body, message] of [
    ["text that is no JSON", "gateway down", "gateway down"],
    ["another shape", '{"error":1}', '{"error":1}'],
    ["nothing", "", "internal"]
  ] as const) {
    it(`gives an internal error for ${what}`, () => {
      const error = QueryApi.decodeError(utf8(body))
      assert.deepInclude(error, { code: "internal", message, retryable: false })
    })
  }

  it("keeps an unknown code in the message, and all else as it was said", () => {
    const error = QueryApi.decodeError(
      utf8('{"code":"new","message":"later","retryable":true,"retryAfterMs":5,"closing":true}')
    )
    assert.deepInclude(error, {
      code: "internal",
      message: "new: later",
      retryable: true,
      retryAfterMs: 5,
      closing: true
    })
  })

  it("returns what encodeError was given", () => {
    const error = QueryApi.queryError("overloaded", "busy", { retryAfterMs: 50 })
    assert.isTrue(error.retryable)
    assert.deepStrictEqual(QueryApi.decodeError(QueryApi.encodeError(error)), error)
  })
})

describe("decodeAccepted", () => {
  it("fails with internal on a body that is no accept", () => {
    const result = QueryApi.decodeAccepted(utf8('{"format":"text/html"}'))
    assert.isTrue(Result.isFailure(result) && result.failure.code === "internal")
  })
})
