/**
 * One run: a seed, a world made of it, and what was found wrong with the server that lived in it.
 */
import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import { TurnScheduler, Scheduler as Turns } from "../../src/loop/TurnScheduler.ts"
import * as Transport from "../../src/net/Transport.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as Connections from "../../src/server/Connections.ts"
import * as Network from "./Network.ts"
import * as PackageClient from "./PackageClient.ts"
import { Random } from "./Random.ts"
import * as Reduction from "./Reduction.ts"
import { Reference } from "./Reference.ts"
import { Run } from "./Run.ts"
import * as Scenario from "./Scenario.ts"
import { SeededScheduler } from "./SeededScheduler.ts"
import { type Guest, ServerReference } from "./ServerReference.ts"
import { ServerWatch } from "./ServerWatch.ts"
import { SimulatedClient } from "./SimulatedClient.ts"
import * as SimulatedEngine from "./SimulatedEngine.ts"
import type * as Subject from "./Subject.ts"
import { VirtualClock } from "./VirtualClock.ts"

export type { Outcome } from "./Subject.ts"

/** As the transports of a server do. */
const linger = 1000

// Far more than any scenario takes: who comes here does not end.
const mostMillis = 2 * 60 * 60 * 1000
const mostTasks = 3_000_000

interface World {
  readonly clock: VirtualClock
  readonly run: Run
  readonly scenario: Scenario.Scenario
  readonly fates: ReadonlyMap<number, SimulatedEngine.Fate>
  readonly server: ServerReference
  /** The connections by the number that the server gave them. */
  readonly guests: Map<number, Guest>
  /** What decides on a client's network and on the client. */
  readonly randoms: ReadonlyArray<Random>
}

/** How a run differs from the one that its seed decides. */
export interface Variation extends Subject.Variation {
  /** The file of the recording that the scenario is made of, if it is of one. */
  readonly recording?: string | undefined
  /** What makes the scenario; `Scenario.make` unless told otherwise. */
  readonly make?: ((random: Random) => Scenario.Scenario) | undefined
}

export const asItIs: Variation = { without: [], order: 0 }

/** What a seed decides on. */
export const scenario = (seed: number, make = Scenario.make): Scenario.Scenario =>
  make(new Random(seed).child())

/** Runs a seed to its end, on the caller's stack. */
export const run = (
  seed: number,
  { make = Scenario.make, order, without }: Variation = asItIs
): Subject.Outcome => {
  const random = new Random(seed)
  const scenario = Reduction.apply(make(random.child()), without)
  const clients = Math.max(Scenario.mostClients, ...scenario.clients.map(({ id }) => id))
  const randoms = Array.from({ length: 2 * clients }, () => random.child())
  const orders = Array.from({ length: order + 1 }, () => random.child())
  const scheduler = new SeededScheduler({
    random: orders.at(-1) as Random,
    preemption: scenario.preemption
  })
  const clock = new VirtualClock((task) => scheduler.schedule(task))
  const told = new Run(clock)
  const { engine, fates } = SimulatedEngine.make(scenario, told)
  const server = new ServerReference({ run: told, scenario, fates })
  const guests = new Map<number, Guest>()
  const context = Context.empty().pipe(
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Clock.Clock, clock),
    Context.add(Logger.CurrentLoggers, new Set<Logger.Logger<unknown, unknown>>()),
    Context.add(TurnScheduler, new Turns({ quantum: scenario.quantum, maxWriteSize: scenario.maxWriteSize })),
    Context.add(QueryEngine, engine),
    Context.add(ConnectionEvents, { publish: (event) => publish(guests, event) })
  )
  const world = { clock, run: told, scenario, fates, server, guests, randoms }
  const fiber = Effect.runForkWith(context)(live(world))
  const tasks = drive(world, scheduler, fiber)
  const exit = fiber.pollUnsafe()
  if (exit?._tag === "Failure") told.wrong("world", `broke: ${exit.cause}`)
  if (exit === undefined && told.failures.length === 0)
    told.wrong("world", `has not ended after ${tasks} tasks`)
  return {
    seed,
    failures: told.failures,
    transcript: told.transcript,
    hash: createHash("sha256").update(told.transcript.join("\n")).digest("hex").slice(0, 16),
    tasks,
    millis: told.now
  }
}

