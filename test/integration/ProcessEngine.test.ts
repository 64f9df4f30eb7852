/**
 * Servers whose engine is in processes of its own, which queries end or hold up in every way.
 */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, renameSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"
import { ask, others } from "../support/Asking.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import { isLong } from "../support/Long.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"

const killable: ProcessEngine.EngineModule = {
  module: new URL("../support/KillableEngine.ts", import.meta.url)
}

const start = Effect.fnUntraced(function* (options: ProcessEngine.Options = {}, engine = killable) {
  const directory = yield* Folder.make
  const made = yield* ProcessEngine.make(engine, {
    directory,
    cancelGrace: "300 millis",
    engineSilence: "1500 millis",
    engineMemory: 1024 ** 3,
    waitTimeout: "2 minutes",
    title: "tested engine",
    ...options
  })
  const live = yield* LiveServer.start(made)
  const client = yield* ClientPool.connect(live.address, { maxConnections: 16, cancelTimeout: "20 seconds" })
  return { directory, live, client }
})

/** The processes that this one has started and that bear the title of the tests. */
const children = (): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const [, parent] = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
        return (
          Number(parent) === process.pid && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("tested")
        )
      } catch {
        return false
      }
    })

/** Processes are started again and again, in milliseconds. */
const slow = 120_000

const linux = process.platform === "linux"

describe("an engine in processes", () => {
  it.live("answers as it does in this one", () =>
    Effect.gen(function* () {
      const { client, live } = yield* start({ engines: 1 })
      assert.strictEqual(yield* ask(client, "echo"), "echo")
      const response = yield* Effect.scoped(
        client.query({ query: "echo", format: "text/csv", queryId: "mine" })
      )
      assert.deepStrictEqual(response.accepted.columns, [{ name: "a", type: "TEXT" }])
      assert.strictEqual(response.accepted.queryId, "mine")
      const rejected = yield* Effect.flip(Effect.scoped(client.query({ query: "reject" })))
      assert.deepInclude(rejected, { code: "syntax_error", position: 7, message: "syntax error at or near" })
      assert.strictEqual(yield* ask(client, "fail"), "execution_failed")
      const size = yield* Effect.scoped(
        Effect.flatMap(client.query({ query: "blocks 400", format: "text/csv" }), ({ chunks }) =>
          Stream.runFold(
            chunks,
            () => 0,
            (sum, chunk) => sum + chunk.length
          )
        )
      )
      assert.strictEqual(size, 400 * 65_536)
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request(JSON.stringify({ version: "v1", query: "stuck" }))
      yield* peer.cancel
      assert.strictEqual((yield* Response.take(peer)).end, "K")
    })
  )

  it.live("holds the engine back as its reader does", () =>
    Effect.gen(function* () {
      const { live } = yield* start({ engines: 1 })
      const peer = yield* LiveServer.dial(live.address, { paused: true })
      const body = Buffer.from(JSON.stringify({ version: "v1", query: "blocks 100000", format: "text/csv" }))
      const header = Buffer.alloc(5)
      header.writeUInt32LE(body.length)
      header.write("R", 4)
      peer.socket.write(Buffer.concat([header, body]))
      yield* live.event("Accepted")
      // 6.5 GB, of which the buffers on the way hold some megabytes.
      const before = process.memoryUsage().rss
      yield* Poll.until("something is there", () => LiveServer.take(peer, 1_000_000) > 0)
      yield* Effect.sleep(300)
      assert.isBelow(process.memoryUsage().rss - before, 100 * 1024 ** 2)
    })
  )

  it.live.runIf(linux && isLong)("is replaced when it has used up its memory and uses little of it", () =>
    Effect.gen(function* () {
      const { client } = yield* start({ engines: 1 })
      const first = yield* ask(client, "pid")
      assert.strictEqual(yield* ask(client, `hoard ${0.9 * 1024 ** 3}`), first)
      yield* Poll.untilEffect(
        () => "another one is there",
        Effect.orDie(Effect.map(ask(client, "pid"), (pid) => pid !== first))
      )
    })
  )

  it.live("that cannot start says why", () =>
    Effect.gen(function* () {
      const failing = { ...killable, options: () => ({ fails: "there is no such thing" }) }
      const error = yield* Effect.flip(Effect.scoped(ProcessEngine.make(failing)))
      assert.strictEqual(error.message, "there is no such thing")
      const nowhere = { module: "file:///nowhere.ts" }
      const missing = yield* Effect.flip(Effect.scoped(ProcessEngine.make(nowhere)))
      assert.include(missing.message, "nowhere.ts")
      const program = yield* Effect.flip(
        Effect.scoped(ProcessEngine.make(killable, { command: ["/nonexistent/node"] }))
      )
      assert.include(program.message, "/nonexistent/node")
      const nowhereToBe = yield* Effect.flip(
        Effect.scoped(ProcessEngine.make(killable, { directory: "/nonexistent" }))
      )
      assert.include(nowhereToBe.message, "/nonexistent")
      const uncopied = { ...killable, options: () => ({ deep: { function: () => {} } }) }
      const notCopied = yield* Effect.flip(Effect.scoped(ProcessEngine.make(uncopied)))
      assert.strictEqual(
        notCopied.message,
        "options.deep.function: a function cannot be copied to where the engine runs"
      )
    })
  )

  it("leaves admit with the parent", () => {
    const admit = () => Effect.void
    const engine = ProcessEngine.duckDb({ admit, maxNames: 5 })
    const options = engine.options?.({ directory: undefined, memory: 1000, isLater: false })
    assert.deepInclude(structuredClone(options), { maxNames: 5, memoryLimit: "800B" })
    assert.strictEqual(engine.admit, admit)
    assert.strictEqual(engine.limits?.maxNames, 5)
  })

  it.live(
    "may be in one process only where queries change something, and names settings that cannot be",
    () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(
          Effect.scoped(ProcessEngine.make({ ...killable, changes: true }, { engines: 2 }))
        )
        assert.isTrue(
          Exit.isFailure(exit) && /^RangeError: engines must be 1/.test(String(Cause.squash(exit.cause)))
        )
        for (const [name, value] of [
          ["engines", 0],
          ["cancelGrace", -1],
          ["engineMemory", 0]
        ] as const) {
          const bad = yield* Effect.exit(Effect.scoped(ProcessEngine.make(killable, { [name]: value })))
          assert.isTrue(Exit.isFailure(bad) && String(Cause.squash(bad.cause)).includes(name), name)
        }
      })
  )
})

