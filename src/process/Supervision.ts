/**
 * The common part of engines in processes and in threads: their settings, and their supervision.
 */
import { isAbsolute } from "node:path"
import { pathToFileURL } from "node:url"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { PoolSettings } from "../client/Settings.ts"
import * as Doorkeeper from "../engine/Doorkeeper.ts"
import * as Limits from "../engine/Limits.ts"
import type { Engine } from "../engine/QueryEngine.ts"
import * as Limit from "../settings/Limit.ts"
import type * as Launcher from "./Launcher.ts"
import * as Program from "./Program.ts"
import * as Relay from "./Relay.ts"
import * as Supervisor from "./Supervisor.ts"

/**
 * An engine that processes or threads load.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineModule {
  /**
   * A module that exports `make: (options, host) => Effect<Engine, E, Scope>`. Each process or thread loads
   * it; the message of an `E` is the reason of a failed start. `host` is a {@link Host}.
   */
  readonly module: URL | string
  /**
   * Decides whether a request is admitted, as the `admit` of `QueryApi.makeEngine` does, but here and not in
   * the process or thread. For engines of the v1 API. Default: all requests.
   */
  readonly admit?: Doorkeeper.Admit | undefined
  /**
   * The engine's own limits, if they differ from the defaults: with `admit`, requests are decoded here too.
   */
  readonly limits?: Limits.Options | undefined
  /**
   * Whether queries may change something that outlives them, such as a database. Only one process or thread
   * is allowed then, and no query is run a second time. Default `false`.
   */
  readonly changes?: boolean | undefined
  /**
   * Whether queries change nothing before their `commit`. A query that is lost before may then be run again by
   * its client. Default `false`.
   */
  readonly commits?: boolean | undefined
}

/**
 * Settings of processes and of threads.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How long a query may take to stop before it is killed with its process or thread. Default 2 seconds. */
  readonly cancelGrace?: Duration.Input | undefined
  /**
   * How long a process or thread may send no heartbeat before it is killed. A long computation without a
   * pause, garbage collection or allocation sends none. After a fifth of that time it gets no new queries
   * until the next heartbeat. Default 3 seconds.
   */
  readonly engineSilence?: Duration.Input | undefined
  /** How long a process or thread may take to become ready. Default 5 minutes. */
  readonly engineStartTimeout?: Duration.Input | undefined
  /** How long a query may wait for a process or thread before it is rejected as `overloaded`. Default 30 seconds. */
  readonly waitTimeout?: Duration.Input | undefined
  /**
   * How many queries may wait for a process or thread; further ones are rejected as
   * `overloaded`. Default 256.
   */
  readonly maxWaiting?: number | undefined
  /**
   * How many queries one process or thread may hold at a time: those that run, and those whose clients have
   * paused reading, which take no slot of the server's. Each takes two descriptors of a process. Default 288,
   * as many as a server has with `maxConcurrentQueries` 32 and `maxQueuedQueries` 256.
   */
  readonly maxQueries?: number | undefined
  /** How long processes or threads may take to end by themselves when the layer closes. Default 10 seconds. */
  readonly endTimeout?: Duration.Input | undefined
  /** The name in the log and in lists of processes, before the number. Default `dataconn engine`. */
  readonly title?: string | undefined
}

/** Settings with their defaults, in milliseconds. */
export interface Settings extends Pick<EngineModule, "admit" | "limits"> {
  /** The module specifier for `import`. */
  readonly module: string
  readonly changes: boolean
  readonly commits: boolean
  /** The number of processes or threads. */
  readonly engines: number
  readonly cancelGraceMillis: number
  /** The interval of checks for heartbeats. */
  readonly tickMillis: number
  readonly startMillis: number
  readonly waitMillis: number
  readonly maxWaiting: number
  /** How many queries one process or thread takes. */
  readonly capacity: number
  readonly endMillis: number
  readonly title: string
  /** Whether a process or thread without heartbeats may be killed. */
  readonly isKillable: boolean
}

/** How many checks for heartbeats fit in the time that a process may be silent. */
const looks = 10

/** After so many checks without a heartbeat, a process gets no queries until the next heartbeat. */
const silentTicks = 2

/**
 * A process that has been ready for less is short-lived, in milliseconds; and the delays
 * before it is replaced.
 */
const lives = { shortLifeMillis: 10_000, firstDelayMillis: 100, longestDelayMillis: 2000 }

/** How long a process that is to be replaced may continue its queries, in milliseconds. */
const retireMillis = 20_000

/** From when on a query is long, and how long a suspect runs alone, in milliseconds. */
const placement = { longMillis: 1000, quarantineMillis: 2000 }

/**
 * How long the other processes are delayed, so that their start does not slow the first answers,
 * in milliseconds.
 */
