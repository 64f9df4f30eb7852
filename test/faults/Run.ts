/**
 * One conversation between the real client and the real connection, over a socket that fails, and what is
 * left of it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "../../src/client/Client.ts"
import type { ClientError } from "../../src/client/ClientError.ts"
import * as Connection from "../../src/connection/Connection.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/connection/ConnectionEvents.ts"
import * as Settings from "../../src/connection/Settings.ts"
import { QueryEngine, type QueryFailed, type QueryRejected } from "../../src/engine/QueryEngine.ts"
import * as FaultySocket from "../../src/testing/FaultySocket.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"
import type { Conversation } from "./Conversations.ts"

/** Whose socket fails. */
export type Side = "server" | "client"

/** What happens to the connection as a whole while the conversation goes on; `stop` interrupts its end. */
export interface Break {
  readonly atMillis: number
  readonly how: "reset" | "halfClose" | "block" | "stop"
}

export interface Result {
  /** How long both ends took, in milliseconds of the Clock. */
  readonly elapsedMillis: number
  /** What the client's side came to. */
  readonly outcome: string
  /** The operation that failed, if the plan got to it. */
  readonly failed: FaultySocket.Operation | undefined
  /** The steps of the connection, in short. */
  readonly events: string
  /** What is wrong; nothing, if all is well. */
  readonly problems: ReadonlyArray<string>
}

const settings: Settings.Settings = {
  ...Settings.defaults,
  heartbeatInterval: 1000,
  writeTimeout: 3000,
  requestTimeout: 3000,
  queryTimeout: 20_000,
  idleTimeout: 10_000
}

const clientSettings = { heartbeatTolerance: 3000, cancelTimeout: 2000, writeTimeout: 3000 }

/** No limit of the two ends is longer. Who has not ended by then hangs. */
const limitMillis = 60_000
export const tickMillis = 100

const decoder = new TextDecoder()

/** What a payload says: its code, if it is one of the server's own. */
const said = (payload: Uint8Array): string => {
  const text = decoder.decode(payload)
  return text.startsWith("{") ? JSON.parse(text).code : text
}

/** A failure of the client's side: one of its typed errors, or the whole cause of what must not be. */
const failure = (cause: Cause.Cause<ClientError | QueryRejected | QueryFailed>): string => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None" || cause.reasons.length > 1) return Cause.pretty(cause)
  const { value } = error
  return value._tag === "ClientError"
    ? `${value._tag} ${value.reason._tag}`
    : `${value._tag} ${said(value.payload)}`
}

/** Counts what begins and ends: the fibers of a run, and its sleeps. */
class Living {
  fibers = 0
  sleeps = 0

  /** The effect, and whatever it forks, counted. */
  fork<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> {
    return Clock.clockWith((clock) =>
      Effect.forkChild(effect, { startImmediately: true }).pipe(
        Effect.provideService(Clock.Clock, this.clock(clock)),
        Effect.provideService(Metric.FiberRuntimeMetrics, {
          recordFiberStart: () => void this.fibers++,
          recordFiberEnd: () => void this.fibers--
        })
      )
    )
  }

  private clock(clock: Clock.Clock): Clock.Clock {
    return Object.setPrototypeOf(
      {
        sleep: (duration: Parameters<Clock.Clock["sleep"]>[0]) =>
          Effect.acquireUseRelease(
            Effect.sync(() => void this.sleeps++),
            () => clock.sleep(duration),
            () => Effect.sync(() => void this.sleeps--)
          )
      },
      clock
    )
  }
}

const terminal = new Set<ConnectionEvent["_tag"]>(["Completed", "Cancelled", "Failed", "Rejected", "Aborted"])

