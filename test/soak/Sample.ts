/**
 * What a soak looks at every few seconds, and what it makes of it in the end.
 */
import * as Plot from "./Plot.ts"

export interface Sample {
  /** Since the start. */
  readonly seconds: number
  readonly residentBytes: number
  readonly anonymousBytes: number
  readonly handles: number
  readonly threads: number
  readonly connections: number
  /** Of the server, as a share of one core. */
  readonly cpu: number
  readonly completedPerSecond: number
  readonly cancelledPerSecond: number
  readonly abandonedPerSecond: number
  readonly bytesPerSecond: number
  /** Failures so far that should not have been. */
  readonly failed: number
  /** Of the probes since the sample before, in milliseconds. */
  readonly p50: number
  readonly p99: number
}

const mebi = 2 ** 20

export const header =
  "   time  resident  anonymous  handles  threads  conns   cpu    done/s  cancelled/s  left/s    MB/s  p50 ms  p99 ms  failed"

export const format = (sample: Sample): string =>
  [
    `${Math.round(sample.seconds)} s`.padStart(7),
    `${Math.round(sample.residentBytes / mebi)} MiB`.padStart(9),
    `${Math.round(sample.anonymousBytes / mebi)} MiB`.padStart(10),
    String(sample.handles).padStart(8),
    String(sample.threads).padStart(8),
    String(sample.connections).padStart(6),
    `${Math.round(sample.cpu * 100)} %`.padStart(6),
    sample.completedPerSecond.toFixed(1).padStart(8),
    sample.cancelledPerSecond.toFixed(1).padStart(12),
    sample.abandonedPerSecond.toFixed(1).padStart(7),
    (sample.bytesPerSecond / 1e6).toFixed(1).padStart(7),
    sample.p50.toFixed(1).padStart(7),
    sample.p99.toFixed(1).padStart(7),
    String(sample.failed).padStart(7)
  ].join(" ")

/** The line of least squares: by how much values grow in an hour, and how uncertain that is (one sigma). */
export const slopePerHour = (
  samples: ReadonlyArray<Sample>,
  value: (sample: Sample) => number
): { readonly slope: number; readonly error: number } => {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / Math.max(samples.length, 1)
  const [seconds, height] = [mean((sample) => sample.seconds), mean(value)]
  const spread = samples.reduce((sum, sample) => sum + (sample.seconds - seconds) ** 2, 0)
  if (samples.length < 3 || spread === 0) return { slope: 0, error: Number.POSITIVE_INFINITY }
  const slope =
    samples.reduce((sum, sample) => sum + (sample.seconds - seconds) * (value(sample) - height), 0) / spread
  const left = samples.reduce(
    (sum, sample) => sum + (value(sample) - height - slope * (sample.seconds - seconds)) ** 2,
    0
  )
  const error = Math.sqrt(left / (samples.length - 2) / spread)
  return { slope: slope * 3600, error: error * 3600 }
}

export const plot = (title: string, samples: ReadonlyArray<Sample>): string => {
  const series = (name: string, value: (sample: Sample) => number): Plot.Series => ({
    name,
    values: samples.map(value)
  })
  return Plot.svg({
    title,
    seconds: samples.map(({ seconds }) => seconds),
    charts: [
      {
        title: "Memory of the server",
        unit: "MiB",
        series: [
          series("resident", ({ residentBytes }) => residentBytes / mebi),
          series("anonymous", ({ anonymousBytes }) => anonymousBytes / mebi)
        ]
      },
      {
        title: "Handles of the server",
        unit: "count",
        series: [
          series("descriptors", ({ handles }) => handles),
          series("threads", ({ threads }) => threads),
          series("connections", ({ connections }) => connections)
        ]
      },
      {
        title: "Latency of a small query",
        unit: "ms, logarithmic",
        logarithmic: true,
        series: [series("p50", ({ p50 }) => p50), series("p99", ({ p99 }) => p99)]
      },
      {
        title: "Responses",
        unit: "1/s",
        series: [
          series("complete", ({ completedPerSecond }) => completedPerSecond),
          series("cancelled", ({ cancelledPerSecond }) => cancelledPerSecond),
          series("left by the client", ({ abandonedPerSecond }) => abandonedPerSecond)
        ]
      },
      {
        title: "Result bytes received",
        unit: "MB/s",
        series: [series("results", ({ bytesPerSecond }) => bytesPerSecond / 1e6)]
      },
      {
        title: "Processor time of the server",
        unit: "% of a core",
        series: [series("server", ({ cpu }) => cpu * 100)]
      }
    ]
  })
}
