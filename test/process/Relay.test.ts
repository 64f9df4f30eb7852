import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as TestClock from "effect/testing/TestClock"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { type Engine, QueryEngine, QueryFailed, QueryRejected } from "../../src/engine/QueryEngine.ts"
import * as MemoryProcess from "../support/MemoryProcess.ts"
import * as Served from "../support/Served.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** What an engine is asked for, by the process that is asked: `1 init echo`. */
type Log = Array<string>

/**
 * An engine that does what a request's first word says. `stuck` and `stuckLater` do not stop when they have to; `late`
 * answers after a second.
 */
const engineOf = (nth: number, log: Log): Engine => {
  const stuck = Effect.uninterruptible(Effect.never)
  const accept = (chunks: Stream.Stream<Uint8Array, QueryFailed>) =>
    Effect.succeed({ payload: encoder.encode("yes"), chunks })
  const first = Stream.succeed(encoder.encode("first"))
  return QueryEngine.of({
    init: (request) =>
      Effect.suspend(() => {
        const text = decoder.decode(request)
        log.push(`${nth} ${text}`)
        switch (text.split(" ")[0]) {
          case "reject":
            return Effect.fail(new QueryRejected({ payload: encoder.encode("no") }))
          case "fail":
            return accept(
              Stream.concat(first, Stream.fail(new QueryFailed({ payload: encoder.encode("broke") })))
            )
          case "starved":
          case "starvedLater": {
            if (nth > 1 && !text.includes("everywhere")) return accept(first)
            const payload = QueryApi.encodeError(
              QueryApi.queryError("out_of_memory", `none in ${nth}`, { retryable: true })
            )
            return text.startsWith("starvedLater")
              ? accept(Stream.fail(new QueryFailed({ payload })))
              : Effect.fail(new QueryRejected({ payload }))
          }
          case "shaken":
          case "shakenLater":
          case "shakenAmid": {
            const attempts = log.filter((line) => line.endsWith(text)).length
            if (attempts > Number(text.split(" ")[1])) return accept(first)
            const payload = QueryApi.encodeError(
              QueryApi.queryError("engine_lost", `by another, ${attempts}`, { retryable: true })
            )
            if (text.startsWith("shaken ")) return Effect.fail(new QueryRejected({ payload }))
            const failed = Stream.fail(new QueryFailed({ payload }))
            return accept(text.startsWith("shakenAmid") ? Stream.concat(first, failed) : failed)
          }
          case "silent":
            return Effect.never
          case "accepted":
            return accept(Stream.never)
          case "partial":
            return accept(Stream.concat(first, Stream.never))
          case "stuck":
            return stuck
          case "stuckLater":
            return accept(Stream.fromEffect(stuck))
          case "late":
            return Effect.andThen(Effect.sleep(1000), accept(first))
          default:
            return accept(Stream.succeed(request))
        }
      })
  })
}

const world = Effect.fnUntraced(function* (options: Partial<MemoryProcess.Options> = {}) {
  const log: Log = []
  const made = yield* MemoryProcess.make({ engine: (nth) => engineOf(nth, log), ...options })
  // The spare process is there too.
  yield* TestClock.adjust(1)
  yield* Served.settle
  return { ...made, log }
})

/** The response to a request in short: `A yes chunk F`, `J no`. */
const ask = (engine: Engine, request: string) =>
  Effect.gen(function* () {
    const { chunks, payload } = yield* engine.init(encoder.encode(request))
    let text = `A ${decoder.decode(payload)}`
    const ended = yield* Effect.exit(
      Stream.runForEach(chunks, (chunk) =>
        Effect.sync(() => {
          text += ` ${decoder.decode(chunk)}`
        })
      )
    )
    if (Exit.isSuccess(ended)) return `${text} F`
    const error = Cause.findErrorOption(ended.cause)
    return error._tag === "Some" ? `${text} E ${decoder.decode(error.value.payload)}` : `${text} died`
  }).pipe(
    Effect.scoped,
    Effect.catchTag("QueryRejected", ({ payload }) => Effect.succeed(`J ${decoder.decode(payload)}`))
  )

