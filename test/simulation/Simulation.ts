/**
 * One run: a seed, a world made of it, and what was found wrong with the connections that lived in it.
 */
import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scheduler from "effect/Scheduler"
import * as Connection from "../../src/connection/Connection.ts"
import { ConnectionEvents } from "../../src/connection/ConnectionEvents.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import { Budget, WriteBudget } from "../../src/wire/WriteBudget.ts"
import * as Network from "./Network.ts"
import * as PackageClient from "./PackageClient.ts"
import { Random } from "./Random.ts"
import { Reference } from "./Reference.ts"
import { Run } from "./Run.ts"
import * as Scenario from "./Scenario.ts"
import { SeededScheduler } from "./SeededScheduler.ts"
import { ServerWatch } from "./ServerWatch.ts"
import { SimulatedClient } from "./SimulatedClient.ts"
import * as SimulatedEngine from "./SimulatedEngine.ts"
import { VirtualClock } from "./VirtualClock.ts"

export interface Outcome {
  readonly seed: number
  /** What was found wrong; nothing is the aim. */
  readonly failures: ReadonlyArray<string>
  readonly transcript: ReadonlyArray<string>
  /** Two runs with the same hash did the same. */
  readonly hash: string
  readonly tasks: number
  /** How much virtual time has passed. */
  readonly millis: number
}

// Far more than any scenario takes: who comes here does not end.
const mostMillis = 2 * 60 * 60 * 1000
const mostTasks = 3_000_000

interface World {
  readonly random: Random
  readonly clock: VirtualClock
  readonly run: Run
  readonly scenario: Scenario.Scenario
  readonly engine: SimulatedEngine.SimulatedEngine
}

/** Runs a seed to its end, on the caller's stack. */
export const run = (seed: number): Outcome => {
  const random = new Random(seed)
  const scenario = Scenario.make(random.child())
  const scheduler = new SeededScheduler({ random: random.child(), preemption: scenario.preemption })
  const clock = new VirtualClock((task) => scheduler.schedule(task))
  const told = new Run(clock)
  const engine = SimulatedEngine.make(scenario, told)
  const context = Context.empty().pipe(
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Clock.Clock, clock),
    Context.add(Logger.CurrentLoggers, new Set<Logger.Logger<unknown, unknown>>()),
    Context.add(WriteBudget, new Budget(scenario.bytesPerTurn)),
    Context.add(QueryEngine, engine.engine)
  )
  const fiber = Effect.runForkWith(context)(live({ random, clock, run: told, scenario, engine }))
  const tasks = drive(scheduler, clock, fiber)
  const exit = fiber.pollUnsafe()
  if (exit === undefined) told.wrong("world", `has not ended after ${tasks} tasks`)
  else if (exit._tag === "Failure") told.wrong("world", `broke: ${exit.cause}`)
  for (const [id, fate] of engine.fates) if (fate.open) told.wrong("engine", `query ${id} is open`)
  return {
    seed,
    failures: told.failures,
    transcript: told.transcript,
    hash: createHash("sha256").update(told.transcript.join("\n")).digest("hex").slice(0, 16),
    tasks,
    millis: told.now
  }
}

const drive = (
  scheduler: SeededScheduler,
  clock: VirtualClock,
  fiber: Fiber.Fiber<unknown, unknown>
): number => {
  let tasks = 0
  while (fiber.pollUnsafe() === undefined && tasks < mostTasks) {
    if (scheduler.runOne()) tasks++
    else if (clock.currentTimeMillisUnsafe() > mostMillis || !clock.advance()) break
  }
  return tasks
}

const live = (world: World) =>
  Effect.asVoid(
    Effect.forEach(world.scenario.clients, (client) => Effect.scoped(serve(world, client)), {
      concurrency: "unbounded"
    })
  )

/** One connection, from its opening until both of its ends have ended. */
const serve = Effect.fnUntraced(function* (world: World, client: Scenario.Client) {
  const { clock, engine, random, run, scenario } = world
  const who = `client ${client.id}`
  yield* Effect.sleep(client.startsAt)
  const reference = new Reference({ run, who, scenario, client, fates: engine.fates })
  const [near, far] = Network.connect({ random: random.child(), clock, conditions: client.conditions })
  const watch = new ServerWatch({
    run,
    who: `server ${client.id}`,
    scenario,
    client,
    reference,
    fates: engine.fates
  })
  const connection = Connection.make(watch.tap(near.socket), {
    info: { id: client.id, local: "server", remote: who },
    settings: scenario.settings,
    refusing: client.refused ? "overloaded" : undefined
  })
  const server = yield* connection.run.pipe(
    Effect.provideService(ConnectionEvents, { publish: (event) => watch.publish(event) }),
    Effect.forkScoped
  )
  if (scenario.stop !== undefined) {
    yield* Effect.forkScoped(stop(world, { stop: scenario.stop, connection, server, reference }))
  }
  const options = { run, who, random: random.child(), settings: scenario.settings, client, reference }
  const peer = scenario.packaged.has(client.id)
    ? PackageClient.live(far, options)
    : new SimulatedClient(far, options).live
  const living = yield* Effect.forkScoped(Effect.scoped(peer))
  const exit = yield* Fiber.await(server)
  watch.returned(exit)
  const lived = yield* Fiber.await(living)
  if (lived._tag === "Failure") run.wrong(who, `broke: ${lived.cause}`)
})

interface Stopping {
  readonly stop: Scenario.Stop
  readonly connection: Connection.Connection
  readonly server: Fiber.Fiber<unknown>
  readonly reference: Reference
}

const stop = (world: World, { connection, reference, server, stop }: Stopping) =>
  Effect.gen(function* () {
    yield* Effect.sleep(stop.at)
    reference.drained = true
    world.run.tell("server", stop.how)
    if (stop.how === "interrupt") {
      server.interruptUnsafe()
      return
    }
    yield* connection.drain
    yield* Effect.sleep(stop.patience)
    reference.drainExpired = true
    world.run.tell("server", "drain expired")
    yield* connection.drainExpired
  })
