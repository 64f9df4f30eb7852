import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Client from "../../src/client/Client.ts"
import { Random } from "../simulation/Random.ts"
import { isLong } from "../support/Long.ts"
import * as ProcessStatus from "../support/ProcessStatus.ts"
import * as WatchedServer from "../support/WatchedServer.ts"
import * as Catalogue from "./Catalogue.ts"
import * as Plot from "./Plot.ts"
import type * as Sample from "./Sample.ts"
import * as Soak from "./Soak.ts"
import * as Tally from "./Tally.ts"
import * as Trend from "./Trend.ts"
import * as Verdict from "./Verdict.ts"

const mebi = 2 ** 20

const sample = (seconds: number, residentBytes = 300 * mebi): Sample.Sample => ({
  seconds,
  residentBytes,
  anonymousBytes: residentBytes / 2,
  handles: 40,
  threads: 70,
  connections: 20,
  cpu: 0.5,
  completedPerSecond: 50,
  cancelledPerSecond: 3,
  abandonedPerSecond: 2,
  bytesPerSecond: 2e7,
  failed: 0,
  p50: 3,
  p99: 40
})

const held: Soak.Held = {
  heapBytes: 26 * mebi,
  codeBytes: 6 * mebi,
  externalBytes: 6 * mebi,
  engineBytes: 10 * mebi,
  sockets: 4,
  timers: 2
}

/** Moments of a load, half a minute apart, with up to `noise` more held than said. */
const livings = (heapBytes: (moment: number) => number, noise = 4 * mebi): ReadonlyArray<Sample.Living> => {
  const random = new Random(1)
  return Array.from({ length: 120 }, (_, i) => ({
    ...held,
    seconds: 30 * i,
    heapBytes: heapBytes(i) + random.below(noise)
  }))
}

const rest: Soak.Rest = {
  ...held,
  residentBytes: 300 * mebi,
  anonymousBytes: 200 * mebi,
  handles: 25,
  threads: 73,
  fibers: 5,
  cpuSeconds: 1
}

const outcome: Soak.Outcome = {
  samples: Array.from({ length: 240 }, (_, i) => sample(i * 5)),
  livings: livings(() => held.heapBytes),
  total: { ...Tally.make(), completed: 1 },
  restarts: 1,
  before: rest,
  after: rest,
  places: Soak.maxConcurrentQueries,
  leftConnections: 0,
  closings: { read: 3 },
  complaints: [],
  exit: 0
}

const broken = (changes: Partial<Soak.Outcome>): ReadonlyArray<string> =>
  Verdict.findings({ ...outcome, ...changes }).flatMap(({ holds, text }) => (holds ? [] : [text]))

describe("a soak", () => {
  it.live.skipIf(!(isLong && ProcessStatus.isAvailable))(
    "of a moment completes, cancels, leaves and replaces, and finds the server as it was",
    () =>
      Effect.gen(function* () {
        const samples: Array<Sample.Sample> = []
        const seen = () => samples.some(({ cancelledPerSecond }) => cancelledPerSecond > 0)
        const until = (condition: () => boolean): Effect.Effect<void> =>
          Effect.suspend(() =>
            condition() ? Effect.void : Effect.andThen(Effect.sleep(20), until(condition))
          )
        const result = yield* Soak.run({
          seed: 1,
          processes: 1,
          pace: 1,
          sampleMillis: 200,
          liveMillis: 1_000,
          restartMillis: [5_000, 8_000],
          load: until(() => seen() && samples.some(({ completedPerSecond }) => completedPerSecond > 0)),
          onSample: (each) => samples.push(each),
          onLiving: () => {}
        })
        assert.deepStrictEqual(broken(result), [])
        assert.isAbove(result.total.completed, 0)
        assert.isAbove(result.total.cancelled, 0)
        assert.isAbove(result.total.bytes, 0)
      }),
    120_000
  )
})

/** What a server holds while it answers: a moment after each hundred queries. */
const underQueries = Effect.fnUntraced(function* (preload: ReadonlyArray<string>) {
  const server = yield* WatchedServer.start({ preload })
  const clients = yield* Effect.replicateEffect(Client.connect(server.tcp), 10)
  const ten = (client: Client.Client["Service"]) =>
    Effect.replicateEffect(Catalogue.fingerprint(client, Catalogue.probe), 10)
  const moments: Array<Sample.Living> = []
  while (moments.length < 20) {
    yield* Effect.forEach(clients, ten, { concurrency: "unbounded" })
    moments.push({
      ...(yield* Soak.held(server, clients[0] as Client.Client["Service"])),
      seconds: moments.length
    })
  }
  return moments
}, Effect.orDie)

const plantedLeak = new URL("./PlantedLeak.ts", import.meta.url).href