const begin = (engine: Engine, request: string) =>
  Effect.tap(Effect.forkChild(ask(engine, request)), () => Served.settle)

const passes = Effect.fnUntraced(function* (duration: number) {
  yield* TestClock.adjust(duration)
  yield* Served.settle
})

const bodyOf = (response: string) =>
  QueryApi.decodeError(encoder.encode(response.slice(response.indexOf("{"))))

describe("a relay", () => {
  it.effect("passes requests and responses on as they are", () =>
    Effect.gen(function* () {
      const { engine } = yield* world()
      assert.strictEqual(yield* ask(engine, "echo 1"), "A yes echo 1 F")
      assert.strictEqual(yield* ask(engine, "reject"), "J no")
      assert.strictEqual(yield* ask(engine, "fail"), "A yes first E broke")
    })
  )

  it.effect("is told that the engine has been closed, rather than to wait for it", () =>
    Effect.gen(function* () {
      const { engine } = yield* Effect.scoped(world())
      assert.match(yield* ask(engine, "echo"), /^J .*shutting_down/)
    })
  )

  it.effect("passes on an interruption, and goes on with the process", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world({ supervisor: { processes: 1 } })
      for (const request of ["silent", "accepted", "partial"]) {
        const query = yield* begin(engine, request)
        yield* Fiber.interrupt(query)
        assert.strictEqual(yield* ask(engine, "echo"), "A yes echo F")
      }
      assert.strictEqual(processes.length, 1)
    })
  )

  it.effect("tells a process what the one before it has noted", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world({ supervisor: { processes: 1 } })
      processes[0]?.listener.noted("a")
      processes[0]?.crash()
      assert.strictEqual(yield* ask(engine, "echo"), "A yes echo F")
      assert.deepStrictEqual(
        processes.map(({ notes }) => notes),
        [[], ["a"]]
      )
    })
  )

  it.effect("runs a query in the span that its request asks for", () =>
    Effect.gen(function* () {
      const { engine } = yield* world()
      const spans: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const request = (traceparent: string) => JSON.stringify({ version: "v1", query: "q", traceparent })
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const body = request(`00-${traceId}-b7ad6b7169203331-01`)
      assert.strictEqual(yield* Effect.withTracer(ask(engine, body), tracer), `A yes ${body} F`)
      yield* Effect.withTracer(ask(engine, request("nonsense")), tracer)
      assert.deepStrictEqual(
        spans.map(({ name, status, traceId }) => [name, traceId, status._tag]),
        [["dataconn.query", traceId, "Ended"]]
      )
    })
  )

  it.effect(
    "runs a query in another process that finds no memory in one, once, unless it may change something",
    () =>
      Effect.gen(function* () {
        const { engine, log } = yield* world()
        for (const request of ["starved", "starvedLater"]) {
          const query = yield* begin(engine, request)
          yield* passes(200)
          assert.strictEqual(yield* Fiber.join(query), "A yes first F")
        }
        for (const [request, said] of [
          ["starved everywhere", /^J .*none in 2/],
          ["starvedLater everywhere", /^A yes E .*none in 2/]
        ] as const) {
          const query = yield* begin(engine, request)
          yield* passes(200)
          assert.match(yield* Fiber.join(query), said)
        }
        assert.lengthOf(log, 8)
        const writing = yield* world({ changes: true, supervisor: { processes: 1 } })
        assert.match(yield* ask(writing.engine, "starved"), /^J .*none in 1/)
        assert.lengthOf(writing.log, 1)
      })
  )

  it.effect.each<[request: string, changes: boolean, said: RegExp]>([
    ["shaken 3", false, /^A yes first F$/],
    ["shakenLater 3", false, /^A yes first F$/],
    ["shaken 4", false, /^J .*by another, 4/],
    ["shakenLater 4", false, /^A yes E .*by another, 4/],
    ["shakenAmid 1", false, /^A yes first E .*by another, 1/],
    ["shaken 1", true, /^J .*by another, 1/],
    ["shakenLater 1", true, /^A yes E .*by another, 1/]
  ])(
    "runs %s again after the fault of another, where nobody can tell (changes: %s)",
    ([request, changes, said]) =>
      Effect.gen(function* () {
        const { engine } = yield* world({ changes })
        const query = yield* begin(engine, request)
        for (let again = 0; again < 4; again++) yield* passes(200)
        assert.match(yield* Fiber.join(query), said)
      })
  )

  it.effect("puts new queries where no long one runs", () =>
    Effect.gen(function* () {
      const { engine, log } = yield* world()
      yield* begin(engine, "silent")
      yield* passes(2000)
      for (let i = 0; i < 3; i++) yield* ask(engine, "echo")
      assert.deepStrictEqual(log, ["1 silent", "2 echo", "2 echo", "2 echo"])
    })
  )
})

