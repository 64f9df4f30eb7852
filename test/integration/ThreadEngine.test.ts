/**
 * Servers whose engine is in threads of its own, which queries end or hold up.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Program from "../../src/process/Program.ts"
import * as ThreadEngine from "../../src/threads/ThreadEngine.ts"
import * as ThreadPool from "../../src/threads/ThreadPool.ts"
import { ask, others } from "../support/Asking.ts"
import * as LiveServer from "../support/LiveServer.ts"
import { isLong } from "../support/Long.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"

const killable: ThreadEngine.EngineModule = {
  module: new URL("../support/KillableEngine.ts", import.meta.url)
}

const inPool = (options: ThreadPool.Options = { threads: 2 }) =>
  Effect.provideService(ThreadPool.ThreadPool, ThreadPool.make(options))

const start = Effect.fnUntraced(function* (
  options: ThreadEngine.Options = {},
  pool: ThreadPool.Options = { threads: 2 }
) {
  const made = yield* ThreadEngine.make(killable, {
    cancelGrace: "300 millis",
    engineSilence: "1500 millis",
    waitTimeout: "2 minutes",
    ...options
  }).pipe(inPool(pool))
  const live = yield* LiveServer.start(made)
  const client = yield* ClientPool.connect(live.address, { maxConnections: 16, cancelTimeout: "20 seconds" })
  return { live, client }
})

/** What this thread has to do with others. */
const ports = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length

