/**
 * Processes of an engine in memory: the other end of each connection is the real server with an engine of the test,
 * and the test decides when a process is ready, gives signs of life, and ends.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type Engine, QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import { Commits } from "../../src/process/Commits.ts"
import type * as Launcher from "../../src/process/Launcher.ts"
import type * as Lifecycle from "../../src/process/Lifecycle.ts"
import * as Relay from "../../src/process/Relay.ts"
import { Reporter } from "../../src/process/Reports.ts"
import * as RowCount from "../../src/process/RowCount.ts"
import * as Supervisor from "../../src/process/Supervisor.ts"
import * as Connections from "../../src/server/Connections.ts"
import * as Settings from "../../src/server/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"

export interface MemoryProcess {
  readonly place: number
  readonly listener: Launcher.Listener
  /** What it was told of earlier ones. */
  readonly notes: ReadonlyArray<unknown>
  /** Ends it, as a signal of others or its own fault does. */
  readonly crash: (exit?: Lifecycle.Exit) => void
  /** Has it give a sign of life. */
  readonly beat: () => void
  /** What was done to it: `commit`, `ask`, `kill`, `abandon`. */
  readonly did: ReadonlyArray<string>
}

export interface Options {
  /** The engine of the process that is started `nth`, from 1. */
  readonly engine: (nth: number) => Engine
  /** Whether a process is ready at once. Default: it is. */
  readonly isReady?: (nth: number) => boolean
  /** Whether a process that is asked to end does. Default: it does. */
  readonly ends?: boolean
  /** Whether a process that is killed is gone at once, and not when the test says so. Default: it is. */
  readonly dies?: boolean
  readonly changes?: boolean
  readonly commits?: boolean
  readonly supervisor?: Partial<Supervisor.Options>
}

export interface World {
  readonly engine: Engine
  readonly processes: ReadonlyArray<MemoryProcess>
}

const segmentationFault: Lifecycle.Exit = { code: null, signal: "SIGSEGV" }
const killed: Lifecycle.Exit = { code: null, signal: "SIGKILL" }

const settings: Connections.Options = {
  ...Settings.defaults,
  maxConnections: 100,
  maxRefusals: 0,
  maxConcurrentQueries: 100,
  maxQueuedQueries: 0,
  maxUnfinishedBytes: Number.MAX_SAFE_INTEGER,
  drainTimeout: 0,
  heartbeatInterval: "Infinity"
}

export const defaults: Omit<Supervisor.Options, "launch"> = {
  processes: 2,
  lifecycle: {
    // What is in these processes gives signs of life only where a test does.
    silentTicks: 6,
    maxMissed: 5,
    maxStartTicks: 10,
    maxRetireTicks: 10,
    shortLifeMillis: 10_000,
    firstDelayMillis: 100,
    longestDelayMillis: 5000
  },
  placement: { capacity: 4, longMillis: 1000, quarantineMillis: 2000 },
  client: {
    maxConnections: 4,
    cancelTimeout: "2 seconds",
    heartbeatTolerance: "Infinity",
    idleTimeout: "Infinity"
  },
  tickMillis: 1000,
  waitMillis: 30_000,
  maxWaiting: 8,
  spareMillis: 0,
  endMillis: 5000
}

/** An engine of processes in memory; they are ended with the scope. */
export const make = Effect.fnUntraced(function* ({
  changes = false,
  commits = false,
  dies = true,
  ends = true,
  engine: engineOf,
  isReady = () => true,
  supervisor: given
}: Options): Effect.fn.Return<World, Supervisor.Unstartable, Scope.Scope> {
  const context = yield* Effect.context<never>()
  const run = Effect.runForkWith(context)
  const processes: Array<MemoryProcess> = []
  const launch: Launcher.Launch = (place, listener, notes) => {
    const nth = processes.length + 1
    const transports: Array<Transport.Transport> = []
    const did: Array<string> = []
    let isOver = false
    const commits = new Commits((token, bytes) => {
      if (!isOver) listener.handedOver(token, bytes)
    })
    const reporter = new Reporter()
    // Never closed where a query is stuck: nothing of it can be reached any more.
    const scope = Scope.makeUnsafe()
    const connections = Effect.runSyncWith(context)(
      Connections.make(settings).pipe(
        Effect.provideService(QueryEngine, reporter.of(commits.of(RowCount.of(engineOf(nth))))),
        Scope.provide(scope)
      )
    )
    const crash = (exit: Lifecycle.Exit = segmentationFault) => {
      if (isOver) return
      isOver = true
      for (const transport of transports) transport.destroy()
      run(Scope.close(scope, Exit.void))
      run(
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => listener.exited(exit))
        )
      )
    }
    const connection: Transport.Open = Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      connections.accept({
        transport: Effect.tap(Transport.fromSocket(near), (transport) =>
          Effect.sync(() => transports.push(transport))
        ),
        address: "parent",
        endpoints: () => ({ local: "child", remote: "parent" }),
        drop: () => {}
      })
      return yield* Transport.fromSocket(far)
    })
    processes.push({
      place,
      listener,
      notes: [...notes],
      crash,
      did,
      beat: () => listener.beat(0, reporter.reports)
    })
    if (isReady(nth))
      run(
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => listener.ready())
        )
      )
    return {
      name: `engine ${place}`,
      connection,
      commit: (token) => {
        did.push("commit")
        commits.go(token)
      },
      ask: () => {
        did.push("ask")
        if (ends) crash({ code: 0, signal: null })
      },
      kill: () => {
        did.push("kill")
        for (const transport of transports) transport.destroy()
        if (dies) crash(killed)
      },
      abandon: () => void did.push("abandon")
    }
  }
  const supervisor = yield* Supervisor.make({ ...defaults, launch, ...given })
  return { engine: Relay.make(supervisor, { changes, commits, goneMillis: 10_000 }), processes }
})