const spareMillis = 1000

/** A killed process that has not ended by then waits for the disk or the like, in milliseconds. */
const goneMillis = 10_000

export const moduleChecks: Limit.Checks<EngineModule> = {
  module: Limit.any,
  admit: Limit.callback,
  limits: (_, given: Limits.Options) => Limits.make(given),
  changes: Limit.flag,
  commits: Limit.flag
}

const positive = (name: string, given: Duration.Input) => Limit.millis(name, given)

export const checks: Limit.Checks<Options> = {
  cancelGrace: positive,
  engineSilence: positive,
  engineStartTimeout: positive,
  waitTimeout: positive,
  maxWaiting: (name, given: number) => Limit.count(name, given, 0),
  maxQueries: (name, given: number) => Limit.count(name, given, 1),
  endTimeout: positive,
  title: Limit.text
}

/**
 * The settings, which have been checked but for the number. Throws a `RangeError` that names it. `setting` is the
 * user's name of `engines`.
 */
export const settingsOf = (
  { admit, changes = false, commits = false, limits, module }: EngineModule,
  options: Options,
  setting: "engines" | "threads",
  engines: number
): Settings => {
  Limit.count(setting, engines, 1)
  if (changes && engines > 1) {
    throw new RangeError(`${setting} must be 1 where queries change something: two may not have one database`)
  }
  return {
    module: startable(moduleOf(module)),
    admit,
    limits,
    changes,
    commits,
    engines,
    cancelGraceMillis: Limit.millis("cancelGrace", options.cancelGrace ?? "2 seconds"),
    tickMillis: Limit.millis("engineSilence", options.engineSilence ?? "3 seconds") / looks,
    startMillis: Limit.millis("engineStartTimeout", options.engineStartTimeout ?? "5 minutes"),
    waitMillis: Limit.millis("waitTimeout", options.waitTimeout ?? "30 seconds"),
    maxWaiting: options.maxWaiting ?? 256,
    capacity: options.maxQueries ?? 288,
    endMillis: Limit.millis("endTimeout", options.endTimeout ?? "10 seconds"),
    title: options.title ?? "dataconn engine",
    isKillable: true
  }
}

const expected =
  'a URL, such as new URL("./Engine.js", import.meta.url), an absolute path or the name of a package'

/** A relative path would be relative to this package. */
const moduleOf = (module: unknown): string => {
  if (module instanceof URL) return module.href
  if (typeof module !== "string" || module === "" || /^\.\.?(?:[\\/]|$)/.test(module)) {
    return Limit.fail("module", expected, module)
  }
  return isAbsolute(module) ? pathToFileURL(module).href : module
}

const startable = (module: string): string => {
  if (!Program.hasLoaded(module)) return module
  throw new RangeError(
    `module must not start itself: ${module} is loaded by the process or thread of its engine, so the program that starts the engine must be another module`
  )
}

/** The interval of heartbeats of a process or thread, in milliseconds. */
export const beatMillis = ({ tickMillis }: Settings): number => tickMillis / 2

/** Messages of a process are within its own limits, and its heartbeats do not use these connections. */
const connections = ({ cancelGraceMillis, capacity }: Settings): Partial<PoolSettings> => ({
  maxConnections: capacity,
  maxQueuedRequests: capacity,
  idleTimeout: "Infinity",
  cancelTimeout: cancelGraceMillis,
  heartbeatTolerance: "Infinity",
  writeTimeout: "Infinity",
  maxFrameSize: 2 ** 32,
  maxAcceptSize: 2 ** 32,
  maxErrorSize: 2 ** 32
})

/** The engine over processes or threads that `launch` starts. They end with the scope. */
export const start = (
  settings: Settings,
  launch: Launcher.Launch
): Effect.Effect<Engine, Supervisor.Unstartable, Scope.Scope> => {
  const { admit, capacity, changes, commits, endMillis, engines, isKillable, maxWaiting } = settings
  const { startMillis, tickMillis, waitMillis } = settings
  const supervisor = Supervisor.make({
    launch,
    processes: engines,
    lifecycle: {
      ...lives,
      silentTicks,
      maxMissed: isKillable ? looks : Number.POSITIVE_INFINITY,
      maxRetireTicks: Math.ceil(retireMillis / tickMillis),
      maxStartTicks: Math.ceil(startMillis / tickMillis)
    },
    placement: { ...placement, capacity },
    client: connections(settings),
    tickMillis,
    waitMillis,
    maxWaiting,
    spareMillis,
    endMillis
  })
  return Effect.map(supervisor, (supervisor) => {
    const engine = Relay.make(supervisor, { changes, commits, goneMillis })
    return admit === undefined ? engine : Doorkeeper.before(engine, admit, settings.limits)
  })
}