/** Plays the conversation, with the Clock moved on until both ends are done. */
export const run = Effect.fnUntraced(function* (
  conversation: Conversation,
  side: Side,
  plan: FaultySocket.Plan,
  broken?: Break
): Effect.fn.Return<Result> {
  const [near, far] = yield* MemorySocket.pair()
  const faulty = FaultySocket.make(side === "server" ? near : far, plan)
  const engine = yield* StepEngine.make({ finalizerMillis: conversation.finalizerMillis })
  const events: Array<ConnectionEvent["_tag"]> = []
  let detail = ""
  const living = new Living()

  const connection = Connection.make(side === "server" ? faulty.socket : near, {
    info: Served.info,
    settings
  })
  const serving = yield* connection.run.pipe(
    Effect.provideService(QueryEngine, engine.engine),
    Effect.provideService(ConnectionEvents, {
      publish: (event) =>
        Effect.sync(() => {
          events.push(event._tag)
          if (event._tag === "Closed") detail = event.detail
        })
    }),
    (effect) => living.fork(effect)
  )
  const script = yield* Effect.forkChild(conversation.server(engine, connection))
  const socket = side === "client" ? faulty.socket : far
  // A connection that failed ends for the server too, without waiting for the client to close its scope.
  const andTheServer = (error: ClientError | QueryRejected | QueryFailed) =>
    error._tag === "ClientError" ? Fiber.await(serving) : Effect.void
  const using = yield* Client.make(socket, clientSettings).pipe(
    Effect.flatMap((client) => Effect.tapError(conversation.client(client), andTheServer)),
    Effect.scoped,
    (effect) => living.fork(effect)
  )

  const ended = () => serving.pollUnsafe() !== undefined && using.pollUnsafe() !== undefined
  let elapsedMillis = 0
  while (elapsedMillis < limitMillis) {
    if (elapsedMillis === broken?.atMillis) {
      if (broken.how === "stop") (side === "server" ? serving : using).interruptUnsafe()
      else yield* faulty[broken.how]
    }
    yield* Served.settle
    if (ended()) break
    yield* TestClock.adjust(tickMillis)
    elapsedMillis += tickMillis
  }

  const problems: Array<string> = []
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem)
  }
  const exit = using.pollUnsafe()
  const served = serving.pollUnsafe()
  const failed = faulty.failed()
  const outcome = exit === undefined ? "hangs" : Exit.isSuccess(exit) ? exit.value : failure(exit.cause)
  const count = (holds: (tag: ConnectionEvent["_tag"]) => boolean) => events.filter(holds).length
  const began = engine.log.filter((line) => line !== "ended").length

  expect(exit !== undefined, "the client hangs")
  expect(served !== undefined, "the connection hangs")
  const stopped = (of: Side) => side === of && broken?.how === "stop"
  expect(stopped("server") || served === undefined || Exit.isSuccess(served), "the connection failed")
  expect(engine.log.length === 2 * began, `queries: ${engine.log.join(", ")}`)
  expect(
    outcome === conversation.outcome ||
      stopped("client") ||
      ((failed ?? broken) !== undefined && /^ClientError \w+$/.test(outcome)),
    `the client's end: ${outcome}`
  )
  // Only an end that never opened its socket, or whose writes hang, cannot tell the other in time.
  expect(
    failed === "open" || broken?.how === "block" || !outcome.endsWith("ServerSilent"),
    "the client was not told"
  )
  // A close of the server's own that has begun by then is a reason too.
  expect(
    side === "client" ||
      failed === undefined ||
      failed === "close" ||
      detail === conversation.closing ||
      detail.startsWith(`${failed} failed`),
    `the connection says that it ended for another reason: ${detail}`
  )
  expect(count((tag) => tag === "Opened") === 1 && events[0] === "Opened", "not one Opened, first")
  expect(count((tag) => tag === "Closed") === 1 && events.at(-1) === "Closed", "not one Closed, last")
  expect(
    count((tag) => tag === "Request") === count((tag) => terminal.has(tag)),
    "not one end of each request"
  )
  expect(living.fibers === 0, `${living.fibers} fibers are left`)
  expect(living.sleeps === 0, `${living.sleeps} sleeps are left`)

  yield* Fiber.interruptAll([script, serving, using])
  return { elapsedMillis, outcome, failed, events: events.join(" "), problems }
})