describe("an engine in threads", () => {
  it.live("that cannot be started says why", () =>
    Effect.gen(function* () {
      const pool: ThreadPool.ThreadPoolService = {
        ...ThreadPool.make({ threads: 2 }),
        start: () => {
          throw new Error("no thread is left")
        }
      }
      const made = Effect.provideService(ThreadEngine.make(killable), ThreadPool.ThreadPool, pool)
      assert.include((yield* Effect.flip(Effect.scoped(made))).message, "no thread is left")
    })
  )

  it.live("answers as it does in the server's own", () =>
    Effect.gen(function* () {
      const { client, live } = yield* start({ threads: 1 })
      const response = yield* Effect.scoped(
        client.query({ query: "echo", format: "text/csv", queryId: "mine" })
      )
      assert.deepStrictEqual(response.accepted.columns, [{ name: "a", type: "TEXT" }])
      assert.strictEqual(response.accepted.queryId, "mine")
      const rejected = yield* Effect.flip(Effect.scoped(client.query({ query: "reject" })))
      assert.deepInclude(rejected, { code: "syntax_error", position: 7, message: "syntax error at or near" })
      assert.strictEqual(yield* ask(client, "fail"), "execution_failed")
      const blocks = yield* ask(client, "blocks 400")
      assert.strictEqual(blocks, `${`${"0123456789abcdef".repeat(4095)}0123456789abcde\n`}`.repeat(400))
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request(JSON.stringify({ version: "v1", query: "stuck" }))
      yield* peer.cancel
      assert.strictEqual((yield* Response.take(peer)).end, "K")
    })
  )

  it.live("runs in as many threads as the pool has, none of them the server's", () =>
    Effect.gen(function* () {
      const { client } = yield* start({ title: "several" }, { threads: 3 })
      const seen = new Set<string>()
      yield* Poll.untilEffect(
        () => "three threads answer",
        Effect.gen(function* () {
          const asked = Effect.forEach(Array(6), () => ask(client, "thread"), { concurrency: "unbounded" })
          for (const thread of yield* Effect.orDie(asked)) seen.add(thread)
          return seen.size === 3
        })
      )
      assert.isFalse(seen.has("0"))
    })
  )

  it.live("that cannot start says why", () =>
    Effect.gen(function* () {
      const failure = (engine: ThreadEngine.EngineModule, options?: ThreadEngine.Options) =>
        Effect.map(
          Effect.flip(Effect.scoped(ThreadEngine.make(engine, options).pipe(inPool()))),
          ({ message }) => message
        )
      assert.strictEqual(
        yield* failure({ ...killable, options: { fails: "there is no such thing" } }),
        "there is no such thing"
      )
      assert.include(yield* failure({ module: "file:///nowhere.ts" }), "nowhere.ts")
      assert.include(
        yield* failure({ module: new URL("../support/seed.ts", import.meta.url) }),
        "exports no function make"
      )
      assert.include(
        yield* failure({ ...killable, options: { fails: [() => {}] } }),
        "options.fails.0: a function"
      )
      assert.include(
        yield* failure({ ...killable, options: { makes: "a Promise" } }),
        "KillableEngine.ts: expected an Effect, got a Promise"
      )
      assert.include(
        yield* failure({ ...killable, options: { makes: "no engine" } }),
        "KillableEngine.ts: expected an engine with init, got an object"
      )
      assert.strictEqual(
        yield* failure(killable, { threads: 3 }),
        "threads: 3 are asked for, and 2 of the 2 threads of the pool are free"
      )
    })
  )

  for (const module of ["./engine.mjs", "", undefined]) {
    it.effect(`names the module that it cannot load: ${module}`, () =>
      Effect.gen(function* () {
        const made = ThreadEngine.make({ module: module as string }).pipe(inPool(), Effect.scoped)
        const defect = Cause.squash(yield* Effect.flip(Effect.sandbox(made)))
        assert.match(String(defect), /^RangeError: module must be a URL, such as new URL\(/)
      })
    )
  }

  it.effect("is not started again by the thread that has loaded its module", () =>
    Effect.gen(function* () {
      const module = "data:text/javascript,"
      yield* Effect.promise(() => Program.load(module))
      const made = ThreadEngine.make({ module }).pipe(inPool(), Effect.scoped)
      const defect = Cause.squash(yield* Effect.flip(Effect.sandbox(made)))
      assert.match(String(defect), /^RangeError: module must not start itself: data:/)
    })
  )

  it.live("admits who may ask, before its threads hear of it", () =>
    Effect.gen(function* () {
      const admit: ThreadEngine.EngineModule["admit"] = ({ metadata }) =>
        metadata["token"] === "s3cret"
          ? Effect.void
          : Effect.fail(QueryApi.queryError("not_allowed", "who are you?"))
      const engine = yield* ThreadEngine.make(ThreadEngine.duckDb({ admit })).pipe(inPool())
      const live = yield* LiveServer.start(engine)
      const client = yield* ClientPool.connect(live.address)
      const query = { query: "SELECT 42 AS a", format: "text/csv" } as const
      const { code } = (yield* Effect.flip(client.query(query))) as QueryApi.QueryError
      assert.strictEqual(code, "not_allowed")
      const { chunks } = yield* client.query({ ...query, metadata: { token: "s3cret" } })
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(chunks)), "a\r\n42\r\n")
    })
  )

  it.live("shares the pool with others, and gives its threads back", () =>
    Effect.gen(function* () {
      const pool = ThreadPool.make({ threads: 2 })
      const make = (threads?: number) =>
        ThreadEngine.make(killable, { threads }).pipe(Effect.provideService(ThreadPool.ThreadPool, pool))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* make(1)
          yield* make()
          assert.strictEqual(yield* pool.free, 0)
          assert.match((yield* Effect.flip(make())).message, /0 of the 2 threads/)
        })
      )
      assert.strictEqual(yield* pool.free, 2)
      yield* Effect.scoped(make(2))
    })
  )

  it.live("leaves no thread and no connection when the scope closes", () =>
    Effect.gen(function* () {
      const before = ports()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { client, live } = yield* start()
          yield* others(client, 20)
          const peer = yield* LiveServer.connect(live.address)
          yield* peer.request(JSON.stringify({ version: "v1", query: "stuck loop" }))
          yield* others(client, 5)
          assert.isAbove(ports(), before)
        })
      )
      yield* Poll.until("all are closed", () => ports() === before)
    })
  )

  it.live("names settings that cannot be", () =>
    Effect.gen(function* () {
      const changing = ThreadEngine.make({ ...killable, changes: true }, { threads: 2 })
      const exit = yield* Effect.exit(Effect.scoped(changing.pipe(inPool())))
      assert.isTrue(
        Exit.isFailure(exit) && /^RangeError: threads must be 1/.test(String(Cause.squash(exit.cause)))
      )
      assert.throws(() => ThreadPool.make({ threads: 0 }), /threads/)
      assert.throws(() => ThreadPool.make({ threadMemory: 1 }), /threadMemory/)
    })
  )
})

