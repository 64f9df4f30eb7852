/**
 * One conversation between the real client and the real connection, over a socket that fails.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "../../src/client/Client.ts"
import type { ClientError } from "../../src/client/ClientError.ts"
import { QueryEngine, type QueryFailed, type QueryRejected } from "../../src/engine/QueryEngine.ts"
import * as Timers from "../../src/loop/Timers.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Connection from "../../src/server/Connection.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as QueryLimit from "../../src/server/QueryLimit.ts"
import * as RequestQuota from "../../src/server/RequestQuota.ts"
import * as Settings from "../../src/server/Settings.ts"
import type { Member } from "../../src/server/Shutdown.ts"
import * as FaultySocket from "../../src/testing/FaultySocket.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import * as Served from "../support/Served.ts"
import type { Conversation } from "./Conversations.ts"
import * as Judge from "./Judge.ts"
import { Living } from "./Living.ts"

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

/** Plays the conversation, with the Clock moved on until both ends are done. */
export const run = Effect.fnUntraced(function* (
  conversation: Conversation,
  side: Judge.Side,
  plan: FaultySocket.Plan,
  broken?: Judge.Break
): Effect.fn.Return<Result> {
  const [near, far] = yield* MemorySocket.pair()
  const faulty = FaultySocket.make(side === "server" ? near : far, plan)
  const engine = yield* StepEngine.make({ finalizerMillis: conversation.finalizerMillis })
  const limit = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 0 })
  const quota = new RequestQuota.Quota(1024 * 1024)
  const events: Array<ConnectionEvent["_tag"]> = []
  let detail = ""
  const living = new Living()
  // As those of a server and of a pool, which outlive their connections.
  const scope = yield* Scope.make()
  const timers = yield* Scope.provide(Timers.make, scope)

  const wired = living.socket(side === "server" ? faulty.socket : near)
  let member: Member | undefined
  const serving = yield* Connection.serve(Transport.fromSocket(wired), {
    info: () => Served.info,
    settings,
    shutdown: {
      join: (joined) =>
        Effect.sync(() => {
          member = joined
        })
    }
  }).pipe(
    Effect.provideService(Timers.Shared, timers),
    Effect.provideService(QueryEngine, engine.engine),
    Effect.provideService(QueryLimit.QueryLimit, limit),
    Effect.provideService(RequestQuota.RequestQuota, quota),
    Effect.provideService(ConnectionEvents, {
      publish: (event) =>
        Effect.sync(() => {
          events.push(event._tag)
          if (event._tag === "Closed") detail = event.detail
        })
    }),
    (effect) => living.fork(effect)
  )
  const tell = (what: keyof Member) => Effect.suspend(() => member?.[what] ?? Effect.void)
  const connection: Member = { drain: tell("drain"), drainExpired: tell("drainExpired") }
  const script = yield* Effect.forkChild(conversation.server(engine, connection))
  const socket = living.socket(side === "client" ? faulty.socket : far)
  // A connection that failed ends for the server too, without waiting for the client to close its scope.
  const andTheServer = (error: ClientError | QueryRejected | QueryFailed) =>
    error._tag === "ClientError" ? Fiber.await(serving) : Effect.void
  const using = yield* Client.make(socket, clientSettings).pipe(
    Effect.flatMap((client) => Effect.tapError(conversation.client(client), andTheServer)),
    Effect.scoped,
    Effect.provideService(Timers.Shared, timers),
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

  const { outcome, problems } = Judge.judge({
    conversation,
    side,
    broken,
    failed: faulty.failed(),
    client: using.pollUnsafe(),
    server: serving.pollUnsafe(),
    queries: engine.log,
    placeIsFree: limit.enter({ call: () => {}, displaced: () => {}, evicted: () => {} }) === "running",
    heldBytes: quota.used,
    events,
    detail,
    living
  })
  const left = ended() && timers.size > 0 ? [`${timers.size} timers are left`] : []
  // What hangs has been judged by now.
  for (const fiber of [script, serving, using]) fiber.interruptUnsafe()
  yield* Scope.close(scope, Exit.void)
  return {
    elapsedMillis,
    outcome,
    failed: faulty.failed(),
    events: events.join(" "),
    problems: [...problems, ...left]
  }
})