describe("a query that does not stop", () => {
  for (const request of ["stuck", "stuckLater"]) {
    it.effect(`(${request}) is killed with its process within the grace, and ends when that is gone`, () =>
      Effect.gen(function* () {
        const { engine, processes } = yield* world()
        const query = yield* begin(engine, request)
        const stopped = yield* Effect.forkChild(Fiber.interrupt(query))
        yield* passes(1900)
        assert.deepStrictEqual(processes[0]?.did, [])
        assert.isUndefined(query.pollUnsafe())
        yield* passes(200)
        assert.deepStrictEqual(processes[0]?.did, ["kill"])
        yield* Fiber.join(stopped)
        assert.strictEqual(yield* ask(engine, "echo"), "A yes echo F")
      })
    )
  }

  it.effect("is ended by its own timeout", () =>
    Effect.gen(function* () {
      const request = JSON.stringify({ version: "v1", query: "stuck", timeoutMs: 500 })
      const { engine, processes } = yield* world({
        engine: () => QueryEngine.of({ init: () => Effect.uninterruptible(Effect.never) })
      })
      const query = yield* begin(engine, request)
      yield* passes(3000)
      assert.deepStrictEqual(processes[0]?.did, ["kill"])
      const text = yield* Fiber.join(query)
      assert.match(text, /^J /)
      assert.strictEqual(bodyOf(text).code, "timeout")
    })
  )

  it.effect("costs its neighbours nothing but time, unless some of their results has been passed on", () =>
    Effect.gen(function* () {
      const { engine, log } = yield* world({ supervisor: { processes: 1 } })
      const stuck = yield* begin(engine, "stuck")
      const late = yield* begin(engine, "late")
      const partial = yield* begin(engine, "partial")
      yield* Effect.forkChild(Fiber.interrupt(stuck))
      // The neighbour begins when the process is nearly killed.
      yield* passes(1990)
      const beside = yield* begin(engine, "accepted")
      yield* passes(20)
      const text = yield* Fiber.join(partial)
      assert.match(text, /^A yes first E /)
      assert.include(bodyOf(text), { code: "engine_lost", retryable: true })
      assert.strictEqual(yield* Fiber.join(late), "A yes first F")
      yield* passes(1)
      assert.deepStrictEqual(log, ["1 stuck", "1 late", "1 partial", "1 accepted", "2 accepted"])
      yield* Fiber.interrupt(beside)
    })
  )
})

