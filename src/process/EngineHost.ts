/**
 * The side on which an engine runs, in a process or a thread of its own: loads it, and answers DataConn's protocol on
 * the connections from its parent.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Given from "../engine/Given.ts"
import { type Engine, QueryEngine } from "../engine/QueryEngine.ts"
import * as RemoteAddress from "../net/RemoteAddress.ts"
import type * as Transport from "../net/Transport.ts"
import * as Connections from "../server/Connections.ts"
import * as Settings from "../server/Settings.ts"
import { Commits } from "./Commits.ts"
import * as FreeMemory from "./FreeMemory.ts"
import type * as Messages from "./Messages.ts"
import { Reporter } from "./Reports.ts"
import * as RowCount from "./RowCount.ts"

/**
 * What an engine may tell its process or thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface Host {
  /** The engine can answer nothing any more, for this reason: what it runs in ends, and another one takes its place. */
  readonly lost: (reason: string) => void
  /** How long a query may take to stop before it is killed with what it runs in, in milliseconds (`cancelGrace`). */
  readonly cancelGraceMillis: number
  /** A query that has ended goes on in the engine for longer than that: what it runs in is killed. */
  readonly cancelIgnored: () => void
}

/** What a module of an engine exports. */
interface EngineModule {
  readonly make?: (options: unknown, host: Host) => Effect.Effect<Engine, unknown, Scope.Scope>
}

/** A connection from the parent. */
export interface Accepted {
  readonly transport: Transport.Open
  readonly drop: () => void
}

export type Ending = "Asked" | Messages.Failed

/** Who has started the engine, as it is reached from here. */
export interface Parent {
  readonly tell: (message: Messages.FromChild) => void
  /** Whether it does not read what it is told: lines of the log are left out, rather than that they fill the memory. */
  readonly isBehind: () => boolean
  /** Gives each of its connections from now on. */
  readonly accept: (accepted: (connection: Accepted) => void) => void
  /** The memory that is resident, in bytes. */
  readonly residentBytes: () => number
  /** Ends what the engine runs in: in peace, or because it has failed, which the parent is told. */
  readonly end: (why: Ending) => void
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

/** The log, which is the parent's. */
const loggerOf = ({ isBehind, tell }: Parent) =>
  Logger.make(({ cause, logLevel, message }) => {
    if (logLevel === "All" || logLevel === "None" || isBehind()) return
    const text = (Array.isArray(message) ? message : [message]).map(String).join(" ")
    const trace = cause.reasons.length > 0 ? `\n${Cause.pretty(cause)}` : ""
    tell({ _tag: "Log", entry: { level: logLevel, message: text + trace } })
  })

/** The message of an error, without its trace. */
const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

/** Hosts an engine, as the parent's messages say. */
export class EngineHost {
  private readonly parent: Parent
  private readonly commits: Commits
  private readonly ended = Deferred.makeUnsafe<void>()

  constructor(parent: Parent) {
    this.parent = parent
    this.commits = new Commits((token, bytes) => parent.tell({ _tag: "HandedOver", token, bytes }))
  }

  received(message: Messages.ToChild): void {
    switch (message._tag) {
      case "Start":
        this.begin(message)
        break
      case "Commit":
        this.commits.go(message.token)
        break
      case "End":
        this.leave()
    }
  }

  private begin(start: Messages.Start): void {
    const program = Effect.provide(this.answer(start), Logger.layer([loggerOf(this.parent)]))
    Effect.runCallback(program, {
      onExit: (exit) => {
        if (Exit.isFailure(exit)) this.fail(messageOf(exit.cause))
        else this.parent.end("Asked")
      }
    })
  }

  private fail(message: string): void {
    this.parent.end({ _tag: "Failed", message })
  }

  /** Closes all that it has opened. */
  leave(): void {
    Deferred.doneUnsafe(this.ended, Exit.void)
  }

  /** Answers until the parent has it end. */
  private answer(start: Messages.Start): Effect.Effect<void> {
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        const { beatMillis, connections: most, title } = start
        const { parent } = this
        const reporter = new Reporter()
        const engine = reporter.of(this.commits.of(RowCount.of(yield* this.load(start))))
        const connections = yield* Effect.provideService(
          Connections.make(settings(most)),
          QueryEngine,
          engine
        )
        parent.accept((connection) =>
          connections.accept({
            ...connection,
            address: RemoteAddress.unix,
            endpoints: () => ({ local: title, remote: "parent" })
          })
        )
        const beat = Effect.sync(() =>
          parent.tell({
            _tag: "Beat",
            residentBytes: parent.residentBytes(),
            reports: reporter.reports
          })
        )
        yield* Effect.forkScoped(Effect.forever(Effect.andThen(beat, Effect.sleep(beatMillis))))
        yield* Effect.forkScoped(FreeMemory.always)
        parent.tell({ _tag: "Ready" })
        yield* Deferred.await(this.ended)
      })
    )
  }

  private load({ cancelGraceMillis, module, options }: Messages.Start) {
    const host: Host = {
      lost: (reason) => this.fail(reason),
      cancelGraceMillis,
      cancelIgnored: () => this.parent.tell({ _tag: "CancelIgnored" })
    }
    return Effect.gen(function* () {
      const { make }: EngineModule = yield* Effect.promise(() => import(module))
      if (typeof make !== "function")
        return yield* Effect.die(new Error(`${module} exports no function make`))
      const engine = yield* Effect.orDie(Given.effect(`make of ${module}`, make(options, host)))
      if (typeof engine?.init === "function") return engine
      return yield* Effect.die(Given.mismatch(`make of ${module}`, "an engine with init", engine))
    })
  }
}
