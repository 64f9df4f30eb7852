/** The axes of a chart: the positions of their ticks, their labels, and the room for them. */
import type uPlot from "uplot"
import * as Format from "./Format.ts"
import type { Sample } from "./Messages.ts"

const font = "12px system-ui, sans-serif"
/** The gap between adjacent labels, and the minimum between ticks. */
const gap = 16
const minSpace = 50
const tickLength = 10
/** The gap between the labels and the ticks. */
const tickGap = 5
/** The width of a time label, in hours or days, and of the first one, which has the date too. */
const timeWidth = 60
const firstTimeWidth = 90
/** Longer texts are truncated below the axis; beside a point they are shown in full. */
const maxLabel = 16

/** The horizontal coordinates of a chart's points. */
export interface Along {
  readonly values: ReadonlyArray<number>
  readonly kind: "Time" | "Number" | "Row" | "Name"
  /** The name of a point. */
  readonly name: (index: number) => string
  /** The width of the widest name, where names are below the axis. */
  readonly width: number
}

/** Numbers and times unchanged, in order; other values by their row, with their text as a name. */
export const along = ({ rows, x }: Sample, type: string, isOwnValue: boolean): Along => {
  const row = (index: number) => Format.count(rows[index] ?? 0)
  if (isOwnValue) return { values: rows, kind: "Row", name: row, width: 0 }
  const isTime = Format.isTemporal(type)
  const numbers = x.map((value) =>
    isTime ? Format.seconds(value) : Format.isNumeric(type) && value !== null ? Number(value) : Number.NaN
  )
  const isSorted = numbers.every(
    (value, at) => Number.isFinite(value) && (at === 0 || value >= (numbers[at - 1] as number))
  )
  const number = (index: number) => Format.number(numbers[index] ?? Number.NaN)
  if (isSorted) return { values: numbers, kind: isTime ? "Time" : "Number", name: number, width: 0 }
  const name = (index: number) => Format.cell(x[index]) ?? "NULL"
  return { values: rows, kind: "Name", name, width: widest(x.map((_, at) => cut(name(at)))) }
}

const context = document.createElement("canvas").getContext("2d")

/** The width of the widest text. */
const widest = (texts: ReadonlyArray<string>): number => {
  if (context === null) return 0
  context.font = font
  return Math.ceil(Math.max(0, ...texts.map((text) => context.measureText(text).width)))
}

/** The possible distances of ticks: the least that leaves enough room is used. */
const steps = (min: number, max: number, length: number, space: number, isWhole: boolean): Array<number> => {
  const decade = 10 ** Math.floor(Math.log10(((max - min) * space) / length))
  const all = [1, 2, 2.5, 5, 10, 20].map((times) => Number((times * decade).toPrecision(12)))
  return isWhole ? [1, ...all.filter(Number.isInteger)] : all
}

const ticks = (min: number, max: number, step: number): Array<number> => {
  const from = Math.ceil(min / step)
  const count = Math.floor(max / step) - from + 1
  return Number.isFinite(count) ? Array.from({ length: count }, (_, at) => (from + at) * step) : []
}

const numbers = (isWhole: boolean): uPlot.Axis => ({
  incrs: (_, __, min, max, length, space) => steps(min, max, length, space, isWhole),
  splits: (_, __, min, max, step) => ticks(min, max, step),
  values: (_, values, __, ___, step) => Format.ticks(values, step)
})

const cut = (text: string): string => (text.length > maxLabel ? `${text.slice(0, maxLabel - 1)}…` : text)

/** The approximate width of a horizontal label. */
const labelWidth = ({ kind, width }: Along, min: number, max: number): number => {
  if (kind === "Time") return timeWidth
  if (kind === "Name") return width
  return widest(Format.ticks([min, max], 10 ** Math.floor(Math.log10((max - min) / 40))))
}

/** Both axes, and the padding; `current` returns the horizontal coordinates at the time of drawing. */
export const make = (current: () => Along, color: () => string): Pick<uPlot.Options, "axes" | "padding"> => {
  const lines = {
    stroke: color,
    font,
    grid: { stroke: "#8884" },
    ticks: { stroke: "#8884", size: tickLength }
  }
  const { kind } = current()
  const label = (plot: uPlot, row: number) => cut(current().name(plot.valToIdx(row)))
  const names: uPlot.Axis =
    kind === "Name" ? { values: (plot, rows) => rows.map((row) => label(plot, row)) } : {}
  const x: uPlot.Axis =
    kind === "Time"
      ? {}
      : {
          ...numbers(kind !== "Number"),
          ...names,
          space: (_, __, min, max) => Math.max(minSpace, labelWidth(current(), min, max) + gap)
        }
  // Half of the first and of the last label extends beyond the axis.
  const half = ({ scales }: uPlot) =>
    Math.ceil(labelWidth(current(), scales["x"]?.min ?? 0, scales["x"]?.max ?? 1) / 2)
  const y: uPlot.Axis = {
    ...numbers(false),
    gap: tickGap,
    size: (plot, texts) =>
      Math.max(widest(texts ?? []) + tickLength + tickGap, kind === "Time" ? firstTimeWidth / 2 : half(plot))
  }
  const axes = [
    { ...lines, ...x },
    { ...lines, ...y }
  ]
  return { axes, padding: [null, half, null, null] }
}