describe("a process that ends by itself", () => {
  it.effect(
    "is replaced, and its queries are run again, alone, the youngest first, while others go elsewhere",
    () =>
      Effect.gen(function* () {
        const { engine, log, processes } = yield* world()
        const first = yield* begin(engine, "late 1")
        const other = yield* begin(engine, "accepted 2")
        yield* passes(1)
        const second = yield* begin(engine, "late 3")
        assert.deepStrictEqual(log, ["1 late 1", "2 accepted 2", "1 late 3"])
        processes[0]?.crash()
        yield* passes(10)
        // One suspect at a time.
        assert.strictEqual(log.at(-1), "3 late 3")
        yield* ask(engine, "echo")
        assert.strictEqual(log.at(-1), "2 echo")
        yield* passes(1100)
        assert.strictEqual(log.at(-1), "3 late 1")
        yield* passes(1100)
        for (const query of [first, second]) assert.strictEqual(yield* Fiber.join(query), "A yes first F")
        assert.isUndefined(other.pollUnsafe())
        yield* Fiber.interrupt(other)
      })
  )

  it.effect("twice with one query has that told so, and refused from then on", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world({ supervisor: { processes: 1 } })
      const killer = yield* begin(engine, "silent killer")
      processes[0]?.crash()
      yield* passes(10)
      assert.deepStrictEqual(log, ["1 silent killer", "2 silent killer"])
      processes[1]?.crash()
      yield* passes(200)
      const text = yield* Fiber.join(killer)
      assert.match(text, /^J /)
      assert.include(bodyOf(text), { code: "engine_lost", retryable: false })
      assert.include(bodyOf(text).message, "twice")
      assert.include(bodyOf(text).message, "SIGSEGV")
      assert.match(yield* ask(engine, "silent killer"), /^J .*engine_lost/)
      assert.strictEqual(log.length, 2)
      assert.strictEqual(yield* ask(engine, "echo"), "A yes echo F")
    })
  )

  it.effect("by the memory of its only query is not run again", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world()
      const taker = yield* begin(engine, "silent")
      processes[0]?.crash({ code: 1, signal: null, isOutOfMemory: true })
      const text = yield* Fiber.join(taker)
      assert.match(text, /^J /)
      assert.include(bodyOf(text), { code: "out_of_memory", retryable: false })
      assert.include(bodyOf(text).message, "threadMemory")
      assert.deepStrictEqual(log, ["1 silent"])
    })
  )

  it.effect("because somebody killed it convicts nobody", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world({ supervisor: { processes: 1 } })
      const query = yield* begin(engine, "late")
      const killed = { code: null, signal: "SIGKILL" }
      processes[0]?.crash(killed)
      yield* passes(10)
      processes[1]?.crash(killed)
      yield* passes(200)
      assert.match(yield* Fiber.join(query), /^J .*engine_lost/)
      const again = yield* begin(engine, "late")
      yield* passes(1000)
      assert.strictEqual(yield* Fiber.join(again), "A yes first F")
    })
  )

  it.effect("ends a response of which some has been passed on, with what is known", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world()
      const query = yield* begin(engine, "partial")
      processes[0]?.listener.beat(300 * 1024 ** 2, [])
      processes[0]?.crash()
      const text = yield* Fiber.join(query)
      assert.match(text, /^A yes first E /)
      const error = bodyOf(text)
      assert.include(error, { code: "engine_lost", retryable: false })
      assert.include(error.message, "SIGSEGV")
      assert.include(error.message, "300 MiB")
    })
  )

  const losses: ReadonlyArray<
    readonly [how: string, end: (process: MemoryProcess.MemoryProcess) => void, error: object]
  > = [
    ["fault", ({ crash }) => crash(), { code: "engine_lost", retryable: false }],
    ["failure", ({ listener }) => listener.failed("a defect"), { code: "engine_lost", retryable: false }],
    [
      "memory",
      ({ crash }) => crash({ code: 1, signal: null, isOutOfMemory: true }),
      { code: "out_of_memory", retryable: false }
    ],
    [
      "kill",
      ({ crash }) => crash({ code: null, signal: "SIGKILL" }),
      { code: "engine_lost", retryable: true }
    ]
  ]
  for (const [how, end, alone] of losses) {
    it.effect(
      `is not retried by the only query whose response had begun, and is by its neighbours: ${how}`,
      () =>
        Effect.gen(function* () {
          const { engine, processes } = yield* world({ supervisor: { processes: 1 } })
          for (const [nth, expected] of [alone, { code: "engine_lost", retryable: true }].entries()) {
            const query = yield* begin(engine, "partial")
            const neighbour = yield* begin(engine, nth === 0 ? "echo" : "accepted")
            const process = processes[nth]
            if (process !== undefined) end(process)
            yield* passes(10)
            assert.include(bodyOf(yield* Fiber.join(query)), expected)
            yield* Fiber.interrupt(neighbour)
            yield* passes(10)
          }
        })
    )
  }

  it.effect("twice with one query convicts it also where its response has begun the second time", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world({
        supervisor: { processes: 1 },
        engine: (nth) =>
          QueryEngine.of({
            init: () => engineOf(nth, []).init(encoder.encode(nth === 1 ? "silent" : "partial"))
          })
      })
      const query = yield* begin(engine, "x")
      for (const nth of [0, 1]) {
        processes[nth]?.crash({ code: null, signal: "SIGKILL" })
        yield* passes(10)
      }
      const error = bodyOf(yield* Fiber.join(query))
      assert.include(error, { code: "engine_lost", retryable: false })
      assert.include(error.message, "twice")
    })
  )

  it.effect("may be tried again by clients whose queries change nothing before their commit", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world({
        changes: true,
        commits: true,
        supervisor: { processes: 1 }
      })
      const queries = [yield* begin(engine, "silent"), yield* begin(engine, "silent too")]
      processes[0]?.crash()
      yield* passes(200)
      for (const query of queries) {
        const response = yield* Fiber.join(query)
        assert.include(bodyOf(response.slice(response.indexOf(" E "))), {
          code: "engine_lost",
          retryable: true
        })
      }
      assert.lengthOf(log, 2)
    })
  )

  it.effect("is told to queries that may have changed something, none of which is run again", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world({ changes: true, supervisor: { processes: 1 } })
      const request = JSON.stringify({ version: "v1", query: "x", format: "text/csv", queryId: "mine" })
      for (const [nth, text] of [`silent`, `accepted`].entries()) {
        const query = yield* begin(engine, text)
        processes[nth]?.crash()
        yield* passes(200)
        const response = yield* Fiber.join(query)
        // No reject: that would say that nothing was run.
        assert.match(response, /^A .* E /)
        assert.include(bodyOf(response.slice(response.indexOf(" E "))), {
          code: "engine_lost",
          retryable: false
        })
      }
      assert.deepStrictEqual(log, ["1 silent", "2 accepted"])
      const silent = yield* world({
        changes: true,
        supervisor: { processes: 1 },
        engine: () => QueryEngine.of({ init: () => Effect.never })
      })
      const query = yield* begin(silent.engine, request)
      silent.processes[0]?.crash()
      yield* passes(10)
      const response = yield* Fiber.join(query)
      assert.match(response, /^A \{"format":"text\/csv","queryId":"mine"\} E /)
    })
  )
})

