/**
 * Numbers and values in words. Pure.
 */
import type { Outcome, Progress } from "./Messages.ts"

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 })

export const count = (value: number): string => grouped.format(value)

const units = ["B", "kB", "MB", "GB", "TB"]

export const size = (bytes: number): string => {
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  return `${grouped.format(bytes / 1000 ** unit)} ${units[unit]}`
}

export const millis = (value: number): string =>
  value < 1000 ? `${grouped.format(value)} ms` : `${grouped.format(value / 1000)} s`

/** One line about a query. */
export const status = (progress: Progress, outcome: Outcome | undefined, isPaused: boolean): string => {
  const { bytes, elapsedMs, firstRowMs, fraction, kept, rows } = progress
  const seconds = Math.max(elapsedMs, 1) / 1000
  return [
    state(outcome, isPaused),
    ...(outcome === undefined && fraction !== undefined ? [percent(fraction)] : []),
    `${count(rows)} ${rows === 1 ? "row" : "rows"}`,
    size(bytes),
    millis(elapsedMs),
    ...(firstRowMs === undefined ? [] : [`first row after ${millis(firstRowMs)}`]),
    ...(rows === 0 ? [] : [`${count(Math.round(rows / seconds))} rows/s`, `${size(bytes / seconds)}/s`]),
    ...(kept < rows ? [`the first ${count(kept)} rows can be looked at; a download has all`] : [])
  ].join(" · ")
}

/** An engine may be done with all that it counts, and go on. */
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

/** What a cell shows; `undefined` for NULL. */
export const cell = (value: unknown): string | undefined => {
  if (value === null || value === undefined) return undefined
  // Line breaks would leave the row.
  return (typeof value === "object" ? JSON.stringify(value) : String(value)).replace(/[\r\n\t]/g, " ")
}

const numericType = /^(?:U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL|BIGNUM)/

export const isNumeric = (type: string): boolean => numericType.test(type) && !type.endsWith("]")

export const isTemporal = (type: string): boolean => /^(?:DATE|TIMESTAMP)/.test(type) && !type.endsWith("]")