describe("a pool with threads that do not end", () => {
  const idle = new URL("data:text/javascript,setInterval(() => {}, 1e9)")

  it.live("has never more than twice as many as it may", () =>
    Effect.gen(function* () {
      const pool = ThreadPool.make({ threads: 1 })
      const before = ports()
      const first = pool.start(idle, {})
      first.stdout.resume()
      yield* Poll.until("its output is read", () => ports() > before)
      assert.deepStrictEqual([pool.abandon(first), pool.abandon(first)], Array(2).fill({ stuck: 1, most: 2 }))
      yield* Poll.until("nobody waits for it", () => ports() === before)
      const second = pool.start(idle, {})
      assert.throws(() => pool.start(idle, {}), /1 were to end and still run, and there may be 2/)
      yield* Effect.promise(() => first.terminate())
      assert.strictEqual(yield* pool.stuck, 0)
      assert.deepStrictEqual(pool.abandon(first), { stuck: 0, most: 2 })
      yield* Effect.promise(() => pool.start(idle, {}).terminate())
      yield* Effect.promise(() => second.terminate())
    })
  )

  it.live("has none because of a loop, not even of one that V8 unrolls", () =>
    Effect.gen(function* () {
      const pool = ThreadPool.make({ threads: 1 })
      const made = ThreadEngine.make(killable, { cancelGrace: "50 millis", engineSilence: "1 minute" })
      const live = yield* LiveServer.start(yield* Effect.provideService(made, ThreadPool.ThreadPool, pool))
      const client = yield* ClientPool.connect(live.address)
      const before = yield* ask(client, "thread")
      const error = yield* Effect.flip(
        Effect.scoped(client.query({ query: "stuck unrolled", timeoutMs: 500 }))
      )
      assert.include(error, { code: "timeout" })
      assert.notStrictEqual(yield* ask(client, "thread"), before)
      yield* Poll.untilEffect(
        () => "its thread has ended",
        Effect.map(pool.stuck, (stuck) => stuck === 0)
      )
    })
  )

  it.live("says so to those that ask", () =>
    Effect.gen(function* () {
      const real = ThreadPool.make({ threads: 1 })
      let started = 0
      const pool: ThreadPool.ThreadPoolService = {
        ...real,
        start: (program, data) => {
          if (started++ > 0) throw new ThreadPool.ThreadPoolError({ message: "so many are stuck" })
          return real.start(program, data)
        }
      }
      const engine = yield* Effect.provideService(ThreadEngine.make(killable), ThreadPool.ThreadPool, pool)
      const live = yield* LiveServer.start(engine)
      const client = yield* ClientPool.connect(live.address)
      const error = yield* Effect.flip(Effect.scoped(client.query({ query: "kill exit" })))
      assert.deepInclude(error, { code: "engine_lost", retryable: true })
      assert.include(error.message, "so many are stuck")
    })
  )
})

describe("beside queries that end their threads", () => {
  for (const how of isLong ? ["exit", "defect", "heap"] : ["heap"]) {
    it.live(`small ones of others are answered, and they are told so: ${how}`, () =>
      Effect.gen(function* () {
        // Nothing but its memory is to end it.
        const { client } = yield* start({ engineSilence: "1 minute" }, { threads: 2, threadMemory: 64 })
        const [answer] = yield* Effect.all([ask(client, `kill ${how}`), others(client, 50)], {
          concurrency: "unbounded"
        })
        assert.strictEqual(answer, how === "heap" ? "out_of_memory" : "engine_lost")
        yield* others(client, 10)
      })
    )
  }

  it.live("a result of which a part has arrived ends with an error", () =>
    Effect.gen(function* () {
      const { live } = yield* start({ threads: 1 })
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request(JSON.stringify({ version: "v1", query: "partly exit", format: "text/csv" }))
      const { end, result } = yield* Response.take(peer)
      assert.isAbove(result.length, 0)
      assert.match(end, /^E /)
      const error = QueryApi.decodeError(Buffer.from(end.slice(2)))
      assert.include(error, { code: "engine_lost", retryable: false })
      assert.match(error.message, /exit code 3/)
      assert.strictEqual(
        yield* Response.result(peer, JSON.stringify({ version: "v1", query: "echo" })),
        "echo"
      )
    })
  )
})

describe("beside queries that do not stop", () => {
  for (const how of isLong ? ["uninterruptible", "loop", "sleep", "native"] : ["loop", "native"]) {
    it.live(`small ones of others are answered, and they end by cancel: ${how}`, () =>
      Effect.gen(function* () {
        const { client, live } = yield* start({ engineSilence: "5 seconds" })
        const peer = yield* LiveServer.connect(live.address)
        yield* peer.request(JSON.stringify({ version: "v1", query: `stuck ${how}` }))
        yield* peer.cancel
        const [{ end }] = yield* Effect.all([Response.take(peer), others(client, 50)], {
          concurrency: "unbounded"
        })
        assert.strictEqual(end, "K")
      })
    )
  }
})