describe("a process that is lost at any step", () => {
  const whole: Readonly<Record<string, string>> = {
    "echo 1": "A yes echo 1 F",
    fail: "A yes first E broke",
    reject: "J no",
    late: "A yes first F"
  }
  const lost = /^(J|A yes( first)? E) \{"code":"engine_lost"/

  it.effect("leaves every response whole or lost, every place free, and the other queries alone", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      for (let step = 0; step < 60; step++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { engine, processes } = yield* world({ supervisor: { processes: 1 } })
            const asked = yield* Effect.forEach(Object.entries(whole), ([request, expected]) =>
              Effect.map(Effect.forkChild(ask(engine, request)), (fiber) => ({ request, expected, fiber }))
            )
            for (let i = 0; i < step; i++) yield* Effect.yieldNow
            processes[0]?.crash()
            yield* passes(200)
            yield* passes(4000)
            for (const { expected, fiber, request } of asked) {
              const answer = yield* Fiber.join(fiber)
              if (answer !== expected) assert.match(answer, lost, `${request} at step ${step}`)
              seen.add(answer === expected ? `${request} is whole` : `${request} is lost`)
            }
            // As many as there are places.
            const after = yield* Effect.forEach(Array.from({ length: 4 }), () => begin(engine, "late"))
            yield* passes(1100)
            for (const fiber of after) assert.strictEqual(yield* Fiber.join(fiber), "A yes first F")
          })
        )
      }
      // One loss alone is never told to a query of whose result nothing has arrived.
      assert.includeMembers(
        [...seen],
        Object.keys(whole).map((request) => `${request} is whole`)
      )
    })
  )
})

