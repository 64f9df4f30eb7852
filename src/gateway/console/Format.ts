/** Numbers and values as text. Pure. */
import type { Json, Outcome, Progress } from "./Messages.ts"

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 })

export const count = (value: number): string => grouped.format(value)

/** A number with the word for what is counted. */
export const counted = (value: number, word: string): string =>
  `${count(value)} ${value === 1 ? word : `${word}s`}`

const units = ["B", "kB", "MB", "GB", "TB"]

export const size = (bytes: number): string => {
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  return `${grouped.format(bytes / 1000 ** unit)} ${units[unit]}`
}

export const millis = (value: number): string =>
  value < 1000 ? `${grouped.format(value)} ms` : `${grouped.format(value / 1000)} s`

/** The status line of a query. */
export const status = (progress: Progress, outcome: Outcome | undefined, isPaused: boolean): string => {
  const { bytes, elapsedMs, firstRowMs, fraction, kept, rows } = progress
  const seconds = Math.max(elapsedMs, 1) / 1000
  return [
    state(outcome, isPaused),
    ...(outcome === undefined && fraction !== undefined ? [percent(fraction)] : []),
    counted(rows, "row"),
    size(bytes),
    millis(elapsedMs),
    ...(firstRowMs === undefined ? [] : [`first row after ${millis(firstRowMs)}`]),
    ...(rows === 0 ? [] : [`${count(Math.round(rows / seconds))} rows/s`, `${size(bytes / seconds)}/s`]),
    ...(kept < rows ? [`the first ${count(kept)} rows can be looked at; a download has all`] : [])
  ].join(" · ")
}

/** An engine may have processed all that it counts, and still run. */
const percent = (fraction: number): string => `${Math.min(Math.floor(fraction * 100), 99)} %`

const state = (outcome: Outcome | undefined, isPaused: boolean): string => {
  if (outcome === undefined) return isPaused ? "Paused" : "Running"
  switch (outcome._tag) {
    case "Complete":
      return "Complete"
    case "Cancelled":
      return "Cancelled, incomplete"
    case "Failed":
      return "Failed, incomplete"
  }
}

/** The whole text of a value. */
export const text = (value: unknown): string => {
  if (value === null || value === undefined) return "NULL"
  if (Object.is(value, -0)) return "-0"
  return typeof value === "object" ? (value as Json).json : String(value)
}

/** The text of a cell, in one line; `undefined` for NULL. */
export const cell = (value: unknown): string | undefined =>
  value === null || value === undefined
    ? undefined
    : text(value)
        .replace(/\r\n?|\n/g, "↵")
        .replaceAll("\t", "⇥")

const numericType = /^(?:U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL|BIGNUM)/

export const isNumeric = (type: string): boolean => numericType.test(type) && !type.endsWith("]")

export const isTemporal = (type: string): boolean => /^(?:DATE|TIMESTAMP)/.test(type) && !type.endsWith("]")

/** The seconds since 1970 of a time, in the browser's zone unless it has one; `NaN` if it is no time. */
export const seconds = (value: unknown): number => {
  if (typeof value !== "string") return Number.NaN
  const time = value.includes(" ") ? value.replace(" ", "T") : value.includes("T") ? value : `${value}T00:00`
  // DuckDB writes a zone of whole hours without minutes.
  return Date.parse(time.replace(/T.*[+-]\d\d$/, "$&:00")) / 1000
}

/** The number of digits after the first one of a rounded number. */
const mantissaDigits = (value: number): number => value.toExponential().replace(/^-?\d\.?|e.*$/g, "").length

const exponent = (value: number): number => Math.floor(Math.log10(Math.abs(value)))

/** The labels of ticks, with enough digits that each differs from the next one. */
export const ticks = (values: ReadonlyArray<number>, step: number): Array<string> => {
  const greatest = Math.max(...values.map(Math.abs))
  const digits = mantissaDigits(step) - exponent(step)
  if (greatest > 0 && (greatest >= 1e15 || greatest < 1e-4)) {
    const more = Math.max(0, Math.min(15, exponent(greatest) + digits))
    return values.map((value) => (value === 0 ? "0" : value.toExponential(more)))
  }
  const format = new Intl.NumberFormat("en-US", { maximumFractionDigits: Math.max(0, Math.min(15, digits)) })
  return values.map((value) => format.format(value === 0 ? 0 : value))
}

const precise = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 15 })

/** A number beside a point. */
export const number = (value: number): string => {
  const size = Math.abs(value)
  return size > 0 && (size >= 1e15 || size < 1e-4) ? String(value) : precise.format(value)
}