describe.skipIf(!isLong)("the verdict on memory", () => {
  const names = (found: ReadonlyArray<string>) => found.map((text) => text.split(":")[0])

  it.live.skipIf(!ProcessStatus.isAvailable)(
    "names what keeps a kilobyte of each query",
    () =>
      Effect.gen(function* () {
        const found = broken({ livings: yield* underQueries([plantedLeak]) })
        assert.deepStrictEqual(names(found), ["objects", "buffers"])
      }),
    120_000
  )

  it.live.skipIf(!ProcessStatus.isAvailable)(
    "finds that the server keeps nothing of them",
    () => Effect.map(underQueries([]), (moments) => assert.deepStrictEqual(broken({ livings: moments }), [])),
    120_000
  )

  it("is not good with a slow growth below the noise of its moments", () => {
    assert.match(
      broken({ livings: livings((i) => 26 * mebi + i * 2 ** 15) }).join(),
      /^objects: .* 2\.\d+ MiB more/
    )
  })

  it("takes a growth that ends, and a few moments far off, for what they are", () => {
    const filling = livings((i) => 26 * mebi + Math.min(i, 30) * mebi)
    const busy = livings((i) => (i % 9 === 8 ? 80 : 26) * mebi)
    for (const each of [filling, busy]) assert.deepStrictEqual(broken({ livings: each }), [])
  })

  it("says so where there is too little to judge", () => {
    const [first] = Verdict.findings({ ...outcome, livings: outcome.livings.slice(0, 10) })
    assert.include(first?.text, "not judged by 8 moments")
  })
})

describe("the verdict", () => {
  it("is good where nothing grew, was left or failed", () => {
    assert.deepStrictEqual(broken({}), [])
  })

  it.each([
    ["more resident than it may have", { samples: [sample(0, Verdict.residentBound + 1)] }],
    ["memory that is left", { after: { ...rest, engineBytes: 13 * mebi } }],
    ["a handle that is left", { after: { ...rest, handles: 26 } }],
    ["a fiber that is left", { after: { ...rest, fibers: 6 } }],
    ["a place that is lost", { places: Soak.maxConcurrentQueries - 1 }],
    ["a connection that is left", { leftConnections: 1 }],
    ["a failure", { total: { ...outcome.total, failed: 1 } }],
    ["no result at all", { total: Tally.make() }],
    ["a violation of the protocol", { closings: { protocol: 1 } }],
    ["a complaint of the server", { complaints: ["Error: x"] }],
    ["another end of the server", { exit: "SIGKILL" }]
  ] as const)("is not, with %s", (_, changes) => {
    assert.isNotEmpty(broken(changes))
  })
})

describe("a trend", () => {
  const line = (slope: number, noise: number, seed: number) => {
    const random = new Random(seed)
    return Array.from(
      { length: 60 },
      (_, i): Trend.Point => [10 * i, slope * 10 * i + random.below(noise + 1)]
    )
  }

  it("of a line is its slope", () => {
    assert.deepStrictEqual(Trend.of(line(3, 0, 1)), { slope: 3, lowest: 3, highest: 3 })
  })

  it("has the true slope between its bounds, and zero where there is none", () => {
    for (let seed = 1; seed <= 200; seed++) {
      for (const slope of [0, 2]) {
        const { highest, lowest } = Trend.of(line(slope, 1000, seed))
        assert.isTrue(
          lowest <= slope && slope <= highest,
          `seed ${seed}: ${slope} not in ${lowest}..${highest}`
        )
      }
    }
  })

  it("is told from noise as large as itself", () => {
    for (let seed = 1; seed <= 200; seed++) assert.isAbove(Trend.of(line(2, 1000, seed)).lowest, 0)
  })

  it("says nothing of few points", () => {
    const { highest, lowest } = Trend.of([
      [0, 0],
      [1, 1],
      [2, 2]
    ])
    assert.deepStrictEqual([lowest, highest], [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
  })
})

describe("the plot", () => {
  it("has round marks that reach beyond the largest value", () => {
    assert.deepStrictEqual(Plot.ticks(37), [0, 10, 20, 30, 40])
    assert.deepStrictEqual(Plot.ticks(1), [0, 0.5, 1])
    assert.deepStrictEqual(Plot.powers(3, 240), [1, 10, 100, 1000])
  })

  it("draws each value where it belongs, and escapes its words", () => {
    const svg = Plot.svg({
      title: "<all>",
      charts: [
        {
          title: "x",
          unit: "y",
          series: [
            {
              name: "z",
              points: [
                [0, 0],
                [10, 4]
              ]
            }
          ]
        }
      ]
    })
    assert.include(svg, "&#60;all&#62;")
    // From the lower left corner of the chart to its upper right one.
    assert.include(svg, 'd="M70.0 222.0L936.0 72.0"')
  })
})
