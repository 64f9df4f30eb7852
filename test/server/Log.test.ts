import { assert, describe, it } from "@effect/vitest"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import * as Log from "../../src/server/Log.ts"

/** What an effect logs, line by line. */
const lines = Effect.fnUntraced(function* (format: Log.Format, effect: Effect.Effect<unknown>) {
  const written: Array<string> = []
  const console: Console.Console = {
    ...globalThis.console,
    log: (line: string) => {
      written.push(line)
    }
  }
  yield* effect.pipe(Effect.provide(Log.layer(format)), Effect.provideService(Console.Console, console))
  return written
})

const at = Date.UTC(2021, 9, 6, 4, 1, 26, 490)

describe("timestamp", () => {
  it.each([
    [0n, "1970-01-01T00:00:00.000000000Z"],
    [1n, "1970-01-01T00:00:00.000000001Z"],
    [1_633_492_886_490_694_105n, "2021-10-06T04:01:26.490694105Z"],
    [1_633_492_886_999_999_999n, "2021-10-06T04:01:26.999999999Z"]
  ])("of %d ns is UTC to the nanosecond", (nanos, text) => {
    assert.strictEqual(Log.timestamp(nanos), text)
  })
})

describe("text", () => {
  it.effect("is a timestamp of the Clock and what is said; levels other than Info are named", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(at)
      const written = yield* lines(
        "text",
        Effect.gen(function* () {
          yield* Effect.logInfo("Started", { event: "fields are for the other format" })
          yield* TestClock.adjust("1 millis")
          yield* Effect.logError("Broken")
        })
      )
      assert.deepStrictEqual(written, [
        "2021-10-06T04:01:26.490000000Z Started",
        "2021-10-06T04:01:26.491000000Z Error: Broken"
      ])
    })
  )

  it.effect("has the trace of a cause below its line", () =>
    Effect.gen(function* () {
      const [written] = yield* lines(
        "text",
        Effect.catchCause(Effect.die(new Error("boom")), (cause) => Effect.logError("Died", cause))
      )
      assert.match(written ?? "", /^1970-01-01T00:00:00.000000000Z Error: Died\nError: boom\n {4}at /)
    })
  )

  it.effect("leaves out what is below the minimum level", () =>
    Effect.gen(function* () {
      const quiet = Effect.provideService(Effect.logInfo("Started"), References.MinimumLogLevel, "Error")
      assert.deepStrictEqual(yield* lines("text", quiet), [])
    })
  )
})

describe("json", () => {
  it.effect("is one object a line, with the fields beside what is said", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(at)
      const written = yield* lines("json", Effect.logInfo("two\nlines", { event: "Opened", id: 1 }))
      assert.deepStrictEqual(written, [
        `{"timestamp":"2021-10-06T04:01:26.490000000Z","level":"Info","message":"two\\nlines","event":"Opened","id":1}`
      ])
    })
  )

  it.effect("has a cause as a field", () =>
    Effect.gen(function* () {
      const [written] = yield* lines(
        "json",
        Effect.catchCause(Effect.die(new Error("boom")), (cause) => Effect.logError("Died", cause))
      )
      const { cause, level, message } = JSON.parse(written ?? "")
      assert.deepStrictEqual([level, message], ["Error", "Died"])
      assert.match(cause, /^Error: boom\n/)
    })
  )

  it.effect("logs what JSON does not know, rather than failing", () =>
    Effect.gen(function* () {
      const circular: Record<string, unknown> = {}
      Object.assign(circular, { self: circular })
      const written = yield* lines("json", Effect.logInfo("odd", { big: 1n, circular }))
      assert.strictEqual(written.length, 1)
      assert.strictEqual(JSON.parse(written[0] ?? "").message, "odd")
    })
  )

  it.effect("lets no field pass for the line's own", () =>
    Effect.gen(function* () {
      const [written] = yield* lines("json", Effect.logInfo("said", { message: "forged", level: "None" }))
      const { level, message } = JSON.parse(written ?? "")
      assert.deepStrictEqual([level, message], ["Info", "said"])
    })
  )
})

describe("hostile text", () => {
  const hostile = "a\u001b[2J\u009b2J\u202eb"
  const shown = "a\\u001b[2J\\u009b2J\\u202eb"

  it.effect("is escaped in a line of text", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* lines("text", Effect.logInfo(hostile)), [
        `1970-01-01T00:00:00.000000000Z ${shown}`
      ])
    })
  )

  it.effect("is escaped in JSON, which still says the same", () =>
    Effect.gen(function* () {
      const [written = ""] = yield* lines("json", Effect.logInfo("x", { detail: hostile }))
      assert.include(written, shown)
      assert.strictEqual(JSON.parse(written).detail, hostile)
    })
  )
})
