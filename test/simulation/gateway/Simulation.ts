/**
 * One run of a gateway with its back-ends and clients: a seed, a world made of it, and what was found wrong.
 */
import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as EffectRandom from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { Access } from "../../../src/gateway/Access.ts"
import * as Caller from "../../../src/gateway/Caller.ts"
import * as Core from "../../../src/gateway/Core.ts"
import * as GatewayConfig from "../../../src/gateway/GatewayConfig.ts"
import * as Rules from "../../../src/gateway/Rules.ts"
import { TurnScheduler, Scheduler as Turns } from "../../../src/loop/TurnScheduler.ts"
import * as Transport from "../../../src/net/Transport.ts"
import { Random } from "../Random.ts"
import { Run } from "../Run.ts"
import { SeededScheduler } from "../SeededScheduler.ts"
import type { Outcome, Subject, Variation } from "../Subject.ts"
import { VirtualClock } from "../VirtualClock.ts"
import { Backend } from "./Backend.ts"
import * as Client from "./Client.ts"
import type * as Engine from "./Engine.ts"
import { Judge } from "./Judge.ts"
import * as Reduction from "./Reduction.ts"
import * as RollCall from "./RollCall.ts"
import * as Scenario from "./Scenario.ts"
import * as Wiretap from "./Wiretap.ts"

// Far more than any scenario takes: who comes here does not end.
const mostMillis = 10 * 60 * 1000
const mostTasks = 3_000_000

/** How long all of it may take to fall silent when it has ended: the last segments are on their way. */
const mostAfterMillis = 10_000

interface World {
  readonly run: Run
  readonly scenario: Scenario.Scenario
  readonly judge: Judge
  readonly backends: ReadonlyMap<string, Backend>
  /** What decides on each client. */
  readonly randoms: ReadonlyArray<Random>
  readonly rollCall: RollCall.RollCall
}

export const asItIs: Variation = { without: [], order: 0 }

/** Fibers that have begun and not ended. */
const counting = () => {
  const count = { fibers: 0 }
  const service: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => {
      count.fibers++
    },
    recordFiberEnd: () => {
      count.fibers--
    }
  }
  return { count, service }
}

/** Tells the judge of the lines that the gateway's log has of queries. */
const logger = (judge: Judge): Logger.Logger<unknown, void> =>
  Logger.make(({ message }) => {
    const [line, fields] = message as ReadonlyArray<unknown>
    const { event, queryId, state } = (fields ?? {}) as Record<string, string>
    if (event === "Query") judge.ends(String(queryId), String(state))
    else judge.run.tell("log", String(line))
  })

/** Runs a seed to its end, on the caller's stack. */
export const run = (seed: number, { order, without }: Variation = asItIs): Outcome => {
  const random = new Random(seed)
  const scenario = Reduction.apply(Scenario.make(random.child()), without)
  const randoms = Array.from({ length: Scenario.mostClients }, () => random.child())
  const networks = Scenario.addresses.map(() => random.child())
  const effects = random.child()
  const orders = Array.from({ length: order + 1 }, () => random.child())
  const scheduler = new SeededScheduler({
    random: orders.at(-1) as Random,
    preemption: scenario.preemption
  })
  const clock = new VirtualClock((task) => scheduler.schedule(task))
  const told = new Run(clock)
  const judge = new Judge(told, scenario)
  const rollCall = new RollCall.RollCall(told)
  const engine: Engine.Options = {
    ...{ run: told, requests: Scenario.requests(scenario), began: judge.began, called: rollCall.called }
  }
  const { killed } = judge
  const backends = new Map(
    Scenario.addresses.map((address, index) => {
      const options = { run: told, clock, random: networks[index] as Random, scenario, engine, killed }
      return [address, new Backend(address, { ...options, listener: judge })] as const
    })
  )
  const { count, service } = counting()
  const context = Context.empty().pipe(
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Clock.Clock, clock),
    Context.add(Logger.CurrentLoggers, new Set([logger(judge)])),
    Context.add(Metric.FiberRuntimeMetrics, service),
    Context.add(EffectRandom.Random, {
      nextIntUnsafe: () => effects.next(),
      nextDoubleUnsafe: () => effects.next() / 2 ** 32
    }),
    Context.add(TurnScheduler, new Turns({ quantum: scenario.quantum, maxWriteSize: scenario.maxWriteSize })),
    // The gateway's connections go to the back-ends of the world, wherever they would go.
    Context.add(Transport.Wrapper, (open, { end, peer }) =>
      end === "server" ? open : Effect.suspend(() => (backends.get(peer()) as Backend).open)
    )
  )
  const world = { run: told, scenario, judge, backends, randoms, rollCall }
  const fiber = Effect.runForkWith(context)(live(world))
  const tasks = drive(clock, told, scheduler, fiber)
  const exit = fiber.pollUnsafe()
  if (exit?._tag === "Failure") told.wrong("world", `broke: ${exit.cause}`)
  if (exit === undefined && told.failures.length === 0)
    told.wrong("world", `has not ended after ${tasks} tasks`)
  if (exit?._tag === "Success" && told.failures.length === 0) {
    if (!isSilent(clock, scheduler)) told.wrong("world", "has timers when all has ended")
    if (count.fibers !== 0) told.wrong("world", `has ${count.fibers} fibers when all has ended`)
  }
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
  clock: VirtualClock,
  run: Run,
  scheduler: SeededScheduler,
  fiber: Fiber.Fiber<unknown, unknown>
): number => {
  let tasks = 0
  while (fiber.pollUnsafe() === undefined && tasks < mostTasks) {
    if (scheduler.runOne()) {
      tasks++
      continue
    }
    if (run.failures.length > 0) break
    if (clock.currentTimeMillisUnsafe() > mostMillis || !clock.advance()) break
  }
  return tasks
}

