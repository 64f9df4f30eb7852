/**
 * Charts over the same time, one below the other, as SVG.
 */

export interface Series {
  readonly name: string
  readonly points: ReadonlyArray<readonly [seconds: number, value: number]>
}

export interface Chart {
  readonly title: string
  readonly unit: string
  readonly series: ReadonlyArray<Series>
  /** Whether its axis is logarithmic, for values of several magnitudes. */
  readonly logarithmic?: boolean
}

export interface Plot {
  readonly title: string
  readonly charts: ReadonlyArray<Chart>
}

const width = 960
const left = 70
const right = 24
const top = 44
const chartHeight = 150
const gap = 56
const bottom = 30

const colours = ["#1f6fb4", "#d1622b", "#3b8f4f", "#8a55a8"]

/** Steps of 1, 2 or 5 times a power of ten, about so many from 0 to the largest value. */
export const ticks = (largest: number, about = 4): ReadonlyArray<number> => {
  const raw = Math.max(largest, 1e-9) / about
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10)
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_, i) => i * step)
}

/** Powers of ten around the values. */
export const powers = (smallest: number, largest: number): ReadonlyArray<number> => {
  const first = Math.floor(Math.log10(smallest))
  const last = Math.max(first + 1, Math.ceil(Math.log10(largest)))
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i))
}

/** Marks of a time axis in whole seconds or minutes, about ten of them. */
const moments = (seconds: number): ReadonlyArray<number> => {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600]
  const step = steps.find((each) => seconds / each <= 10) ?? 86_400
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, i) => i * step)
}

const clock = (seconds: number): string => {
  const two = (n: number) => String(n).padStart(2, "0")
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours > 0 ? `${hours}:${rest}` : rest
}

const escape = (text: string): string =>
  text.replace(/[<>&]/g, (character) => `&#${character.charCodeAt(0)};`)

const label = (
  x: number,
  y: number,
  anchor: "start" | "middle" | "end",
  content: string,
  more = ""
): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${escape(content)}</text>`

const line = (x1: number, y1: number, x2: number, y2: number): string =>
  `<path class="grid" d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}"/>`

interface Axis {
  readonly marks: ReadonlyArray<number>
  /** Where a value lies, from 0 at the bottom to 1. */
  readonly place: (value: number) => number
}

const axis = ({ logarithmic, series }: Chart): Axis => {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value))
  const largest = Math.max(...values, 0)
  const positive = values.filter((value) => value > 0)
  if (logarithmic !== true || positive.length === 0) {
    const marks = ticks(largest)
    return { marks, place: (value) => value / (marks.at(-1) || 1) }
  }
  const marks = powers(Math.min(...positive), largest)
  const [low, high] = [Math.log10(marks[0] ?? 1), Math.log10(marks.at(-1) ?? 10)]
  return { marks, place: (value) => Math.max(0, (Math.log10(Math.max(value, 1e-9)) - low) / (high - low)) }
}

const draw = (chart: Chart, span: number, y: number): ReadonlyArray<string> => {
  const { marks, place } = axis(chart)
  const across = (at: number) => left + (at / span) * (width - left - right)
  const down = (value: number) => y + chartHeight * (1 - place(value))
  const paths = chart.series.map(({ points }, i) => {
    const places = points.map(([at, value]) => `${across(at).toFixed(1)} ${down(value).toFixed(1)}`)
    return `<path class="curve" stroke="${colours[i % colours.length]}" d="M${places.join("L")}"/>`
  })
  let legend = width - right
  // From the right, so that the first stands first.
  const names = [...chart.series.entries()].reverse().map(([i, { name }]) => {
    const drawn = label(legend, y - 8, "end", name, ` style="fill:${colours[i % colours.length]}"`)
    legend -= 7 * name.length + 18
    return drawn
  })
  return [
    label(left, y - 8, "start", `${chart.title} (${chart.unit})`, ' font-weight="bold"'),
    ...names,
    ...marks.flatMap((mark) => [
      line(left, down(mark), width - right, down(mark)),
      label(left - 8, down(mark) + 4, "end", String(Number(mark.toPrecision(3))))
    ]),
    ...moments(span).flatMap((at) => [
      line(across(at), y, across(at), y + chartHeight),
      label(across(at), y + chartHeight + 16, "middle", clock(at))
    ]),
    ...paths
  ]
}

const style =
  "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd;fill:none}.curve{fill:none;stroke-width:1.5;stroke-linejoin:round}"

export const svg = ({ charts, title }: Plot): string => {
  const times = charts.flatMap(({ series }) => series.flatMap(({ points }) => points.map(([at]) => at)))
  const span = Math.max(...times, 1)
  const height = top + charts.length * (chartHeight + gap) + bottom
  const drawn = charts.flatMap((chart, i) => draw(chart, span, top + 28 + i * (chartHeight + gap)))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    "<title>The server over the time of a soak</title>",
    `<style>${style}</style>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    label(left, 24, "start", title, ' style="font-size:15px"'),
    ...drawn,
    label((left + width) / 2, height - 14, "middle", "time since the start (min:s)"),
    "</svg>",
    ""
  ].join("\n")
}
