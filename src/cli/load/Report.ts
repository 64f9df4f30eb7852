/**
 * The output of `dataconn bench`: a table for people, an object for programs.
 */
import * as Printable from "../../server/Printable.ts"
import { type Counters, type Percentiles, percentiles, type Tally } from "./Tally.ts"
import type { Outcome, Second } from "./Threads.ts"

/** The parameters of a run. */
export interface Run {
  readonly mode: string
  readonly server: string
  readonly kinds: ReadonlyArray<string>
  readonly connections: number
  readonly threads: number
  readonly rate: number | undefined
}

/** The result of the same load with a raw server. */
export interface Ceiling {
  readonly perSecond: number
  readonly bytesPerSecond: number
}

export interface KindReport extends Counters {
  readonly name: string
  readonly perSecond: number
  readonly bytesPerSecond: number
  readonly latencyMs: Percentiles | undefined
  /** Present only at a rate. */
  readonly correctedMs: Percentiles | undefined
  readonly firstByteMs: Percentiles | undefined
}

export interface BenchReport extends Omit<Run, "kinds"> {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly interrupted: boolean
  readonly kinds: ReadonlyArray<KindReport>
  readonly errors: ReadonlyArray<{ readonly message: string; readonly times: number }>
  readonly ceiling: Ceiling | undefined
  readonly timeline: ReadonlyArray<Second>
}

export interface Details {
  readonly interrupted: boolean
  readonly ceiling: Ceiling | undefined
}

const kindReport = (name: string, tally: Tally, seconds: number, atRate: boolean): KindReport => ({
  name,
  ...tally.counters,
  perSecond: tally.counters.complete / seconds,
  bytesPerSecond: tally.counters.bytes / seconds,
  latencyMs: percentiles(tally.histograms.raw),
  correctedMs: atRate ? percentiles(tally.histograms.corrected) : undefined,
  firstByteMs: percentiles(tally.histograms.firstByte)
})

const errorsOf = (tallies: ReadonlyArray<Tally>): BenchReport["errors"] => {
  const times = new Map<string, number>()
  for (const { errors } of tallies) {
    for (const [message, count] of errors) times.set(message, (times.get(message) ?? 0) + count)
  }
  return [...times]
    .map(([message, count]) => ({ message, times: count }))
    .sort((one, other) => other.times - one.times)
}

export const make = (run: Run, outcome: Outcome, details: Details): BenchReport => ({
  ...run,
  ...details,
  seconds: outcome.seconds,
  cpuSeconds: outcome.cpuSeconds,
  kinds: outcome.tallies.map((tally, kind) =>
    kindReport(run.kinds[kind] ?? "", tally, outcome.seconds, run.rate !== undefined)
  ),
  errors: errorsOf(outcome.tallies),
  timeline: outcome.timeline
})

/** Whether every response was as expected. */
export const isGood = ({ kinds }: BenchReport): boolean =>
  kinds.every(
    ({ closed, failed, lost, rejected, unfinished, wrong }) =>
      closed + failed + lost + rejected + unfinished + wrong === 0
  )

const number = (value: number): string =>
  value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })

const units = ["B", "kB", "MB", "GB", "TB"]

const size = (bytes: number): string => {
  const unit = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)))
  return `${number(bytes / 1000 ** unit)} ${units[unit]}`
}

const padded = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length))
  )
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
      )
      .join("  ")
      .trimEnd()
  )
}

const latencyColumns = ["p50", "p90", "p99", "p99.9", "max"]

const latencyRow = (label: string, latency: Percentiles | undefined): ReadonlyArray<string> =>
  latency === undefined
    ? [label, ...latencyColumns.map(() => "-")]
    : [label, ...[latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(number)]

const latencyRows = (report: KindReport): ReadonlyArray<ReadonlyArray<string>> => {
  const { correctedMs, firstByteMs, latencyMs, name } = report
  if (latencyMs === undefined) return []
  return [
    ...(correctedMs === undefined ? [] : [latencyRow(`${name}, from the intended time`, correctedMs)]),
    latencyRow(
      name === "cancel" ? "cancel to its acknowledgement" : `${name}, from when it was sent`,
      latencyMs
    ),
    ...(name === "cancel" ? [] : [latencyRow(`${name}, to the first byte`, firstByteMs)])
  ]
}

const countRow = (report: KindReport): ReadonlyArray<string> => [
  report.name,
  number(report.complete),
  number(report.perSecond),
  size(report.bytes),
  number(report.bytesPerSecond / 1e6),
  number(report.heartbeats)
]

/** The measurements, as text. */
export const text = (report: BenchReport): string => {
  const { ceiling, connections, cpuSeconds, errors, mode, rate, seconds, server, threads } = report
  const pace = rate === undefined ? "as fast as responses come" : `${number(rate)} requests a second`
  const latencies = report.kinds.flatMap(latencyRows)
  const used = number((cpuSeconds / (seconds * threads)) * 100)
  return [
    `${mode}: ${server}, ${number(connections)} connections, ${threads} threads, ${number(seconds)} s, ${pace}`,
    ...(report.interrupted ? ["Interrupted: what was counted until then"] : []),
    "",
    ...padded([["", "responses", "/s", "bytes", "MB/s", "heartbeats"], ...report.kinds.map(countRow)]),
    ...(latencies.length === 0 ? [] : ["", ...padded([["milliseconds", ...latencyColumns], ...latencies])]),
    "",
    errors.length === 0
      ? "Errors: none"
      : `Errors:\n${errors.map(({ message, times }) => `  ${number(times)} x ${Printable.line(message)}`).join("\n")}`,
    ...unsent(report),
    `The threads of this load were busy for ${used} % of the time${near(cpuSeconds / (seconds * threads))}`,
    ...(ceiling === undefined ? [] : [`A raw server gives this load ${ceilingText(ceiling)}`])
  ].join("\n")
}

/** The note about requests that no percentile includes. */
const unsent = ({ kinds, rate = 0 }: BenchReport): ReadonlyArray<string> => {
  const count = kinds.reduce((sum, kind) => sum + kind.unsent, 0)
  return count === 0
    ? []
    : [
        `${number(count)} requests were due and could not be sent, since no connection was free: the server does not ` +
          `keep up with ${number(rate)} a second, or --clients are too few. No latency counts them`
      ]
}

const near = (busy: number): string => (busy > 0.9 ? ": they may be the bottleneck (--threads)" : "")

const ceilingText = ({ bytesPerSecond, perSecond }: Ceiling): string =>
  `${number(perSecond)} responses/s, ${number(bytesPerSecond / 1e6)} MB/s: its own ceiling on this machine`

/** One line about a second. */
export const progress = ({ at, counters, latency }: Second, seconds: number): string => {
  const bad = counters.failed + counters.lost + counters.rejected + counters.wrong + counters.closed
  const latencyText =
    latency === undefined ? "" : `, p50 ${number(latency.p50)} ms, p99 ${number(latency.p99)} ms`
  return (
    `${number(at)} s: ${number(counters.complete / seconds)}/s, ${number(counters.bytes / 1e6 / seconds)} MB/s` +
    `${latencyText}${bad === 0 ? "" : `, ${number(bad)} errors`}`
  )
}
