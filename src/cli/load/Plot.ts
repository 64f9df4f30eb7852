/**
 * A plot of latency over time, as SVG.
 */
import type { Percentiles } from "./Tally.ts"
import type { Second } from "./Threads.ts"

const width = 900
const height = 420
const margin = { left: 70, right: 90, top: 40, bottom: 45 }
const innerWidth = width - margin.left - margin.right
const innerHeight = height - margin.top - margin.bottom

const series: ReadonlyArray<readonly [keyof Percentiles, string, string]> = [
  ["p50", "p50", "#2a7f62"],
  ["p90", "p90", "#3366aa"],
  ["p99", "p99", "#c77700"],
  ["max", "max", "#b3342d"]
]

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

interface Point {
  readonly at: number
  readonly latency: Percentiles
}

/** The powers of ten, in milliseconds, around the values. */
const decades = (points: ReadonlyArray<Point>): readonly [number, number] => {
  const values = points.flatMap(({ latency }) => [latency.p50, latency.max])
  const low = Math.floor(Math.log10(Math.max(0.001, Math.min(...values))))
  return [low, Math.max(low + 1, Math.ceil(Math.log10(Math.max(0.001, ...values))))]
}

/** The plot of a load, second by second. Latency has a logarithmic axis. */
export const svg = (title: string, timeline: ReadonlyArray<Second>): string => {
  const points = timeline.flatMap(({ at, latency }) => (latency === undefined ? [] : [{ at, latency }]))
  const end = Math.max(1, ...points.map(({ at }) => at))
  const [low, high] = points.length === 0 ? [-1, 2] : decades(points)
  const x = (at: number) => margin.left + (at / end) * innerWidth
  const y = (millis: number) =>
    margin.top + (1 - (Math.log10(Math.max(0.001, millis)) - low) / (high - low)) * innerHeight
  const rows = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index))
  const columns = Array.from({ length: 6 }, (_, index) => (end * index) / 5)
  const fixed = (value: number) => value.toFixed(1)
  const grid = [
    ...rows.map(
      (millis) =>
        `<line x1="${margin.left}" x2="${width - margin.right}" y1="${fixed(y(millis))}" y2="${fixed(y(millis))}" stroke="#ddd"/>` +
        `<text x="${margin.left - 8}" y="${fixed(y(millis) + 4)}" text-anchor="end">${millis} ms</text>`
    ),
    ...columns.map(
      (at) =>
        `<text x="${fixed(x(at))}" y="${height - margin.bottom + 20}" text-anchor="middle">${fixed(at)} s</text>`
    )
  ]
  const lines = series.map(([name, label, color], index) => {
    const path = points.map(({ at, latency }) => `${fixed(x(at))},${fixed(y(latency[name]))}`).join(" ")
    return (
      `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>` +
      `<text x="${width - margin.right + 12}" y="${margin.top + 16 + index * 20}" fill="${color}">${label}</text>`
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${margin.left}" y="22" font-size="15">${escaped(title)}</text>`,
    ...grid,
    ...lines,
    "</svg>\n"
  ].join("\n")
}
