/**
 * A back-end at its address: real servers, one after the other, which are killed, stopped and started again, and the
 * connections to them.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Socket from "effect/socket/Socket"
import { QueryEngine } from "../../../src/engine/QueryEngine.ts"
import * as Transport from "../../../src/net/Transport.ts"
import * as Connections from "../../../src/server/Connections.ts"
import * as Network from "../Network.ts"
import type { Random } from "../Random.ts"
import type { Run } from "../Run.ts"
import type { VirtualClock } from "../VirtualClock.ts"
import * as Engine from "./Engine.ts"
import type * as Scenario from "./Scenario.ts"
import * as Wiretap from "./Wiretap.ts"

export interface Options {
  readonly run: Run
  readonly clock: VirtualClock
  readonly random: Random
  readonly scenario: Scenario.Scenario
  readonly engine: Engine.Options
  readonly listener: Wiretap.Listener
  /** A process has been killed. */
  readonly killed: (process: Engine.Process) => void
}

/** As the transports of a server do. */
const linger = 1000

interface Open {
  readonly link: Wiretap.Link
  readonly near: Network.End
}

interface Living extends Engine.Process {
  readonly connections: Connections.Connections
  readonly scope: Scope.Closeable
  readonly open: Set<Open>
}

const refused = new Socket.SocketError({
  reason: new Socket.SocketOpenError({ kind: "Unknown", cause: new Error("connect ECONNREFUSED") })
})

export class Backend {
  readonly address: string
  private readonly options: Options
  private process: Living | undefined
  private starts = 0
  private readonly starting = Semaphore.makeUnsafe(1)
  private links = 0
  private hangsUntil = 0
  /** Whether nothing goes wrong any more. */
  private isCalm = false
  private readonly closing: Array<Fiber.Fiber<void>> = []

  constructor(address: string, options: Options) {
    this.address = address
    this.options = options
  }

  get isUp(): boolean {
    return this.process !== undefined && this.process.drainTick === undefined
  }

  /** Starts it, unless it runs; those who would start it at the same time wait for the first. */
  get start(): Effect.Effect<void> {
    return Semaphore.withPermit(this.starting, this.startOnce)
  }

  private readonly startOnce: Effect.Effect<void> = Effect.suspend(() => {
    if (this.process !== undefined) return Effect.void
    const { engine, run, scenario } = this.options
    const process: Engine.Process = {
      ...{ address: this.address, nth: ++this.starts },
      ...{ isDead: false, drainTick: undefined }
    }
    const scope = Scope.makeUnsafe()
    return Effect.map(
      Connections.make(scenario.server).pipe(
        Effect.provideService(QueryEngine, Engine.make(engine, process)),
        Scope.provide(scope)
      ),
      (connections) => {
        run.tell(this.address, `starts (${process.nth})`)
        this.process = Object.assign(process, { connections, scope, open: new Set<Open>() })
      }
    )
  })

  /** Opens a connection to it. */
  readonly open: Transport.Open = Effect.gen({ self: this }, function* () {
    const { clock, listener, random, run, scenario } = this.options
    yield* Effect.sleep(this.isCalm ? 0 : random.between(0, scenario.connecting))
    yield* Effect.sleep(Math.max(0, this.hangsUntil - run.now))
    const { process } = this
    if (process === undefined) {
      run.tell(this.address, "refuses a connection")
      return yield* refused
    }
    const link: Wiretap.Link = {
      ...{ name: `${this.address}#${++this.links}`, address: this.address },
      ...{ isOver: false, refusal: undefined, refusedTick: 0 }
    }
    const conditions = () => ({ ...scenario.conditions, ...(this.isCalm ? { stall: 0 } : {}) })
    const [near, far] = Network.connect({
      ...{ random: random.child(), clock, linger },
      get conditions() {
        return conditions()
      }
    })
    const open = { link, near }
    process.open.add(open)
    run.tell(link.name, "opens")
    process.connections.accept({
      transport: Transport.fromSocket(near.socket),
      address: "gateway",
      endpoints: () => ({ local: this.address, remote: link.name }),
      drop: (words) => {
        run.tell(this.address, `drops ${link.name}`)
        near.say(words)
        near.close()
      }
    })
    return yield* Transport.fromSocket(Wiretap.tap(far.socket, link, run, listener))
  })

  /** What befalls it, until that is over. */
  befalls({ fault, millis }: Scenario.Event): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.options.run.tell(this.address, fault)
      switch (fault) {
        case "kill":
          return Effect.andThen(this.kill, Effect.andThen(Effect.sleep(millis), this.start))
        case "drain":
          return Effect.andThen(this.drain, Effect.andThen(Effect.sleep(millis), this.start))
        case "cut":
          return Effect.sync(() => this.cut(1))
        case "cut all":
          return Effect.sync(() => this.cut(Number.POSITIVE_INFINITY))
        case "hang":
          this.hangsUntil = this.options.run.now + millis
          return Effect.sleep(millis)
      }
    })
  }

  private cut(most: number): void {
    const open = [...(this.process?.open ?? [])].filter(({ link }) => !link.isOver)
    for (const { near } of open.slice(-most)) near.reset()
  }

  private readonly kill: Effect.Effect<void> = Effect.suspend(() => {
    const { process } = this
    if (process === undefined) return Effect.void
    const { killed, random } = this.options
    this.process = undefined
    process.isDead = true
    killed(process)
    for (const { near } of process.open) {
      if (random.chance(0.5)) near.reset()
      else near.close()
    }
    const close = Effect.andThen(process.connections.stopNow, Scope.close(process.scope, Exit.void))
    return Effect.map(Effect.forkDetach(close), (fiber) => {
      this.closing.push(fiber)
    })
  })

  /** Stops it: no connection is let in from then on, and none comes about once it has stopped. */
  private readonly drain: Effect.Effect<void> = Effect.suspend(() => {
    const { process } = this
    if (process === undefined || process.drainTick !== undefined) return Effect.void
    process.drainTick = this.options.listener.tick()
    return Effect.andThen(
      Scope.close(process.scope, Exit.void),
      Effect.sync(() => {
        this.options.run.tell(this.address, "has stopped")
        if (this.process === process) this.process = undefined
      })
    )
  })

  /** Nothing goes wrong any more, and its server has no limits. */
  readonly calm: Effect.Effect<void> = Effect.andThen(
    Effect.suspend(() => this.start),
    Effect.sync(() => {
      this.isCalm = true
      const most = { maxConnections: 1000, maxConcurrentQueries: 1000, maxQueuedQueries: 1000 }
      this.process?.connections.reload({ ...this.options.scenario.server, ...most })
    })
  )

  /** Stops it for good, and waits for the end of all that it has been. */
  readonly end: Effect.Effect<void> = Effect.suspend(() =>
    Effect.andThen(
      this.drain,
      Effect.forEach(this.closing, (fiber) => Fiber.join(fiber), { discard: true })
    )
  )
}
