/**
 * What a soak looks at every few seconds, and what it makes of it in the end.
 */
import * as Plot from "./Plot.ts"
import type { Held } from "./Soak.ts"

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

/** What the server holds on to at a moment of the load. */
export interface Living extends Held {
  /** Since the start. */
  readonly seconds: number
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

export const formatLiving = ({
  codeBytes,
  engineBytes,
  externalBytes,
  heapBytes,
  ...living
}: Living): string => {
  const mebibytes = (bytes: number) => `${(bytes / mebi).toFixed(2)} MiB`
  return (
    `${Math.round(living.seconds)} s`.padStart(7) +
    ` live: objects ${mebibytes(heapBytes)}, code ${mebibytes(codeBytes)}, buffers ${mebibytes(externalBytes)}, ` +
    `engine ${mebibytes(engineBytes)}, ${living.sockets} sockets, ${living.timers} timers`
  )
}

const over =
  <A extends { readonly seconds: number }>(moments: ReadonlyArray<A>) =>
  (name: string, value: (moment: A) => number): Plot.Series => ({
    name,
    points: moments.map((moment) => [moment.seconds, value(moment)])
  })

export const plot = (
  title: string,
  samples: ReadonlyArray<Sample>,
  livings: ReadonlyArray<Living>
): string => {
  const series = over(samples)
  const living = over(livings)
  return Plot.svg({
    title,
    charts: [
      {
        title: "What the server holds on to",
        unit: "MiB",
        series: [
          living("objects", ({ heapBytes }) => heapBytes / mebi),
          living("buffers", ({ externalBytes }) => externalBytes / mebi),
          living("engine", ({ engineBytes }) => engineBytes / mebi)
        ]
      },
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
          series("connections", ({ connections }) => connections),
          living("timers", ({ timers }) => timers)
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
