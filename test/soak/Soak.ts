/**
 * Load on the real server for as long as asked, watched from outside; and what is left of it afterwards.
 */
import { performance } from "node:perf_hooks"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Client from "../../src/client/Client.ts"
import { Random } from "../simulation/Random.ts"
import type { Live } from "../support/Gauge.ts"
import { percentile } from "../support/Percentile.ts"
import type { ProcessStatus } from "../support/ProcessStatus.ts"
import * as WatchedServer from "../support/WatchedServer.ts"
import * as Catalogue from "./Catalogue.ts"
import * as ClientProcess from "./ClientProcess.ts"
import type { Living, Sample } from "./Sample.ts"
import * as Tally from "./Tally.ts"

export interface Options {
  readonly seed: number
  /** Processes of clients, eight connections each. */
  readonly processes: number
  /** How many times longer the clients pause than they would by themselves. */
  readonly pace: number
  readonly sampleMillis: number
  /** How often the server's garbage is collected, to see what it holds. */
  readonly liveMillis: number
  /** A process of clients is killed after a random time between these two, and another one after that. */
  readonly restartMillis: readonly [least: number, most: number]
  /** Ends when the load is to end. */
  readonly load: Effect.Effect<void>
  readonly onSample: (sample: Sample) => void
  readonly onLiving: (living: Living) => void
}

/** What a server holds on to. */
export interface Held extends Live {
  /** What DuckDB says that it holds. */
  readonly engineBytes: number
}

/** What it has when nobody but the one that asks is connected. */
export interface Rest extends ProcessStatus, Held {
  readonly fibers: number
}

export interface Outcome {
  readonly samples: ReadonlyArray<Sample>
  readonly livings: ReadonlyArray<Living>
  readonly total: Tally.Tally
  readonly restarts: number
  /** Before the load and after it. */
  readonly before: Rest
  readonly after: Rest
  /** How many queries could run at a time after the load. */
  readonly places: number
  /** Connections that were left after the load, but for the one that asks how many. */
  readonly leftConnections: number
  readonly closings: Readonly<Record<string, number>>
  readonly complaints: ReadonlyArray<string>
  readonly exit: number | NodeJS.Signals
}

/** As many queries as the server of a soak runs at a time. */
export const maxConcurrentQueries = 32

const probeMillis = 100
const restMillis = 30_000

/** Has the server's garbage collected, and sees what is left; the client is one of it. */
export const held = Effect.fnUntraced(function* (
  server: WatchedServer.WatchedServer,
  client: Client.Client["Service"]
): Effect.fn.Return<Held> {
  const live = yield* server.live
  return { ...live, engineBytes: yield* Effect.orDie(Catalogue.engineBytes(client)) }
})

/** Asks for something small all the time, and notes how long the answer took, in milliseconds. */
const probe = Effect.fnUntraced(function* (client: Client.Client["Service"], latencies: Array<number>) {
  while (true) {
    const startedAt = performance.now()
    yield* Catalogue.fingerprint(client, Catalogue.probe)
    latencies.push(performance.now() - startedAt)
    yield* Effect.sleep(probeMillis)
  }
})

/** Makes samples out of what has happened since the one before. */
class Sampler {
  private readonly server: WatchedServer.WatchedServer
  readonly startedAt = performance.now()
  private last: { readonly at: number; readonly cpuSeconds: number; readonly total: Tally.Tally }
  readonly total = Tally.make()
  readonly latencies: Array<number> = []

  constructor(server: WatchedServer.WatchedServer) {
    this.server = server
    this.last = { at: this.startedAt, cpuSeconds: server.status().cpuSeconds, total: Tally.make() }
  }

  sample(): Sample {
    const { cpuSeconds, ...status } = this.server.status()
    const { at, total } = this.last
    const now = performance.now()
    const seconds = (now - at) / 1000
    const rate = (of: "abandoned" | "bytes" | "cancelled" | "completed") =>
      (this.total[of] - total[of]) / seconds
    const latencies = this.latencies.splice(0)
    const sample: Sample = {
      ...status,
      seconds: (now - this.startedAt) / 1000,
      connections: this.server.counts().connections,
      cpu: (cpuSeconds - this.last.cpuSeconds) / seconds,
      completedPerSecond: rate("completed"),
      cancelledPerSecond: rate("cancelled"),
      abandonedPerSecond: rate("abandoned"),
      bytesPerSecond: rate("bytes"),
      failed: this.total.failed,
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99)
    }
    this.last = { at: now, cpuSeconds, total: { ...this.total } }
    return sample
  }
}

