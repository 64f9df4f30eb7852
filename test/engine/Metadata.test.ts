import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"

const ran: Array<QueryApi.ResolvedRequest> = []
const engine = QueryApi.makeEngine({
  formats: ["application/json"],
  admit: ({ metadata }) =>
    metadata["token"] === "s3cret"
      ? Effect.void
      : Effect.fail(QueryApi.queryError("not_allowed", "metadata.token is not one of this server's")),
  run: (request) => {
    ran.push(request)
    return Effect.succeed({ chunks: Stream.empty })
  }
})

/** What becomes of a request with this metadata, as it is written in JSON. */
const ask = (metadata: string) => {
  const body = new TextEncoder().encode(`{"version":"v1","query":"q","metadata":${metadata}}`)
  return Effect.scoped(
    Effect.match(engine.init(body), {
      onSuccess: () => "accepted",
      onFailure: (error) => {
        if (error._tag === "QueryInitError") throw error
        const { code, message } = QueryApi.decodeError(error.payload)
        return `${code}: ${message}`
      }
    })
  )
}

const of = (entries: ReadonlyArray<readonly [string, string]>) => JSON.stringify(Object.fromEntries(entries))
const many = (count: number, value = "") =>
  of(Array.from({ length: count }, (_, index) => [`n${index}`, value] as const))

describe("metadata", () => {
  it.effect("lets an engine decide who may ask, before anything runs", () =>
    Effect.gen(function* () {
      ran.length = 0
      const refused = "not_allowed: metadata.token is not one of this server's"
      assert.strictEqual(yield* ask(`{"token":"guess"}`), refused)
      assert.strictEqual(yield* ask("{}"), refused)
      assert.deepStrictEqual(ran, [])
      assert.strictEqual(yield* ask(`{"token":"s3cret","user":"ada"}`), "accepted")
      assert.deepStrictEqual(Object.entries(ran[0]?.metadata ?? {}), [
        ["token", "s3cret"],
        ["user", "ada"]
      ])
    })
  )

  it.effect("has no entries but those that were given", () =>
    Effect.gen(function* () {
      ran.length = 0
      yield* ask(`{"token":"s3cret","__proto__":"x"}`)
      const [request] = ran
      assert.deepStrictEqual(Object.keys(request?.metadata ?? {}), ["token", "__proto__"])
      assert.isUndefined(request?.metadata["constructor"])
    })
  )

  it.effect.each<[metadata: string, problem: string]>([
    ["null", "expected an object of strings"],
    ["[]", "expected an object of strings"],
    [`"x"`, "expected an object of strings"],
    [`{"a":1}`, `expected an object of strings, but "a" is none`],
    [`{"a":{"b":"c"}}`, `expected an object of strings, but "a" is none`],
    [many(65), "more than 64 entries"],
    [of([["a", "x".repeat(8192)]]), "more than 8192 bytes of names and values"],
    [of([["a", "é".repeat(4096)]]), "more than 8192 bytes of names and values"],
    [many(64, "x".repeat(128)), "more than 8192 bytes of names and values"]
  ])("is refused by name: %.40s", ([metadata, problem]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ask(metadata), `bad_request: metadata: ${problem}`)
    })
  )

  it.effect("may be as large as its limits say", () =>
    Effect.gen(function* () {
      assert.match(yield* ask(many(64, "x".repeat(125))), /^not_allowed/)
      assert.match(yield* ask(of([["a", "x".repeat(8191)]])), /^not_allowed/)
    })
  )
})
