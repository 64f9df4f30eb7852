/**
 * Requests at any moment over a pool, of which some are given up, to real connections that answer when they like, break,
 * or close between two requests, and some of which cannot be made.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import type { Client } from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import { QueryEngine, QueryRejected } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Connection from "../../src/server/Connection.ts"
import { ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"
import * as Settings from "../../src/server/Settings.ts"
import { Shutdown } from "../../src/server/Shutdown.ts"
import * as FaultySocket from "../../src/testing/FaultySocket.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import { Living } from "../faults/Living.ts"
import { failure } from "../support/Failure.ts"
import * as Served from "../support/Served.ts"

/** A request, and what the server does with it. Times are in milliseconds. */
interface Asked {
  readonly at: number
  readonly givesUpAfter: number | undefined
  readonly acceptAfter: number
  readonly endAfter: number
  /** A connection that is `closed` takes no request after this one. */
  readonly end: "whole" | "reject" | "reset" | "closed"
}

interface Scenario {
  readonly maxConnections: number
  readonly maxQueuedRequests: number
  readonly idleTimeout: number
  /** Whether requests wait while no connection can be made. */
  readonly waitForReady: 0 | "1 minute"
  /** Which connections are refused, in the order in which they are made. */
  readonly refused: ReadonlyArray<boolean>
  readonly requests: ReadonlyArray<Asked>
}

const millis = (max: number) => fc.nat(max / 10).map((n) => n * 10)

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  maxConnections: fc.integer({ min: 1, max: 3 }),
  maxQueuedRequests: fc.integer({ min: 0, max: 6 }),
  idleTimeout: millis(300).map((n) => n + 10),
  waitForReady: fc.constantFrom(0 as const, "1 minute" as const),
  refused: fc.array(fc.boolean(), { maxLength: 6 }),
  requests: fc.array(
    fc.record({
      at: millis(400),
      givesUpAfter: fc.option(millis(150), { nil: undefined }),
      acceptAfter: millis(60),
      endAfter: millis(60),
      end: fc.constantFrom(
        "whole" as const,
        "whole" as const,
        "reject" as const,
        "reset" as const,
        "closed" as const
      )
    }),
    { maxLength: 14 }
  )
})

const bytes = (text: string) => new TextEncoder().encode(text)

/** The servers of a run, a connection each. */
class Servers {
  open = 0
  mostOpen = 0
  /** Which requests have come, and which of them have been answered with a whole result. */
  readonly come: Array<number> = []
  readonly answered = new Set<number>()
  /** How many connections have been refused. */
  refusals = 0
  private readonly requests: ReadonlyArray<Asked>
  private refused: ReadonlyArray<boolean>

  constructor({ refused, requests }: Scenario) {
    this.requests = requests
    this.refused = refused
  }

  /** Takes all connections from now on. */
  recover(): void {
    this.refused = []
  }

  readonly connect = Effect.gen({ self: this }, function* () {
    const [isRefused = false, ...refused] = this.refused
    this.refused = refused
    if (isRefused) {
      this.refusals++
      return yield* refusal
    }
    const [near, far] = yield* MemorySocket.pair()
    const faulty = FaultySocket.make(near)
    const shutdown = new Shutdown()
    const connection = Connection.serve(Transport.fromSocket(faulty.socket), {
      info: () => Served.info,
      settings: Settings.defaults,
      shutdown
    })
    const engine = QueryEngine.of({
      init: (request) => this.answer(Number(new TextDecoder().decode(request)), faulty, shutdown)
    })
    yield* Effect.forkDetach(
      connection.pipe(
        Effect.provideService(QueryEngine, engine),
        Effect.provideService(ConnectionEvents, { publish: () => Effect.void })
      ),
      { startImmediately: true }
    )
    this.mostOpen = Math.max(this.mostOpen, ++this.open)
    yield* Effect.addFinalizer(() => Effect.sync(() => void this.open--))
    return far
  })

  private answer(id: number, faulty: FaultySocket.FaultySocket, shutdown: Shutdown) {
    return Effect.gen({ self: this }, function* () {
      this.come.push(id)
      const { acceptAfter, end, endAfter } = this.requests[id] ?? whole
      yield* Effect.sleep(acceptAfter)
      if (end === "reject") return yield* new QueryRejected({ payload: bytes("no") })
      const rest = Effect.gen({ self: this }, function* () {
        yield* Effect.sleep(endAfter)
        if (end === "reset") yield* faulty.reset
        if (end === "closed") yield* shutdown.tell("drain")
        this.answered.add(id)
        return bytes(` whole`)
      })
      return {
        payload: bytes("yes"),
        chunks: Stream.concat(Stream.make(bytes(`${id}`)), Stream.fromEffect(rest))
      }
    })
  }
}

