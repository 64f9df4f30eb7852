/**
 * The process that an engine runs in: answers DataConn's protocol on the descriptors that it inherits from its parent,
 * and ends with it.
 */
import * as Net from "node:net"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import { type Engine, QueryEngine } from "../engine/QueryEngine.ts"
import * as RemoteAddress from "../net/RemoteAddress.ts"
import * as Tcp from "../net/Tcp.ts"
import * as Connections from "../server/Connections.ts"
import * as Settings from "../server/Settings.ts"
import { Commits } from "./Commits.ts"
import * as Messages from "./Messages.ts"
import * as ParentWatch from "./ParentWatch.ts"
import { Reporter } from "./Reports.ts"
import * as RowCount from "./RowCount.ts"

/**
 * What an engine may tell its process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Host {
  /** The engine can answer nothing any more, for this reason: the process ends, and another one takes its place. */
  readonly lost: (reason: string) => void
  /** How long a query may take to stop before its process is killed, in milliseconds (`cancelGrace`). */
  readonly cancelGraceMillis: number
  /** A query that has ended goes on in the engine for longer than that: the process is killed. */
  readonly cancelIgnored: () => void
}

/** What a module of an engine exports. */
interface EngineModule {
  readonly make?: (options: unknown, host: Host) => Effect.Effect<Engine, unknown, Scope.Scope>
}

/** All limits are the parent's: what comes from there is within them. */
const settings = (connections: number): Connections.Options => ({
  ...Settings.defaults,
  maxConnections: connections,
  maxConcurrentQueries: connections,
  maxQueuedQueries: 0,
  maxRefusals: 0,
  maxUnfinishedBytes: Number.MAX_SAFE_INTEGER,
  maxFrameSize: largestFrame,
  maxSkippedSize: largestFrame,
  // The parent cuts chunks for its clients.
  chunkSize: 256 * 1024,
  heartbeatInterval: "Infinity",
  queryTimeout: "Infinity",
  queueTimeout: "Infinity",
  writeTimeout: "Infinity",
  requestTimeout: "Infinity",
  firstRequestTimeout: "Infinity",
  idleTimeout: "Infinity",
  drainTimeout: 0
})

const largestFrame = 2 ** 32 - 1

const tell = (message: Messages.FromChild, told: () => void = () => {}): void => {
  if (process.connected) process.send?.(message, undefined, undefined, told)
  else told()
}

/** Lines of the log that are on their way to the parent. */
let underWay = 0
/** More than these are left out: a parent that does not read is no reason to fill the memory. */
const mostUnderWay = 1000

const logger = Logger.make(({ cause, logLevel, message }) => {
  if (logLevel === "All" || logLevel === "None" || underWay >= mostUnderWay) return
  const text = (Array.isArray(message) ? message : [message]).map(String).join(" ")
  const trace = cause.reasons.length > 0 ? `\n${Cause.pretty(cause)}` : ""
  underWay++
  tell({ _tag: "Log", entry: { level: logLevel, message: text + trace } }, () => {
    underWay--
  })
})

const commits = new Commits((token, bytes) => tell({ _tag: "HandedOver", token, bytes }))

const fail = (message: string): void => tell({ _tag: "Failed", message }, ParentWatch.endNow)

const cancelIgnored = (): void => tell({ _tag: "CancelIgnored" })

const load = Effect.fnUntraced(function* ({ cancelGraceMillis, module, options }: Messages.Start) {
  const { make }: EngineModule = yield* Effect.promise(() => import(module))
  if (typeof make !== "function") return yield* Effect.die(new Error(`${module} exports no function make`))
  return yield* make(options, { lost: fail, cancelGraceMillis, cancelIgnored })
})

/** Answers until the parent has it end. */
const answer = Effect.fnUntraced(function* (start: Messages.Start, ended: Deferred.Deferred<void>) {
  const reporter = new Reporter()
  const engine = reporter.of(commits.of(RowCount.of(yield* load(start))))
  const connections = yield* Effect.provideService(
    Connections.make(settings(start.connections)),
    QueryEngine,
    engine
  )
  for (let i = 0; i < start.connections; i++) {
    const socket = new Net.Socket({ fd: Messages.firstConnection + i, readable: true, writable: true })
    socket.on("error", () => {})
    connections.accept({
      transport: Tcp.fromSocket(socket),
      address: RemoteAddress.unix,
      endpoints: () => ({ local: start.title, remote: "parent" }),
      drop: () => socket.destroy()
    })
  }
  const beat = Effect.sync(() =>
    tell({ _tag: "Beat", residentBytes: process.memoryUsage.rss(), reports: reporter.reports })
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(beat, Effect.sleep(start.beatMillis))))
  tell({ _tag: "Ready" })
  yield* Deferred.await(ended)
}, Effect.scoped)

/** The message of an error, without its trace. */
const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

/** Runs an engine as the parent tells. */
export const run = (): void => {
  if (process.send === undefined) {
    console.error("This program is started by another one (ProcessEngine)")
    process.exitCode = 1
    return
  }
  // A terminal and a service manager send them to all; it is the parent that decides what they mean.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const) process.on(signal, () => {})
  ParentWatch.endWithParent()
  process.once("disconnect", ParentWatch.endNow)
  const ended = Deferred.makeUnsafe<void>()
  process.on("message", (message: Messages.ToChild) => {
    if (message._tag === "End") Deferred.doneUnsafe(ended, Exit.void)
    else if (message._tag === "Commit") commits.go(message.token)
    else begin(message, ended)
  })
}

const begin = (start: Messages.Start, ended: Deferred.Deferred<void>): void => {
  process.title = start.title
  const program = Effect.provide(answer(start, ended), Logger.layer([logger]))
  Effect.runCallback(program, {
    onExit: (exit) => {
      if (Exit.isFailure(exit)) return fail(messageOf(exit.cause))
      // Node would wait for its threads, one of which may be in a call that DuckDB does not end.
      process.once("exit", ParentWatch.endNow)
      process.exit(0)
    }
  })
}
