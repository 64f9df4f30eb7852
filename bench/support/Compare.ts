/**
 * The same load on several servers, in turns, so that a busy machine is unfair to all alike.
 */
import * as Figures from "./Figures.ts"
import * as Load from "./Load.ts"
import type { Options } from "./Options.ts"
import * as Processes from "./Processes.ts"
import * as Usage from "./Usage.ts"

/** A server and the client that loads it. */
export interface Contender {
  readonly name: string
  readonly server: Processes.Command
  readonly client: Processes.Command
}

export interface Case extends Load.Load {
  readonly name: string
}

/** Medians over the repeats. */
export interface Measurement {
  readonly case: string
  readonly server: string
  readonly seconds: number
  /** CPU seconds of the server's process. */
  readonly cpu: number
  /** The most memory that the server's process had resident. */
  readonly peakMiB: number
  readonly frames: number
  /** How much of the time the client was busy. At 1 of a single thread it is the bottleneck. */
  readonly clientBusy: number
  /** Speed, as a share of the first contender's in the same repeat. */
  readonly ratio: number
  /** The least and the greatest of those shares. */
  readonly range: readonly [least: number, greatest: number]
  /** CPU seconds, as a share of the first contender's; `null` if those were too few for the system's clock. */
  readonly cpuRatio: number | null
}

const warmUpSeconds = 3

type Sample = Pick<Measurement, "seconds" | "cpu" | "peakMiB" | "frames" | "clientBusy"> & {
  readonly checksum: number
}

/** A fresh server for each sample: its peak of memory is this load's. */
const sample = ({ client, server }: Contender, load: Load.Load, quick: boolean): Promise<Sample> =>
  Processes.using(server, [], async (process) => {
    const port = await process.line("port")
    const checksum = await warmUp(client, port, load, quick ? 0 : warmUpSeconds)
    const before = Usage.cpuSeconds(process.pid)
    const { cpu, frames, seconds } = await Load.run(client, port, load)
    return {
      seconds,
      cpu: Usage.cpuSeconds(process.pid) - before,
      peakMiB: Usage.peakMiB(process.pid),
      frames,
      clientBusy: cpu / seconds,
      checksum
    }
  })

/**
 * Compares what comes, and goes on until code is compiled and buffers are grown: what is measured is a server that
 * has been up for a while. The checksum of what came, where it is no text that is known.
 */
const warmUp = async (
  client: Processes.Command,
  port: string,
  load: Load.Load,
  seconds: number
): Promise<number> => {
  let last: Load.Result
  let spent = 0
  do {
    last = await Load.run(client, port, load, { verify: true })
    spent += last.seconds
  } while (spent < seconds)
  return last.checksum ?? 0
}

/** Measures each contender; ratios are to the first. */
export const measure = async (
  test: Case,
  contenders: ReadonlyArray<Contender>,
  { quick, repeats }: Options
): Promise<ReadonlyArray<Measurement>> => {
  const samples = contenders.map((): Array<Sample> => [])
  for (let repeat = 0; repeat < repeats; repeat++) {
    const turns = [...contenders.entries()]
    // Back and forth, so that nobody always comes after the same one.
    if (repeat % 2 === 1) turns.reverse()
    for (const [i, contender] of turns) samples[i]?.push(await sample(contender, test, quick))
  }
  const checksums = new Set(samples.flat().map(({ checksum }) => checksum))
  if (checksums.size > 1) throw new Error(`${test.name}: the results of the servers differ`)
  const [baseline = []] = samples
  return samples.map((all, i) => {
    const of = (what: keyof Sample) => Figures.median(all.map((one) => one[what]))
    const shares = (what: keyof Sample) =>
      all.map((one, repeat) => one[what] / (baseline[repeat]?.[what] ?? Number.NaN))
    const speeds = shares("seconds").map((share) => 1 / share)
    const cpuRatio = Figures.median(shares("cpu"))
    return {
      case: test.name,
      server: contenders[i]?.name ?? "",
      seconds: of("seconds"),
      cpu: of("cpu"),
      peakMiB: of("peakMiB"),
      frames: of("frames"),
      clientBusy: of("clientBusy"),
      ratio: Figures.median(speeds),
      range: [Math.min(...speeds), Math.max(...speeds)],
      cpuRatio: Number.isFinite(cpuRatio) ? cpuRatio : null
    }
  })
}

/** A row of a table: what all of them show, around a bench's own figures. */
export const row = (measured: Measurement, own: Figures.Row): Figures.Row => ({
  case: measured.case,
  server: measured.server,
  ratio: Figures.round(measured.ratio),
  range: measured.range.map((ratio) => ratio.toFixed(2)).join(" – "),
  "CPU ratio": Figures.round(measured.cpuRatio),
  ...own,
  "peak MiB": Math.round(measured.peakMiB),
  "client busy": Figures.round(measured.clientBusy)
})
