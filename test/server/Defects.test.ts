import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as PolledQuery from "../../src/engine/PolledQuery.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as Served from "../support/Served.ts"

const payload = new TextEncoder().encode("yes")
const accepted = { payload, chunks: Stream.make(payload) }

/** What only a program gives that its types do not stop. */
const wrong = (given: unknown): never => given as never

/** Made anew for each request where it is a function. */
const given = (value: unknown): unknown => (typeof value === "function" ? value() : value)

/** An engine of its own. */
const own = (init: unknown): Engine => ({ init: () => wrong(given(init)) })

const timed = (timeout: unknown): Engine => own(Effect.succeed({ ...accepted, timeout }))

/** One of the v1 API. */
const api = (run: unknown, rest: object = {}): Engine =>
  QueryApi.makeEngine({ formats: ["text/csv"], run: () => wrong(given(run)), ...rest })

/** One that is polled, with one method of its own. */
const polled = (method: Partial<Record<keyof PolledQuery.PolledQuery, () => unknown>>): Engine =>
  PolledQuery.makeEngine(() => ({
    init: () => ({ _tag: "Accept", payload }),
    run: () => "complete",
    payload: () => payload,
    toggle: () => {},
    end: () => {},
    ...(method as object)
  }))

const promise = () => Promise.reject(new Error("nobody waits for it"))
const broken = () => {
  throw new Error("broken method")
}

/** By what the log has to say. */
const engines: ReadonlyArray<readonly [said: string, make: () => Engine]> = [
  ["init: expected an Effect, got a Promise", () => own(promise)],
  ["init: expected an Effect, got undefined", () => own(undefined)],
  [
    "Not a valid effect: deep",
    () =>
      own(
        Effect.andThen(
          Effect.void,
          Effect.suspend(() => wrong("deep"))
        )
      )
  ],
  ["init: expected an accepted query, got null", () => own(Effect.succeed(null))],
  ["chunks: expected a Stream, got an Array", () => own(Effect.succeed({ payload, chunks: [payload] }))],
  ["a chunk that is no Uint8Array", () => own(Effect.succeed({ payload, chunks: Stream.make("text") }))],
  ["a payload that is no Uint8Array", () => own(Effect.succeed({ ...accepted, payload: "text" }))],
  [
    "Not a valid effect: late",
    () =>
      own(
        Effect.succeed({
          payload,
          chunks: Stream.fromEffect(Effect.suspend(() => wrong("late")))
        })
      )
  ],
  ["commit: expected an Effect, got a function", () => own(Effect.succeed({ ...accepted, commit: broken }))],
  ["timeout must be a duration of zero or more, got NaN", () => timed(Number.NaN)],
  ["timeout must be a duration of zero or more, got -5", () => timed(-5)],
  [
    'timeout must be a duration of zero or more, such as "5 seconds" or 5000 (milliseconds), got "soon"',
    () => timed("soon")
  ],
  ["queryId: expected a text, got 7", () => own(Effect.succeed({ ...accepted, queryId: 7 }))],
  ["progress: expected a function, got 7", () => own(Effect.succeed({ ...accepted, progress: 7 }))],
  [
    'QueryRejected.payload: expected a Uint8Array, got "no"',
    () => own(Effect.fail({ _tag: "QueryRejected", payload: "no" }))
  ],
  [
    'QueryFailed.payload: expected a Uint8Array, got "no"',
    () => own(Effect.succeed({ payload, chunks: Stream.fail({ _tag: "QueryFailed", payload: "no" }) }))
  ],
  [
    "QueryInitError.message: expected a text, got 7",
    () => own(Effect.fail({ _tag: "QueryInitError", message: 7 }))
  ],
  ["another failure", () => own(Effect.fail(wrong(new Error("another failure"))))],
  ["The engine interrupted a query", () => own(Effect.interrupt)],
  [
    "The engine interrupted a query",
    () => own(Effect.succeed({ payload, chunks: Stream.fromEffect(Effect.interrupt) }))
  ],
  ["run: expected an Effect, got a Promise", () => api(promise)],
  ["admit: expected an Effect, got true", () => api(Effect.succeed(accepted), { admit: () => true })],
  ["run: expected a result, got undefined", () => api(Effect.void)],
  ["chunks: expected a Stream, got undefined", () => api(Effect.succeed({}))],
  [
    "run: columns.0.name: Expected string",
    () => api(Effect.succeed({ ...accepted, columns: [{ name: 1 }] }))
  ],
  [
    "failure: expected a QueryError, got an Error: another failure",
    () => api(Effect.fail(wrong(new Error("another failure"))))
  ],
  ["failure: expected a QueryError, got undefined", () => api(Effect.fail(undefined))],
  [
    "failure: expected a QueryError, got an Error: late",
    () => api(Effect.succeed({ chunks: Stream.fail(new Error("late")) }))
  ],
  [
    'queryError: code: Expected "bad_request"',
    () => api(Effect.suspend(() => Effect.fail(QueryApi.queryError(wrong("bogus"), "no"))))
  ],
  ["init: expected Accept, Reject or Error as its _tag, got a Promise", () => polled({ init: promise })],
  [
    'init: expected a Uint8Array, got "no"',
    () => polled({ init: () => ({ _tag: "Reject", payload: "no" }) })
  ],
  ['run: expected "wait", "payload", "error" or "complete", got "done"', () => polled({ run: () => "done" })],
  ['run: expected "wait", "payload", "error" or "complete", got a Promise', () => polled({ run: promise })],
  ["broken method", () => polled({ run: broken })],
  ["payload: expected a Uint8Array, got undefined", () => polled({ payload: () => undefined })],
  ["broken method", () => polled({ toggle: broken })],
  ["toggle: expected no Promise, got a Promise", () => polled({ toggle: promise })],
  ["broken method", () => polled({ end: broken })],
  ["end: expected no Promise, got a Promise", () => polled({ end: promise })]
]

describe("an engine that breaks its contract is logged and answered as internal:", () => {
  for (const [index, [said, make]] of engines.entries()) {
    it.effect(`${index + 1}. ${said}`, () => {
      const log: Array<string> = []
      const logger = Logger.make(({ cause, message }) => void log.push(`${message} ${Cause.pretty(cause)}`))
      return Effect.gen(function* () {
        const { peer } = yield* Served.open({ engine: make() })
        yield* peer.request('{"version":"v1","query":"one","format":"text/csv"}')
        let reply = yield* peer.next
        while (/^[AI]/.test(reply)) reply = yield* peer.next
        assert.match(reply, /^[JE] .*"internal"/)
        assert.include(log.join("\n"), said)
        yield* peer.request("the connection goes on")
        assert.match(yield* peer.next, /^[JEA] /)
      }).pipe(Effect.provide(Logger.layer([logger])))
    })
  }
})
