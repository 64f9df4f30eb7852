/**
 * Load on the real server for as long as asked, watched from outside; and what is left of it afterwards.
 */
import { performance } from "node:perf_hooks"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Client from "../../src/client/Client.ts"
import { Random } from "../simulation/Random.ts"
import { percentile } from "../support/Percentile.ts"
import type { ProcessStatus } from "../support/ProcessStatus.ts"
import * as WatchedServer from "../support/WatchedServer.ts"
import * as Catalogue from "./Catalogue.ts"
import * as ClientProcess from "./ClientProcess.ts"
import type { Sample } from "./Sample.ts"
import * as Tally from "./Tally.ts"

export interface Options {
  readonly seed: number
  /** Processes of clients, eight connections each. */
  readonly processes: number
  readonly sampleMillis: number
  /** A process of clients is killed after a random time between these two, and another one after that. */
  readonly restartMillis: readonly [least: number, most: number]
  /** Ends when the load is to end. */
  readonly load: Effect.Effect<void>
  readonly onSample: (sample: Sample) => void
}

export interface Outcome {
  readonly samples: ReadonlyArray<Sample>
  readonly total: Tally.Tally
  readonly restarts: number
  /** Before the load and after it. */
  readonly before: ProcessStatus
  readonly after: ProcessStatus
  /** Connections that were left after the load, but for the one that asks how many. */
  readonly leftConnections: number
  readonly closings: Readonly<Record<string, number>>
  readonly complaints: ReadonlyArray<string>
  readonly exit: number | NodeJS.Signals
}

const probeMillis = 100
const restMillis = 30_000

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
  private readonly startedAt = performance.now()
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

/** Waits until the server has as little open as before; not for ever. */
const rest = Effect.fnUntraced(function* (server: WatchedServer.WatchedServer, before: ProcessStatus) {
  const deadline = performance.now() + restMillis
  const rested = () => server.counts().connections === 1 && server.status().handles <= before.handles
  while (server.running() && !rested() && performance.now() < deadline) yield* Effect.sleep(50)
})

export const run = (options: Options): Effect.Effect<Outcome> =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* WatchedServer.start()
      const client = yield* Effect.orDie(Client.connect(server.tcp))
      const fingerprints = yield* Effect.orDie(Catalogue.fingerprints(client))
      const before = server.status()
      const sampler = new Sampler(server)
      const samples: Array<Sample> = []

      const sampling = Effect.gen(function* () {
        yield* Effect.sleep(options.sampleMillis)
        if (!server.running()) return yield* Effect.die(new Error(`the server ended: ${server.complaints()}`))
        const sample = sampler.sample()
        samples.push(sample)
        options.onSample(sample)
      })
      const restarts = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Effect.forkScoped(
            Effect.catchCause(probe(client, sampler.latencies), (cause) =>
              Effect.sync(() => Tally.fail(sampler.total, `the probe failed: ${Cause.pretty(cause)}`))
            )
          )
          const load = yield* startLoad(options, server, fingerprints, sampler)
          yield* Effect.raceFirst(options.load, Effect.forever(sampling))
          return load.restarts()
        })
      )
      yield* rest(server, before)
      const { closings, connections } = server.counts()
      const after = server.status()
      return {
        samples,
        total: sampler.total,
        restarts,
        before,
        after,
        leftConnections: connections - 1,
        closings: { ...closings },
        exit: yield* server.stop,
        complaints: server.complaints()
      }
    })
  )