/** Whether nothing is left that would go on: a timer, or a task. */
const isSilent = (clock: VirtualClock, scheduler: SeededScheduler): boolean => {
  const until = clock.currentTimeMillisUnsafe() + mostAfterMillis
  while (clock.currentTimeMillisUnsafe() <= until) {
    if (!scheduler.runOne() && !clock.advance()) return true
  }
  return false
}

const configOf = ({ gateway }: Scenario.Scenario): GatewayConfig.GatewayConfig =>
  GatewayConfig.make({ ...gateway, http: [], backends: Scenario.targets })

/** Tells the judge of each query that the gateway takes up, and of the address that it asks. */
const watch = ({ backends, queries }: Core.Core, judge: Judge): void => {
  const open = queries.open.bind(queries)
  queries.open = (opened, clock) => {
    const made = open(opened, clock)
    if ("entry" in made) judge.takesUp(Scenario.idOf(opened.query) as number, made)
    return made
  }
  for (const instance of backends.all.flatMap(({ instances }) => instances)) {
    const { request } = instance.client
    const watched: typeof request = (body, options) => {
      const query = Wiretap.queryOf(body)
      if (query !== undefined) judge.asks(instance, query)
      return request(body, options)
    }
    const note = instance.note.bind(instance)
    const restore = instance.restore.bind(instance)
    Object.assign(instance, {
      client: { ...instance.client, request: watched },
      note: (...noted: Parameters<typeof note>) => {
        const isOut = note(...noted)
        if (isOut) judge.leaves(instance)
        return isOut
      },
      restore: () => {
        judge.returns(instance)
        restore()
      }
    })
  }
}

/** A gateway, from its start until it has stopped and all of its back-ends have. */
const live = Effect.fnUntraced(function* (world: World) {
  const { backends, judge, randoms, rollCall, run, scenario } = world
  const all = [...backends.values()]
  for (const backend of all) yield* backend.start
  const scope = yield* Scope.make()
  const config = configOf(scenario)
  const core = yield* Scope.provide(
    Core.make(config, { rules: Rules.none, access: new Access(undefined) }),
    scope
  )
  watch(core, judge)
  const { quota } = scenario
  const visits = scenario.clients.map((client) =>
    Client.live({ run, core, judge, client, quota, random: randoms[client.id - 1] as Random })
  )
  const events = scenario.events.map((event) =>
    Effect.andThen(Effect.sleep(event.at), (backends.get(event.address) as Backend).befalls(event))
  )
  yield* Effect.all([...visits, ...events, stop(world, core)], { concurrency: "unbounded", discard: true })
  yield* Effect.forEach(all, ({ calm }) => calm, { discard: true })
  yield* rollCall.take(core, scenario)
  yield* idle(world, core)
  judge.isDraining = true
  yield* core.drain
  yield* Scope.close(scope, Exit.void)
  yield* Effect.forEach(all, ({ end }) => end, { discard: true })
  judge.atEnd()
})

/** Stops the gateway, if the scenario does. */
const stop = ({ judge, run, scenario }: World, core: Core.Core): Effect.Effect<void> => {
  const how = scenario.stop
  if (how === undefined) return Effect.void
  const hurry =
    how.patience === undefined ? Effect.void : Effect.andThen(Effect.sleep(how.patience), core.stopNow)
  const drain = Effect.suspend(() => {
    run.tell("gateway", "stops")
    judge.isDraining = true
    return core.drain
  })
  return Effect.sleep(how.at).pipe(
    Effect.andThen(Effect.all([drain, hurry], { concurrency: "unbounded" })),
    Effect.andThen(Effect.sync(() => judge.drained()))
  )
}

/** Nothing is left of the queries: no place, no conversation that goes on, no count of a caller. */
const idle = Effect.fnUntraced(function* ({ judge, run, scenario }: World, core: Core.Core) {
  if (core.queries.size > 0) run.wrong("gateway", `has ${core.queries.size} queries when all have ended`)
  for (const { address, inFlight } of core.backends.all.flatMap(({ instances }) => instances)) {
    if (inFlight > 0) run.wrong("gateway", `counts ${inFlight} queries at ${address} when all have ended`)
  }
  const now = yield* Clock.monotonicTimeNanos
  for (const name of Scenario.callers.slice(1)) {
    for (let place = 0; place < Math.min(scenario.quota, 2); place++) {
      const admitted = core
        .access()
        .admit({ ...Caller.anybody, name, maxConcurrentQueries: scenario.quota }, now)
      if (typeof admitted !== "function")
        run.wrong("gateway", `counts queries of ${name} when all have ended`)
    }
  }
  const { conversationTimeout } = scenario.gateway
  if (conversationTimeout === Infinity) return
  yield* Effect.sleep(conversationTimeout)
  const later = yield* Clock.monotonicTimeNanos
  for (const key of judge.conversations.keys) {
    if (core.conversations.get(key, later) !== undefined) run.wrong("gateway", `keeps conversation ${key}`)
  }
})

/** A gateway with its back-ends and clients. */
export const subject: Subject<Scenario.Scenario, Variation> = {
  flags: () => ["--gateway"],
  run,
  scenario: (seed) => Scenario.make(new Random(seed).child()),
  apply: Reduction.apply,
  candidates: Reduction.candidates
}
