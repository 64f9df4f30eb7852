/**
 * One place for a process: performs the actions of its `Lifecycle`.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as Client from "../client/Client.ts"
import * as ClientPool from "../client/ClientPool.ts"
import type { Progress } from "../engine/QueryEngine.ts"
import type * as Spawner from "../loop/Spawner.ts"
import * as Timers from "../loop/Timers.ts"
import type * as Transport from "../net/Transport.ts"
import type { Why } from "../protocol/ClientMachine.ts"
import { HandedOver } from "./Commits.ts"
import type * as Launcher from "./Launcher.ts"
import * as Lifecycle from "./Lifecycle.ts"
import type * as Loss from "./Loss.ts"
import type * as Placement from "./Placement.ts"
import * as Reports from "./Reports.ts"

/** A query that has a place, or waits for one. */
export interface Query extends Placement.Query {
  startedAt: number
  isSuspect: boolean
  isStopping: boolean
  /** The process that the query runs in. */
  incarnation: Incarnation | undefined
}

/** A process, with the queries that run in it. */
export interface Incarnation {
  /** The number of its place, from 0. */
  readonly place: number
  readonly client: Client.ClientService
  readonly running: Set<Query>
  /** Completes with the reason when the process is known to be lost; its end may take a while longer. */
  readonly lost: Deferred.Deferred<Loss.Loss>
  /** Completes when the process has ended. */
  readonly gone: Deferred.Deferred<Loss.Loss>
  /** Whether the process is to end or has ended: no query in it will end well. */
  isLost: boolean
  /** The loss as far as it is known before the process has ended. */
  readonly unknown: Loss.Loss
  /** Reports that a connection to the process has ended. */
  readonly giveUp: () => void
  /** The results of queries that commit which the process has emitted whole. */
  readonly handedOver: HandedOver
  /** Lets a query commit. */
  readonly commit: (token: number) => void
  /** The progress of a query at the last heartbeat. */
  readonly progress: (queryId: string) => Progress | undefined
}

export interface Dependencies {
  readonly launch: Launcher.Launch
  readonly lifecycle: Lifecycle.Options
  /** Settings of the connections to a process. */
  readonly client: Partial<ClientPool.PoolSettings>
  readonly timers: Timers.Timers
  readonly spawner: Spawner.Spawner
  /** The owner of the connections. */
  readonly scope: Scope.Scope
  /** Called when a change may let waiting queries proceed. */
  readonly changed: () => void
  /**
   * Called when a process has ended that was not asked to. Another one follows after so long,
   * in milliseconds.
   */
  readonly lost: (loss: Loss.Loss, delayMillis: number, wasReady: boolean) => void
  readonly logged: (name: string, entry: Launcher.LogEntry) => void
  /** What processes of all places have noted, the latest last. */
  readonly notes: Array<unknown>
}

interface Current extends Incarnation {
  readonly process: Launcher.Process
  readonly scope: Scope.Closeable
  wasReady: boolean
  residentBytes: number
  reports: Reports.Reports
}

const unknownExit: Lifecycle.Exit = { code: null, signal: null }

const nobody: ReadonlySet<Query> = new Set()

/**
 * How long after its kill a process that still runs may be abandoned (`Launcher.Process.abandon`),
 * in milliseconds.
 */
const abandonMillis = 1000

/** Most notes of processes that are kept. */
const maxNotes = 256

/** After so many short lives no place is kept for a process that is still to come. */
const mostHopefulLives = 3

export class Slot implements Placement.Place {
  readonly number: number
  /** Completes when no process is left, and none follows. */
  readonly over = Deferred.makeUnsafe<void>()
  private readonly dependencies: Dependencies
  private state: Lifecycle.State = Lifecycle.initial
  private current: Current | undefined
  private readonly restart: Timers.Deadline
  private readonly patience: Timers.Deadline
  /** The way the process ended, once it has. */
  private exit: Lifecycle.Exit = unknownExit

  constructor(number: number, dependencies: Dependencies) {
    this.number = number
    this.dependencies = dependencies
    this.restart = dependencies.timers.deadline(() => this.dispatch({ _tag: "Start" }))
    this.patience = dependencies.timers.deadline(() => this.current?.process.abandon?.())
  }

  get isReady(): boolean {
    return Lifecycle.takesQueries(this.state, this.dependencies.lifecycle)
  }

  get isComing(): boolean {
    const { state } = this
    return state._tag !== "Ready" && state._tag !== "Closed" && state.shortLives < mostHopefulLives
  }

  get running(): ReadonlySet<Query> {
    return this.current?.running ?? nobody
  }

  get incarnation(): Incarnation | undefined {
    return this.current
  }

  /** Steps the machine and performs its action. */
  dispatch(event: Lifecycle.Event): void {
    const [state, action] = Lifecycle.step(this.state, event, this.dependencies.lifecycle)
    this.state = state
    switch (action._tag) {
      case "None":
        break
      case "Launch":
        this.dependencies.spawner.spawn(this.launch)
        break
      case "Announce":
        this.dependencies.changed()
        break
      case "Kill":
        this.kill()
        break
      case "Ask":
        this.current?.process.ask()
        break
      case "Restart":
        this.gone(action.why, action.delayMillis)
        this.restart.set(this.dependencies.timers.now() + action.delayMillis)
        break
      case "Over":
        this.restart.clear()
        this.gone(action.why, undefined)
        Deferred.doneUnsafe(this.over, Exit.void)
    }
  }