// All ways are tried by `npm run storm`.
const ways = ["segmentation", "abort", "exit", "memory"]
const stubborn = ["uninterruptible", "loop", "stopped"]

describe("a query that has ended", () => {
  it.live("and goes on in its process has it killed", () =>
    Effect.gen(function* () {
      const { client } = yield* start({ engines: 1 })
      const before = yield* ask(client, "pid")
      yield* Effect.scoped(
        Effect.flatMap(client.query({ query: "left", format: "text/csv" }), ({ chunks }) =>
          Stream.runDrain(Stream.take(chunks, 1))
        )
      )
      const isAnother = Effect.orDie(Effect.map(ask(client, "pid"), (pid) => pid !== before))
      yield* Poll.untilEffect(() => "another process answers", isAnother)
    })
  )
})

describe("beside queries that end their processes", () => {
  it.live(
    "small ones of others are answered, and they are told so",
    () =>
      Effect.gen(function* () {
        const { client, directory } = yield* start({ engines: 2 })
        const killers = Effect.forEach(ways, (how) => ask(client, `kill ${how}`), {
          concurrency: "unbounded"
        })
        const [answers] = yield* Effect.all([killers, others(client, 100)], { concurrency: "unbounded" })
        assert.deepStrictEqual(
          answers,
          ways.map(() => "engine_lost")
        )
        assert.strictEqual(yield* ask(client, "lose"), "engine_lost")
        yield* others(client, 20)
        // Nothing is left of those that have ended.
        yield* Poll.until("their directories are removed", () => readdirSync(directory).length <= 2)
      }),
    slow
  )

  it.live("a result of which a part has arrived ends with an error", () =>
    Effect.gen(function* () {
      const { live } = yield* start({ engines: 1 })
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request(JSON.stringify({ version: "v1", query: "partly segmentation", format: "text/csv" }))
      const { accept, end, result } = yield* Response.take(peer)
      assert.isDefined(accept)
      assert.isAbove(result.length, 0)
      assert.match(end, /^E /)
      const error = QueryApi.decodeError(Buffer.from(end.slice(2)))
      assert.include(error, { code: "engine_lost", retryable: false })
      assert.match(error.message, /SIGSEGV.*MiB/)
      assert.strictEqual(
        yield* Response.result(peer, JSON.stringify({ version: "v1", query: "echo" })),
        "echo"
      )
    })
  )
})

