/**
 * Instants to the microsecond, and their form in a request: ISO 8601 in UTC.
 */
import * as DateTime from "effect/DateTime"

/**
 * An instant to the microsecond. `Date` and `DateTime` have only milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export class Timestamp {
  /** Microseconds since 1970-01-01T00:00:00Z. */
  readonly epochMicros: bigint

  constructor(epochMicros: bigint) {
    this.epochMicros = epochMicros
  }
}

/** The error for a text with more digits than an instant has. */
export const tooFine =
  "at most 6 digits of a second (microseconds) in a timestamp; give a finer one as a text, and cast it in the query"

/** The error for an instant that a TIMESTAMP cannot hold. */
export const tooFar = "a timestamp in the years of DuckDB, which are -290307 to +294246"

/** The first and the last of DuckDB's instants, without the values that stand for infinity. */
const first = -9_223_372_022_400_000_000n
const last = 9_223_372_036_854_775_806n

/** The last millisecond of `Date` on either side. */
const lastMillis = 8.64e15

/**
 * The period, in years, after which days and months repeat. Years outside the range of `Date`
 * are shifted by it.
 */
const cycle = 400_000
const cycleMicros = 146_097_000n * 86_400_000_000n

/** ISO 8601 with six digits of a second, or `undefined` beyond the years of DuckDB. */
export const format = ({ epochMicros }: Timestamp): string | undefined => {
  if (epochMicros < first || epochMicros > last) return undefined
  const cycles = isOfDate(epochMicros) ? 0n : epochMicros < 0n ? -1n : 1n
  const moved = epochMicros - cycles * cycleMicros
  const micros = ((moved % 1000n) + 1000n) % 1000n
  const [day = "", time = ""] = DateTime.formatIso(
    DateTime.makeUnsafe(Number((moved - micros) / 1000n))
  ).split("T")
  return `${cycles === 0n ? day : movedBy(Number(cycles), day)}T${time.slice(0, -1)}${String(micros).padStart(3, "0")}Z`
}

const isOfDate = (micros: bigint): boolean => {
  const most = BigInt(lastMillis) * 1000n
  return micros >= -most && micros <= most
}

const yearPattern = /^[+-]?\d+/

/** A day shifted by so many cycles, with six digits of its year. */
const movedBy = (cycles: number, day: string): string =>
  day.replace(yearPattern, (text) => {
    const year = Number(text) + cycles * cycle
    return `${year < 0 ? "-" : "+"}${String(Math.abs(year)).padStart(6, "0")}`
  })

const fraction = /(:\d\d)\.(\d+)/

/**
 * The instant of a text, with the digits that `Date.parse` would cut: a `DateTime` if milliseconds are enough
 * and `Date` has the day. `undefined` for a text of another form. An error message if the instant is too fine
 * or beyond the years of DuckDB.
 */
export const parse = (
  text: string
): DateTime.Utc | Timestamp | typeof tooFine | typeof tooFar | undefined => {
  const [, , digits = ""] = fraction.exec(text) ?? []
  if (!hasDay(text)) return undefined
  const whole = wholeSeconds(text.replace(fraction, "$1"))
  if (whole === undefined) return undefined
  if (/[1-9]/.test(digits.slice(6))) return tooFine
  const micros = whole + BigInt(digits.slice(0, 6).padEnd(6, "0"))
  if (micros < first || micros > last) return tooFar
  return micros % 1000n === 0n && isOfDate(micros)
    ? DateTime.makeUnsafe(Number(micros / 1000n))
    : new Timestamp(micros)
}

/** Microseconds of a time without a fraction, also in a year outside the range of `Date`. */
const wholeSeconds = (time: string): bigint | undefined => {
  const millis = Date.parse(time)
  if (!Number.isNaN(millis)) return BigInt(millis) * 1000n
  const cycles = /^[+-]\d{6}-/.test(time) ? (time.startsWith("-") ? -1 : 1) : 0
  const moved = Date.parse(movedBy(-cycles, time))
  return cycles === 0 || Number.isNaN(moved)
    ? undefined
    : BigInt(moved) * 1000n + BigInt(cycles) * cycleMicros
}

const dayPattern = /^([+-]?\d{4,6})-(\d\d)-(\d\d)/

const daysOf = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

/** Whether a time begins with a day that exists: `Date.parse` would read February 30 as a day of March. */
const hasDay = (time: string): boolean => {
  const [, year, month, day] = dayPattern.exec(time) ?? []
  const leapDay = month === "02" && isLeap(Number(year)) ? 1 : 0
  return Number(day) <= (daysOf[Number(month) - 1] ?? 0) + leapDay
}