describe("requests without a process", () => {
  it.effect("wait for one, for as long as they may, and as many as may", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world({
        supervisor: { processes: 1, maxWaiting: 2, waitMillis: 5000 },
        isReady: (nth) => nth === 1
      })
      processes[0]?.crash()
      yield* passes(10)
      const waiting = [yield* begin(engine, "echo 1"), yield* begin(engine, "echo 2")]
      const beyond = yield* ask(engine, "echo 3")
      assert.match(beyond, /^J .*overloaded/)
      yield* passes(4000)
      processes[1]?.listener.ready()
      yield* Served.settle
      assert.strictEqual(yield* Fiber.join(waiting[0] as Fiber.Fiber<string>), "A yes echo 1 F")
      assert.strictEqual(yield* Fiber.join(waiting[1] as Fiber.Fiber<string>), "A yes echo 2 F")
      processes[1]?.crash()
      yield* passes(10)
      const late = yield* begin(engine, "echo 4")
      yield* passes(5000)
      assert.match(yield* Fiber.join(late), /^J .*overloaded/)
    })
  )

  it.effect("are rejected at once while processes fail to start again and again", () =>
    Effect.gen(function* () {
      const { engine, processes } = yield* world({
        supervisor: { processes: 1 },
        isReady: (nth) => nth === 1
      })
      const fails = (nth: number) => {
        processes[nth]?.listener.failed("a file is gone")
        processes[nth]?.crash()
      }
      processes[0]?.crash()
      yield* passes(10)
      const waiting = yield* begin(engine, "echo 1")
      fails(1)
      yield* passes(10)
      // The third process comes after a while, and the engine may have met with something that passes.
      assert.match(yield* Fiber.join(waiting), /^J .*engine_lost.*cannot be started.*"retryable":true/)
      assert.match(yield* ask(engine, "echo 2"), /^J .*cannot be started/)
      yield* passes(100)
      processes[2]?.listener.ready()
      yield* Served.settle
      assert.strictEqual(yield* ask(engine, "echo 3"), "A yes echo 3 F")
    })
  )

  it.effect("have a place kept for them by capacity only", () =>
    Effect.gen(function* () {
      const { engine, log } = yield* world({ supervisor: { processes: 1 } })
      for (let i = 0; i < 4; i++) yield* begin(engine, `late ${i}`)
      const fifth = yield* begin(engine, "echo")
      assert.strictEqual(log.length, 4)
      yield* passes(1000)
      assert.strictEqual(yield* Fiber.join(fifth), "A yes echo F")
    })
  )
})