describe("beside queries that do not stop", () => {
  it.live(
    "small ones of others are answered, and they end by cancel, timeout, or the client's leaving",
    () =>
      Effect.gen(function* () {
        const { client, live } = yield* start({ engines: 2 })
        const cancelled = (how: string) =>
          Effect.gen(function* () {
            const peer = yield* LiveServer.connect(live.address)
            yield* peer.request(JSON.stringify({ version: "v1", query: `stuck ${how}` }))
            yield* peer.cancel
            assert.strictEqual((yield* Response.take(peer)).end, "K", how)
          })
        const late = Effect.map(ask(client, "after uninterruptible", { timeoutMs: 50 }), (answer) =>
          assert.strictEqual(answer, "timeout")
        )
        for (const how of stubborn) {
          yield* Effect.all([cancelled(how), others(client, 50)], { concurrency: "unbounded" })
        }
        yield* Effect.all([late, others(client, 50)], { concurrency: "unbounded" })
        const leaver = yield* LiveServer.connect(live.address)
        yield* leaver.request(JSON.stringify({ version: "v1", query: "stuck uninterruptible" }))
        yield* leaver.close
        yield* live.event("Aborted")
        yield* live.stop
      }),
    slow
  )
})

/** Has this process do with so many descriptors for the scope. */
const withDescriptors = (most: number) => {
  const limit = (soft: number | string) =>
    execFileSync("prlimit", [`--pid=${process.pid}`, `--nofile=${soft}:`])
  const [, before = ""] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? []
  return Effect.acquireRelease(
    Effect.sync(() => limit(most)),
    () => Effect.sync(() => limit(before))
  )
}

describe.runIf(linux)("a process of an engine", () => {
  it.live("is replaced although the directory of all is gone", () =>
    Effect.gen(function* () {
      const { client, directory } = yield* start({ engines: 1 })
      const before = yield* ask(client, "pid")
      renameSync(directory, `${directory}-gone`)
      process.kill(Number(before), "SIGKILL")
      const isAnother = Effect.map(ask(client, "pid"), (pid) => /^\d+$/.test(pid) && pid !== before)
      yield* Poll.untilEffect(() => "another one answers", Effect.orDie(isAnother))
      renameSync(`${directory}-gone`, directory)
    })
  )

  it.live("that cannot be started for want of descriptors is started once there are some", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const logger = Logger.make(({ message }) => void log.push(String(message)))
      const { client } = yield* Effect.provide(start({ engines: 1 }), Logger.layer([logger]))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* withDescriptors(readdirSync("/proc/self/fd").length + 50)
          process.kill(Number(yield* ask(client, "pid")), "SIGKILL")
          yield* Poll.until("it cannot be started", () => log.some((line) => /EMFILE.*ulimit -n/.test(line)))
        })
      )
      const answers = Effect.map(ask(client, "echo"), (answer) => answer === "echo")
      yield* Poll.untilEffect(() => "it answers", Effect.orDie(answers))
    })
  )

  it.live(
    "is named, has a memory limit, goes before its parent when memory is out, and ends with the scope",
    () =>
      Effect.gen(function* () {
        const score = () => readFileSync("/proc/self/oom_score_adj", "utf8").trim()
        const own = score()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { client } = yield* start({ engines: 2 })
            const pid = yield* ask(client, "pid")
            assert.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"), /^tested engine 1/)
            const limits = readFileSync(`/proc/${pid}/limits`, "utf8")
            assert.match(limits, /^Max data size\s+\d+/m)
            assert.match(limits, /^Max core file size\s+0/m)
            const adjusted = readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim()
            assert.strictEqual(Number(adjusted), Math.min(1000, Number(own) + 500))
            assert.strictEqual(score(), own)
            yield* Poll.until("the spare one is there", () => children().length === 2)
          })
        )
        assert.deepStrictEqual(children(), [])
      })
  )
})