const refusal = new Socket.SocketError({
  reason: new Socket.SocketOpenError({ kind: "Unknown", cause: new Error("connection refused") })
})

const whole: Asked = { at: 0, givesUpAfter: undefined, acceptAfter: 10, endAfter: 10, end: "whole" }
const givenUp = "given up"

const ask = (client: Client["Service"], id: number) =>
  client.request(bytes(`${id}`)).pipe(
    Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
    Effect.scoped
  )

/** Plays a scenario, and says what is wrong. */
const play = Effect.fnUntraced(function* (scenario: Scenario) {
  const { idleTimeout, maxConnections, maxQueuedRequests, requests, waitForReady } = scenario
  const problems: Array<string> = []
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem)
  }
  const servers = new Servers(scenario)
  let inFlight = 0
  const request = (client: Client["Service"], asked: Asked, id: number) =>
    Effect.gen(function* () {
      yield* Effect.sleep(asked.at)
      const isOneTooMany = inFlight++ >= maxConnections + maxQueuedRequests
      const asking = ask(client, id)
      const exit = yield* Effect.exit(
        asked.givesUpAfter === undefined
          ? asking
          : Effect.map(
              Effect.timeoutOption(asking, asked.givesUpAfter),
              Option.getOrElse(() => givenUp)
            )
      )
      inFlight--
      const outcome = exit._tag === "Success" ? exit.value : failure(exit)
      const allowed: Record<string, boolean> = {
        [`${id} whole`]: servers.answered.has(id),
        [givenUp]: asked.givesUpAfter !== undefined,
        QueryRejected: asked.end === "reject",
        "ClientError ConnectionLost": asked.end === "reset",
        "ClientError TooManyRequests": isOneTooMany,
        "ClientError ConnectFailed": scenario.waitForReady === 0 && servers.refusals > 0
      }
      expect(allowed[outcome] === true, `request ${id}: ${outcome}`)
    })

  const living = new Living()
  const playing = yield* living.fork(
    Effect.scoped(
      Effect.gen(function* () {
        const client = yield* ClientPool.make(servers.connect, {
          idleTimeout,
          maxConnections,
          maxQueuedRequests,
          waitForReady,
          heartbeatTolerance: "1 hour",
          reconnectDelay: 10,
          maxReconnectDelay: 10
        })
        yield* Effect.forEach(requests, (asked, id) => request(client, asked, id), {
          concurrency: "unbounded",
          discard: true
        })
        yield* Effect.sleep(scenario.idleTimeout + 1)
        expect(servers.open === 0, `${servers.open} connections are open that nobody uses`)
        servers.recover()
        // None has been lost on the way.
        const last = Effect.forEach(
          Array.from({ length: maxConnections }, (_, i) => requests.length + i),
          (id) => ask(client, id),
          { concurrency: "unbounded" }
        )
        const start = yield* Clock.currentTimeMillis
        const texts = yield* Effect.exit(last)
        expect(
          texts._tag === "Success" && texts.value.every((text, i) => text === `${requests.length + i} whole`),
          `the last requests: ${failure(texts)}`
        )
        expect((yield* Clock.currentTimeMillis) - start <= 30, "the last requests waited for each other")
      })
    )
  )
  for (let now = 0; playing.pollUnsafe() === undefined && now < 10_000; now += 10) {
    yield* Served.settle
    yield* TestClock.adjust(10)
  }
  yield* Served.settle
  expect(playing.pollUnsafe()?._tag === "Success", "it hangs")
  expect(servers.mostOpen <= maxConnections, `${servers.mostOpen} connections were open`)
  expect(new Set(servers.come).size === servers.come.length, `sent twice: ${servers.come}`)
  expect(servers.open === 0, `${servers.open} connections are left`)
  expect(living.fibers === 0, `${living.fibers} fibers are left`)
  expect(living.sleeps === 0, `${living.sleeps} sleeps are left`)
  yield* Fiber.interrupt(playing)
  return problems
})

describe("a pool under requests at any moment", () => {
  it("answers each of them once, loses no connection and leaves nothing behind", () =>
    fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        const problems = await play(scenario).pipe(
          Effect.provide(TestClock.layer()),
          Effect.provideService(
            QueryLimit.QueryLimit,
            new QueryLimit.Limit({ maxConcurrentQueries: 100, maxQueuedQueries: 0 })
          ),
          Effect.runPromise
        )
        assert.deepStrictEqual(problems, [])
      }),
      { numRuns: 100 }
    ))
})