/** Runs until all has ended, or something is wrong and what goes with it has happened. */
const drive = (
  { clock, run, server }: World,
  scheduler: SeededScheduler,
  fiber: Fiber.Fiber<unknown, unknown>
): number => {
  let tasks = 0
  while (fiber.pollUnsafe() === undefined && tasks < mostTasks) {
    if (scheduler.runOne()) {
      tasks++
      continue
    }
    server.atRest()
    if (run.failures.length > 0) break
    if (clock.currentTimeMillisUnsafe() > mostMillis || !clock.advance()) break
  }
  return tasks
}

const publish = (guests: ReadonlyMap<number, Guest>, event: ConnectionEvent): Effect.Effect<void> => {
  const guest = guests.get(event.connection.id)
  return guest === undefined
    ? Effect.die(new Error(`No connection ${event.connection.id}`))
    : guest.watch.publish(event, guest)
}

/** A server, from its start until it has stopped and all of its clients have gone. */
const live = Effect.fnUntraced(function* (world: World) {
  const { run, scenario, server } = world
  const scope = yield* Scope.make()
  const connections = yield* Scope.provide(Connections.make(scenario.settings), scope)
  const close = Effect.suspend(() => {
    server.stops()
    return Effect.ensuring(
      Scope.close(scope, Exit.void),
      Effect.sync(() => server.stopped())
    )
  })
  const stopping = yield* Effect.forkChild(stop(scenario.stop, { close, connections, server }))
  yield* Effect.forEach(scenario.clients, (client) => Effect.scoped(visit(world, connections, client)), {
    concurrency: "unbounded"
  })
  if (scenario.stop === undefined) {
    yield* Effect.sleep(1)
    const left = yield* connections.size
    if (left > 0) run.wrong("server", `has ${left} connections when all have ended`)
    yield* close
  }
  yield* Fiber.join(stopping)
})

interface Stopping {
  readonly close: Effect.Effect<void>
  readonly connections: Connections.Connections
  readonly server: ServerReference
}

const stop = (
  how: Scenario.Stop | undefined,
  { close, connections, server }: Stopping
): Effect.Effect<void> => {
  if (how === undefined) return Effect.void
  const hurry = Effect.suspend(() => {
    server.hurries()
    return connections.stopNow
  })
  const hurrying =
    how.patience === undefined ? Effect.never : Effect.andThen(Effect.sleep(how.patience), hurry)
  return Effect.andThen(Effect.sleep(how.at), Effect.raceFirst(close, Effect.andThen(hurrying, Effect.never)))
}

/** A client, from its connection until both of its ends have ended. */
const visit = Effect.fnUntraced(function* (
  world: World,
  connections: Connections.Connections,
  client: Scenario.Client
) {
  const { clock, fates, guests, run, scenario, server } = world
  const who = `client ${client.id}`
  const [network, behaviour] = world.randoms.slice(2 * (client.id - 1)) as [Random, Random]
  yield* Effect.sleep(client.startsAt)
  const reference = new Reference({ run, who, scenario, client, server, fates })
  const watch = new ServerWatch({ run, who: `server ${client.id}`, scenario, reference, server, fates })
  const [near, far] = Network.connect({ random: network, clock, conditions: client.conditions, linger })
  const guest = server.arrives(client, reference, watch)
  connections.accept({
    transport: Transport.fromSocket(watch.tap(near.socket)),
    address: client.address,
    endpoints: (id) => {
      if (guests.has(id)) run.wrong("server", `has two connections ${id}`)
      guests.set(id, guest)
      return { local: "server", remote: who }
    },
    drop: () => {
      run.tell("server", `drops client ${client.id}`)
      server.is(guest, "dropped")
      watch.ended.openUnsafe()
      near.close()
    }
  })
  const options = { run, who, random: behaviour, settings: scenario.settings, client, reference }
  const peer = client.packaged ? PackageClient.live(far, options) : new SimulatedClient(far, options).live
  const lived = yield* Effect.exit(Effect.scoped(peer))
  if (lived._tag === "Failure") run.wrong(who, `broke: ${lived.cause}`)
  yield* watch.ended.await
  watch.settled()
})

/** Servers and their clients. */
export const subject: Subject.Subject<Scenario.Scenario, Variation> = {
  flags: ({ recording }) => (recording === undefined ? [] : ["--recording", recording]),
  run,
  scenario: (seed, { make }) => scenario(seed, make),
  apply: Reduction.apply,
  candidates: Reduction.candidates
}