/** The load with everything that happens during it. It ends with the scope. */
const startLoad = Effect.fnUntraced(function* (
  options: Options,
  server: WatchedServer.WatchedServer,
  fingerprints: Catalogue.Fingerprints,
  sampler: Sampler
): Effect.fn.Return<{ readonly restarts: () => number }, never, Scope.Scope> {
  const random = new Random(options.seed)
  let restarts = 0
  const processes = yield* Effect.forEach(Array.from({ length: options.processes }), () =>
    ClientProcess.start({
      address: server.tcp,
      pace: options.pace,
      fingerprints,
      seed: () => random.next(),
      onTally: (tally) => Tally.add(sampler.total, tally),
      onDeath: (words) => Tally.fail(sampler.total, words)
    })
  )
  const restart = Effect.gen(function* () {
    yield* Effect.sleep(random.between(...options.restartMillis))
    yield* processes[random.below(processes.length)]?.restart ?? Effect.void
    restarts++
  })
  yield* Effect.forkScoped(Effect.forever(restart))
  return { restarts: () => restarts }
})

/** What must be as it was when the load is over. */
export const counts = ["handles", "threads", "fibers", "sockets", "timers"] as const

/** What the server has when it has come to rest: what two readings in a row agree about. */
const settled = Effect.fnUntraced(function* (atRest: Effect.Effect<Rest>): Effect.fn.Return<Rest> {
  let last = yield* atRest
  while (true) {
    const next = yield* atRest
    const same = counts.every((name) => next[name] === last[name])
    // What belongs to code that is not used any more goes after some collections.
    if (same && next.heapBytes > last.heapBytes - 2 ** 16) return next
    last = next
  }
})

/** Waits until the server has as little open as before, not for ever; what it has then. */
const rest = Effect.fnUntraced(function* (
  server: WatchedServer.WatchedServer,
  atRest: Effect.Effect<Rest>,
  before: Rest
) {
  const deadline = performance.now() + restMillis
  while (true) {
    const after = yield* atRest
    const rested = server.counts().connections === 1 && counts.every((name) => after[name] <= before[name])
    if (rested || performance.now() > deadline) return after
  }
})

/** Has as many queries run as may, and counts those that do; a place that was lost keeps one of them waiting. */
const places = Effect.fnUntraced(function* (server: WatchedServer.WatchedServer) {
  let running = 0
  const query = Effect.gen(function* () {
    const client = yield* Client.connect(server.tcp)
    yield* client.query(Catalogue.endless)
    running++
    return yield* Effect.never
  })
  const all = Effect.replicateEffect(query, maxConcurrentQueries, { concurrency: "unbounded", discard: true })
  const seen = Effect.gen(function* () {
    const deadline = performance.now() + restMillis
    while (running < maxConcurrentQueries && performance.now() < deadline) yield* Effect.sleep(20)
  })
  yield* Effect.orDie(Effect.scoped(Effect.raceFirst(all, seen)))
  return running
})

export const run = (options: Options): Effect.Effect<Outcome> =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* WatchedServer.start({
        args: ["--max-concurrent-queries", String(maxConcurrentQueries)]
      })
      const client = yield* Effect.orDie(Client.connect(server.tcp))
      const fingerprints = yield* Effect.orDie(Catalogue.fingerprints(client))
      const atRest = Effect.gen(function* () {
        const fibers = yield* server.fibers
        return { ...(yield* held(server, client)), ...server.status(), fibers }
      })
      const before = yield* settled(atRest)
      const sampler = new Sampler(server)
      const samples: Array<Sample> = []
      const livings: Array<Living> = []

      const sampling = Effect.gen(function* () {
        yield* Effect.sleep(options.sampleMillis)
        if (!server.running()) return yield* Effect.die(new Error(`the server ended: ${server.complaints()}`))
        const sample = sampler.sample()
        samples.push(sample)
        options.onSample(sample)
      })
      const collecting = Effect.gen(function* () {
        yield* Effect.sleep(options.liveMillis)
        const all = yield* held(server, client)
        const living = { ...all, seconds: (performance.now() - sampler.startedAt) / 1000 }
        livings.push(living)
        options.onLiving(living)
      })
      const restarts = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Effect.forkScoped(
            Effect.catchCause(probe(client, sampler.latencies), (cause) =>
              Effect.sync(() => Tally.fail(sampler.total, `the probe failed: ${Cause.pretty(cause)}`))
            )
          )
          const load = yield* startLoad(options, server, fingerprints, sampler)
          yield* Effect.raceAllFirst([options.load, Effect.forever(sampling), Effect.forever(collecting)])
          return load.restarts()
        })
      )
      const after = yield* rest(server, atRest, before)
      const { closings, connections } = server.counts()
      return {
        samples,
        livings,
        total: sampler.total,
        restarts,
        before,
        after,
        places: yield* places(server),
        leftConnections: connections - 1,
        closings: { ...closings },
        exit: yield* server.stop,
        complaints: server.complaints()
      }
    })
  )
