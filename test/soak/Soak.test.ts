import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ProcessStatus from "../support/ProcessStatus.ts"
import * as Plot from "./Plot.ts"
import * as Sample from "./Sample.ts"
import * as Soak from "./Soak.ts"
import * as Tally from "./Tally.ts"
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

const status: ProcessStatus.ProcessStatus = {
  residentBytes: 300 * mebi,
  anonymousBytes: 200 * mebi,
  handles: 25,
  threads: 73,
  cpuSeconds: 1
}

const outcome: Soak.Outcome = {
  samples: Array.from({ length: 240 }, (_, i) => sample(i * 5)),
  total: { ...Tally.make(), completed: 1 },
  restarts: 1,
  before: status,
  after: status,
  leftConnections: 0,
  closings: { read: 3 },
  complaints: [],
  exit: 0
}

const isGood = (changes: Partial<Soak.Outcome>) =>
  Verdict.findings({ ...outcome, ...changes }).every(({ holds }) => holds)

describe("a soak", () => {
  it.live.skipIf(!ProcessStatus.isAvailable)(
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
          sampleMillis: 200,
          restartMillis: [1_500, 2_000],
          load: until(() => seen() && samples.some(({ completedPerSecond }) => completedPerSecond > 0)),
          onSample: (each) => samples.push(each)
        })
        const broken = Verdict.findings(result).filter(({ holds }) => !holds)
        assert.deepStrictEqual(broken, [])
        assert.isAbove(result.total.completed, 0)
        assert.isAbove(result.total.cancelled, 0)
        assert.isAbove(result.total.bytes, 0)
      }),
    120_000
  )
})

describe("the verdict", () => {
  it("is good where nothing grew, was left or failed", () => {
    assert.isTrue(isGood({}))
  })

  it.each([
    ["memory that grows", { samples: outcome.samples.map((_, i) => sample(i * 5, (300 + i) * mebi)) }],
    ["a handle that is left", { after: { ...status, handles: 26 } }],
    ["a connection that is left", { leftConnections: 1 }],
    ["a failure", { total: { ...outcome.total, failed: 1 } }],
    ["no result at all", { total: Tally.make() }],
    ["a violation of the protocol", { closings: { protocol: 1 } }],
    ["a complaint of the server", { complaints: ["Error: x"] }],
    ["another end of the server", { exit: "SIGKILL" }]
  ] as const)("is not, with %s", (_, changes) => {
    assert.isFalse(isGood(changes))
  })

  it("takes the ups and downs of a heap for what they are", () => {
    assert.isTrue(
      isGood({ samples: outcome.samples.map((_, i) => sample(i * 5, (300 + 40 * (i % 7)) * mebi)) })
    )
  })

  it("measures growth", () => {
    const samples = Array.from({ length: 100 }, (_, i) => sample(i * 36, (300 + i) * mebi))
    const { error, slope } = Sample.slopePerHour(samples, ({ residentBytes }) => residentBytes / mebi)
    assert.closeTo(slope, 100, 1e-6)
    assert.closeTo(error, 0, 1e-6)
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
      seconds: [0, 10],
      charts: [{ title: "x", unit: "y", series: [{ name: "z", values: [0, 4] }] }]
    })
    assert.include(svg, "&#60;all&#62;")
    // From the lower left corner of the chart to its upper right one.
    assert.include(svg, 'd="M70.0 222.0L936.0 72.0"')
  })
})
