/**
 * The layer that records, around a client and a server of this package.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as ClientPool from "../../src/client/ClientPool.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Conversation from "../../src/recording/Conversation.ts"
import * as Recorder from "../../src/recording/Recorder.ts"
import * as Recording from "../../src/recording/Recording.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import * as TestServer from "../../src/testing/TestServer.ts"
import { failure } from "../support/Failure.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as QueryServer from "../support/QueryServer.ts"

/** A client asks, and reads the whole answer. */
const ask = Effect.gen(function* () {
  const { engine, step } = yield* StepEngine.make()
  yield* step(StepEngine.accept, StepEngine.chunk("ab"), StepEngine.chunk("c"), StepEngine.end)
  const client = yield* Effect.provideService(TestServer.connect(), QueryEngine, engine)
  const { chunks } = yield* client.request(new TextEncoder().encode("question"))
  assert.strictEqual(yield* Stream.mkString(Stream.decodeText(chunks)), "abc")
}).pipe(Effect.scoped)

const parse = (text: string) => Result.getOrThrow(Recording.parse(text))

describe("the recorder", () => {
  it.effect("records both ends, each as a connection of its own", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      yield* Effect.provide(
        ask,
        Recorder.layer((line) => void lines.push(line), { values: "kept" })
      )
      const conversations = Conversation.all(parse(`${lines.join("\n")}\n`).entries)
      assert.strictEqual(conversations.length, 2)
      for (const { ends, exchanges, malformed, strays } of conversations) {
        assert.deepStrictEqual([ends, strays, malformed], [1, [], { client: false, server: false }])
        const [exchange] = exchanges
        assert.deepInclude(exchange?.request.content, { bytes: new TextEncoder().encode("question") })
        assert.strictEqual(exchange?.bytes, 3)
      }
      assert.include(lines[1], '"event":"opened","peer":')
      assert.isTrue(lines.some((line) => /"from":"client","event":"(closed|broken)"/.test(line)))
    })
  )

  it.live("records the connections of a pool and of a server that listens", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const query = { query: "echo", format: "text/csv" } as const
      yield* Effect.gen(function* () {
        const { address } = yield* LiveServer.start(QueryServer.engine)
        const pool = yield* ClientPool.connect(address)
        yield* Effect.scoped(Effect.flatMap(pool.query(query), ({ chunks }) => Stream.runDrain(chunks)))
      }).pipe(Effect.scoped, Effect.provide(Recorder.layer((line) => void lines.push(line))))
      const conversations = Conversation.all(parse(`${lines.join("\n")}\n`).entries)
      assert.deepStrictEqual(
        conversations.map(({ ends }) => ends),
        [1, 1]
      )
    })
  )

  it.effect("leaves everything as it is where it is not", () => ask)

  it.effect.each([
    [{ values: "none" }, 'values must be one of redacted, kept, got "none"'],
    [{ lengthCounts: "x" }, 'lengthCounts must be one of body, typeAndBody, frame, got "x"'],
    [{ maxBodySize: -1 }, "maxBodySize must be a size of at least 0 B, got -1"]
  ] as const)("names the option that is none: %j", ([options, said]) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Effect.provide(
          ask,
          Recorder.layer(() => {}, options as never)
        )
      )
      assert.strictEqual(failure(exit), `RangeError: ${said}`)
    })
  )

  it.effect.each([
    [
      "throws",
      () => {
        throw new Error("disk full")
      },
      "disk full"
    ],
    ["returns an Effect", () => Effect.void, "write returned an Effect, which nobody runs"],
    ["returns a Promise that fails", () => Promise.reject(new Error("disk full")), "disk full"]
  ] as const)("goes on without a write that %s, and says so once", ([, write, said]) => {
    const log: Array<string> = []
    const logger = Logger.make(({ cause, message }) => void log.push(`${message} ${Cause.pretty(cause)}`))
    return Effect.gen(function* () {
      yield* Effect.provide(ask, Recorder.layer(write as () => void))
      yield* ask.pipe(
        Recorder.watch(() => {
          throw new Error("disk full")
        })
      )
      assert.strictEqual(log.length, 2)
      assert.include(log[0], said)
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("has others watch too", () =>
    Effect.gen(function* () {
      const seen: [Array<string>, Array<string>] = [[], []]
      yield* ask.pipe(
        Recorder.watch(({ _tag }) => void seen[0].push(_tag)),
        Recorder.watch(({ _tag }) => void seen[1].push(_tag))
      )
      assert.deepStrictEqual(seen[0], seen[1])
      assert.include(seen[0], "Frame")
    })
  )

  it.effect("writes a file for the user alone, without values, and replaces one that was there", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "recording")
      writeFileSync(file, "x".repeat(100_000), { mode: 0o644 })
      const { check, listener } = yield* Recorder.toFile(file)
      yield* Recorder.watch(listener)(ask)
      yield* check
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const text = readFileSync(file, "utf8")
      assert.notInclude(text, "question")
      assert.strictEqual(parse(text).header.values, "redacted")
      assert.strictEqual(Conversation.all(parse(text).entries)[0]?.exchanges[0]?.bytes, 3)
    })
  )

  it.effect("says where it cannot write", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Recorder.toFile("/missing/recording"))
      assert.match(error.message, /^Cannot write the recording \/missing\/recording: ENOENT/)
      const { check, listener } = yield* Recorder.toFile("/dev/full")
      yield* Recorder.watch(listener)(ask)
      assert.match((yield* Effect.flip(check)).message, /ENOSPC/)
    })
  )
})
