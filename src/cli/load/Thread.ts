/**
 * The program of a thread of a load: connects, waits for the order to begin, sends requests, and reports its
 * counts each second. {@link Threads} starts it.
 */
import { parentPort, workerData } from "node:worker_threads"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Socket from "effect/socket/Socket"
import * as Writer from "../../framing/Writer.ts"
import * as Timers from "../../loop/Timers.ts"
import * as Address from "../../net/Address.ts"
import * as Tcp from "../../net/Tcp.ts"
import { Connection } from "./Connection.ts"
import { Driver } from "./Driver.ts"
import type { Encoded } from "./Tally.ts"
import type { Task } from "./Task.ts"

/** A message to a thread. */
export type Order = "begin" | "stop"

/** A message from a thread. `seconds` is the processor time of its thread so far. */
export type News =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Counted"; readonly tallies: ReadonlyArray<Encoded>; readonly seconds: number }
  | { readonly _tag: "Done" }
  | { readonly _tag: "Failed"; readonly message: string }

/** How many connections are opened at a time. */
const dialing = 64

const open = Effect.fnUntraced(function* (task: Task, driver: Driver) {
  const address = yield* Effect.fromResult(Address.parse(task.server))
  const timeout = Duration.millis(task.connectTimeoutMillis)
  return yield* Effect.forEach(
    task.connections,
    (kind) =>
      Effect.map(
        Tcp.connect({ address, timeout }),
        (transport) =>
          new Connection(transport, {
            heartbeat: () => {
              driver.tally(kind).counters.heartbeats++
            },
            closed: (detail) => driver.tally(kind).error("closed", detail)
          })
      ),
    { concurrency: dialing }
  )
})

const seconds = () => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1e6
}

const load = Effect.fnUntraced(function* (
  task: Task,
  tell: (news: News) => void,
  begin: Effect.Effect<void>
) {
  const clock = yield* Clock.Clock
  const driver = new Driver(task, () => Timers.elapsed(clock))
  const connections = yield* open(task, driver)
  const count = Effect.sync(() =>
    tell({ _tag: "Counted", tallies: driver.flush().map((tally) => tally.encode()), seconds: seconds() })
  )
  tell({ _tag: "Ready" })
  yield* begin
  const asking = Effect.callback<void>((resume) => {
    driver.start(connections, () => resume(Effect.void))
    return Effect.sync(() => driver.stop())
  })
  if (task.rate !== undefined) {
    const pace = Effect.sync(() => driver.tick())
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(pace, Effect.sleep("1 millis"))))
  }
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("1 second"), count)))
  const idle = task.kinds.every(({ request }) => request === undefined)
  const asked = yield* Effect.forkScoped(idle ? Effect.never : asking)
  // Responses in progress may still end when the time is over.
  yield* Effect.raceFirst(Fiber.join(asked), Effect.sleep(Duration.millis(task.durationMillis)))
  driver.stop()
  const rest = Effect.repeat(Effect.sleep("5 millis"), { while: () => driver.isBusy })
  yield* Effect.timeoutOrElse(rest, {
    duration: Duration.millis(task.graceMillis),
    orElse: () => Effect.sync(() => driver.abandon())
  })
  yield* count
})

const port = parentPort
if (port !== null) {
  const tell = (news: News) => port.postMessage(news)
  const begun = Deferred.makeUnsafe<void>()
  const program = Effect.scoped(load(workerData as Task, tell, Deferred.await(begun)))
  const running = Effect.runFork(
    Effect.onExit(program, (exit) =>
      Effect.sync(() => {
        tell(
          Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)
            ? { _tag: "Done" }
            : { _tag: "Failed", message: message(Cause.squash(exit.cause)) }
        )
        port.close()
      })
    )
  )
  port.on("message", (order: Order) => {
    if (order === "begin") Effect.runSync(Deferred.succeed(begun, undefined))
    else running.interruptUnsafe()
  })
}

const message = (error: unknown): string => {
  if (Socket.isSocketError(error))
    return `Cannot connect to ${(workerData as Task).server}: ${Writer.describe(error)}`
  return error instanceof Error ? error.message : String(error)
}