  /** Kills the process. For a process that ended by itself the exit is awaited, which has the reason. */
  private kill(): void {
    const { current, state } = this
    if (current === undefined) return
    current.isLost = true
    current.process.kill()
    this.patience.set(this.dependencies.timers.now() + abandonMillis)
    if (state._tag === "Ending" && state.why._tag !== "Disconnected") {
      Deferred.doneUnsafe(current.lost, Exit.succeed(this.lossOf(current, state.why)))
    }
  }

  private lossOf({ process, residentBytes, running }: Current, why: Lifecycle.Why | undefined): Loss.Loss {
    return {
      name: process.name,
      // A process that ends by itself closes its connections first.
      why: why?._tag === "Disconnected" ? undefined : why,
      exit: this.exit,
      residentBytes,
      queries: running.size
    }
  }

  /** Completes the deferreds that wait for the end of the process. */
  private gone(why: Lifecycle.Why | undefined, delayMillis: number | undefined): void {
    const { current } = this
    if (current === undefined) return
    this.current = undefined
    this.patience.clear()
    current.isLost = true
    const loss = this.lossOf(current, why)
    if (delayMillis !== undefined) this.dependencies.lost(loss, delayMillis, current.wasReady)
    Deferred.doneUnsafe(current.lost, Exit.succeed(loss))
    Deferred.doneUnsafe(current.gone, Exit.succeed(loss))
    this.dependencies.spawner.spawn(Scope.close(current.scope, Exit.void))
  }

  private readonly launch: Effect.Effect<void> = Effect.suspend(() => {
    const { client: settings, launch, scope: outer, timers } = this.dependencies
    const scope = Scope.forkUnsafe(outer)
    const gone = Deferred.makeUnsafe<Loss.Loss>()
    const isCurrent = () => this.current?.gone === gone
    const connection: Transport.Open = Effect.suspend(() => this.current?.process.connection ?? Effect.never)
    // Made before the process, whose events need it.
    const client = ClientPool.overTransports(connection, settings, `engine ${this.number}`, (why) => {
      if (isCurrent()) this.ended(why)
    })
    return Effect.map(
      Effect.provideService(Scope.provide(client, scope), Timers.Shared, timers),
      (client) => {
        this.exit = unknownExit
        const process = launch(this.number, this.listener(isCurrent), this.dependencies.notes)
        const name = process.name
        this.current = {
          place: this.number - 1,
          client,
          process,
          scope,
          running: new Set(),
          lost: Deferred.makeUnsafe(),
          gone,
          isLost: false,
          unknown: { name, why: undefined, exit: unknownExit, residentBytes: 0, queries: 0 },
          wasReady: false,
          residentBytes: 0,
          handedOver: new HandedOver(),
          reports: Reports.none,
          commit: (token) => process.commit(token),
          progress(queryId) {
            return this.reports.find(([id]) => id === queryId)?.[1]
          },
          giveUp: () => {
            if (isCurrent()) this.dispatch({ _tag: "End", why: { _tag: "Disconnected" } })
          }
        }
        // The place may have been closed meanwhile.
        if (this.state._tag !== "Starting") this.kill()
      }
    )
  })

  /** All connections of a process are needed for as long as it lives. */
  private ended({ _tag }: Why): void {
    if (_tag === "Closed") return
    this.dispatch({ _tag: "End", why: { _tag: _tag === "CancelIgnored" ? _tag : "Disconnected" } })
  }

  /** The listener of one process. Late events of an earlier process of this place are ignored. */
  private listener(isCurrent: () => boolean): Launcher.Listener {
    const tell = (event: Lifecycle.Event) => {
      if (isCurrent()) this.dispatch(event)
    }
    const { timers } = this.dependencies
    return {
      ready: () => {
        if (this.current !== undefined && isCurrent()) this.current.wasReady = true
        tell({ _tag: "Ready", now: timers.now() })
      },
      failed: (message, isTold = false) => tell({ _tag: "End", why: { _tag: "Failed", message, isTold } }),
      cancelIgnored: () => tell({ _tag: "End", why: { _tag: "CancelIgnored" } }),
      beat: (residentBytes, reports) => {
        if (this.current !== undefined && isCurrent()) {
          this.current.residentBytes = residentBytes
          this.current.reports = reports
        }
        tell({ _tag: "Beat" })
      },
      exhausted: () => tell({ _tag: "Retire" }),
      disconnected: () => tell({ _tag: "End", why: { _tag: "Disconnected" } }),
      handedOver: (token, bytes) => {
        if (isCurrent()) this.current?.handedOver.tell(token, bytes)
      },
      logged: (entry) => this.dependencies.logged(`engine ${this.number}`, entry),
      noted: (note) => {
        const { notes } = this.dependencies
        if (notes.push(note) > maxNotes) notes.shift()
      },
      exited: (exit) => {
        if (!isCurrent()) return
        this.exit = exit
        this.dispatch({ _tag: "Exited", now: timers.now() })
      }
    }
  }
}
