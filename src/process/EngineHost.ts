/**
 * The child's side of an engine in a process or thread: loads the engine, and answers DataConn's protocol on
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
import * as Program from "./Program.ts"
import { Reporter } from "./Reports.ts"
import * as RowCount from "./RowCount.ts"

/**
 * Callbacks and settings for an engine from its process or thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface Host {
  /**
   * Reports that the engine can answer no more queries, with the reason. Its process or thread ends
   * and is replaced.
   */
  readonly lost: (reason: string) => void
  /**
   * How long a query may take to stop before its process or thread is killed, in milliseconds
   * (`cancelGrace`).
   */
  readonly cancelGraceMillis: number
  /**
   * Reports that an ended query has run on in the engine for longer than that. The process or
   * thread is killed.
   */
  readonly cancelIgnored: () => void
  /**
   * What engines of earlier processes or threads have noted, the latest 256: a note outlives its process. Notes
   * are cloned.
   */
  readonly notes: ReadonlyArray<unknown>
  readonly note: (note: unknown) => void
}

/** The exports of an engine's module. */
interface EngineModule {
  readonly make?: (options: unknown, host: Host) => Effect.Effect<Engine, unknown, Scope.Scope>
}

/** A connection from the parent. */
export interface Accepted {
  readonly transport: Transport.Open
  readonly drop: () => void
}

export type Ending = "Asked" | Messages.Failed

/** The parent that has started the engine, seen from the child. */
export interface Parent {
  readonly tell: (message: Messages.FromChild) => void
  /**
   * Whether the parent does not keep up with its messages. Log lines are then dropped, so that they do not
   * fill the memory.
   */
  readonly isBehind: () => boolean
  /** Passes each connection from the parent to the callback from now on. */
  readonly accept: (accepted: (connection: Accepted) => void) => void
  /** The resident memory, in bytes. */
  readonly residentBytes: () => number
  /**
   * Ends the process or thread: in peace, or because the engine has failed, which is reported to the parent.
   */
  readonly end: (why: Ending) => void
}

/** The parent applies all limits: its requests are within them. */
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

/** A logger that sends its lines to the parent. */
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

/** Hosts an engine under the control of the parent's messages. */
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

  /** Closes everything that the host has opened. */
  leave(): void {
    Deferred.doneUnsafe(this.ended, Exit.void)
  }

  /** Answers until the parent asks it to end. */
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

  private load({ cancelGraceMillis, module, notes, options }: Messages.Start) {
    const host: Host = {
      lost: (reason) => this.fail(reason),
      cancelGraceMillis,
      cancelIgnored: () => this.parent.tell({ _tag: "CancelIgnored" }),
      notes,
      note: (note) => this.parent.tell({ _tag: "Note", note })
    }
    return Effect.gen(function* () {
      const { make } = yield* Effect.promise(() => Program.load<EngineModule>(module))
      if (typeof make !== "function")
        return yield* Effect.die(new Error(`${module} exports no function make`))
      const engine = yield* Effect.orDie(Given.effect(`make of ${module}`, make(options, host)))
      if (typeof engine?.init === "function") return engine
      return yield* Effect.die(Given.mismatch(`make of ${module}`, "an engine with init", engine))
    })
  }
}