describe("a process", () => {
  it.effect("that gives no sign of life is killed, and its query answered by another", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world()
      const query = yield* begin(engine, "silent")
      // The query sleeps in the first process, which says nothing.
      for (let i = 0; i < 6; i++) {
        processes[1]?.listener.beat(0, [])
        yield* passes(1000)
      }
      assert.deepStrictEqual(processes[0]?.did, ["kill"])
      assert.deepStrictEqual(processes[1]?.did, [])
      assert.deepStrictEqual(log, ["1 silent", "2 silent"])
      yield* Fiber.interrupt(query)
    })
  )

  it.effect("that was killed need not be gone before its query is answered by another", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world({ dies: false })
      const query = yield* begin(engine, "silent")
      for (let i = 0; i < 6; i++) {
        processes[1]?.listener.beat(0, [])
        yield* passes(1000)
      }
      assert.deepStrictEqual(log, ["1 silent", "2 silent"])
      assert.deepStrictEqual(processes[0]?.did, ["kill"])
      yield* passes(1000)
      assert.deepStrictEqual(processes[0]?.did, ["kill", "abandon"])
      yield* Fiber.interrupt(query)
      for (const { crash } of processes) crash()
    })
  )

  it.effect("that is silent is given no new query before it gives a sign of life", () =>
    Effect.gen(function* () {
      const { lifecycle } = MemoryProcess.defaults
      const { engine, log, processes } = yield* world({
        supervisor: { lifecycle: { ...lifecycle, silentTicks: 2 } }
      })
      for (let i = 0; i < 2; i++) {
        yield* passes(1000)
        processes[1]?.listener.beat(0, [])
      }
      yield* ask(engine, "one")
      yield* ask(engine, "two")
      assert.deepStrictEqual(log, ["2 one", "2 two"])
      yield* passes(1000)
      yield* passes(1000)
      const waiting = yield* begin(engine, "three")
      assert.deepStrictEqual(log, ["2 one", "2 two"])
      processes[0]?.listener.beat(0, [])
      assert.strictEqual(yield* Fiber.join(waiting), "A yes three F")
      assert.strictEqual(log.at(-1), "1 three")
    })
  )

  it.effect("that is exhausted is given no new query, and replaced when its last one has ended", () =>
    Effect.gen(function* () {
      const { engine, log, processes } = yield* world({ supervisor: { processes: 1 } })
      const running = yield* begin(engine, "late")
      processes[0]?.listener.exhausted()
      const waiting = yield* begin(engine, "two")
      yield* passes(1000)
      assert.strictEqual(yield* Fiber.join(running), "A yes first F")
      assert.deepStrictEqual(log, ["1 late"])
      yield* passes(1000)
      assert.strictEqual(yield* Fiber.join(waiting), "A yes two F")
      assert.deepStrictEqual(log, ["1 late", "2 two"])
    })
  )

  it.effect(
    "tells with its signs of life how far its queries are, and so does the one that runs them again",
    () =>
      Effect.gen(function* () {
        const { engine, processes } = yield* world({
          engine: (nth) =>
            QueryApi.makeEngine({
              formats: ["text/csv"],
              run: () => Effect.succeed({ progress: () => ({ fraction: nth / 4 }), chunks: Stream.never })
            })
        })
        const query = { query: "x", format: "text/csv", progress: true } as const
        const accepted = yield* engine.init(QueryApi.encodeRequest(query))
        yield* Effect.forkScoped(Stream.runDrain(accepted.chunks))
        yield* Served.settle
        assert.deepStrictEqual(accepted.progress?.(), {})
        processes[0]?.beat()
        assert.deepStrictEqual(accepted.progress?.(), { fraction: 0.25 })
        processes[0]?.crash()
        yield* passes(1000)
        processes[1]?.beat()
        assert.deepStrictEqual(accepted.progress?.(), { fraction: 0.5 })
        const other = yield* engine.init(QueryApi.encodeRequest({ ...query, progress: false }))
        assert.isUndefined(other.progress)
      })
  )

  it.effect("that cannot start at first fails the engine with its words", () =>
    Effect.gen(function* () {
      const failing = MemoryProcess.make({
        engine: (nth) => engineOf(nth, []),
        isReady: () => false
      })
      const made = yield* Effect.forkChild(Effect.scoped(Effect.flip(failing)))
      yield* passes(11_000)
      const error = yield* Fiber.join(made)
      assert.include(error.message, "engineStartTimeout")
    })
  )

  it.effect("is asked to end with the scope, and killed if it does not", () =>
    Effect.gen(function* () {
      const { processes } = yield* Effect.scoped(world())
      assert.deepStrictEqual(
        processes.map(({ did }) => did),
        [["ask"], ["ask"]]
      )
      const scope = yield* Scope.make()
      const stubborn = yield* Scope.provide(world({ ends: false }), scope)
      const closed = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Served.settle
      yield* passes(5000)
      yield* Fiber.join(closed)
      assert.deepStrictEqual(
        stubborn.processes.map(({ did }) => did),
        [
          ["ask", "kill"],
          ["ask", "kill"]
        ]
      )
    })
  )
})
