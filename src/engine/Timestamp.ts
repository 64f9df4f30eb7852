/**
 * Instants to the microsecond, and how a request has them: ISO 8601 in UTC.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/**
 * An instant to the microsecond, for those that `Date` and `DateTime`, which have milliseconds, cannot hold.
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

/** What is expected of a text that has more digits than an instant. */
export const tooFine =
  "at most 6 digits of a second (microseconds) in a timestamp; give a finer one as a text, and cast it in the query"

/** ISO 8601 with six digits of a second, or `undefined` beyond the years of `DateTime`. */
export const format = ({ epochMicros }: Timestamp): string | undefined => {
  const micros = ((epochMicros % 1000n) + 1000n) % 1000n
  const time = Option.getOrUndefined(DateTime.make(Number((epochMicros - micros) / 1000n)))
  return time && `${DateTime.formatIso(time).slice(0, -1)}${String(micros).padStart(3, "0")}Z`
}

const fraction = /(:\d\d)\.(\d+)/

/**
 * The instant of a text that `Date.parse` would cut to milliseconds: a `DateTime` if these are all that it has.
 * `undefined` for a text that is none, and a text that says what is wrong with one that is too fine.
 */
export const parse = (text: string): DateTime.Utc | Timestamp | typeof tooFine | undefined => {
  const [, , digits = ""] = fraction.exec(text) ?? []
  if (!hasDay(text)) return undefined
  const millis = Date.parse(text.replace(fraction, "$1"))
  if (Number.isNaN(millis)) return undefined
  if (/[1-9]/.test(digits.slice(6))) return tooFine
  const micros = BigInt(millis) * 1000n + BigInt(digits.slice(0, 6).padEnd(6, "0"))
  return micros % 1000n === 0n ? DateTime.makeUnsafe(Number(micros / 1000n)) : new Timestamp(micros)
}

const dayPattern = /^([+-]?\d{4,6})-(\d\d)-(\d\d)/

const daysOf = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

/** Whether a time begins with a day that there is: February 30 would be taken for one of March. */
const hasDay = (time: string): boolean => {
  const [, year, month, day] = dayPattern.exec(time) ?? []
  const leapDay = month === "02" && isLeap(Number(year)) ? 1 : 0
  return Number(day) <= (daysOf[Number(month) - 1] ?? 0) + leapDay
}
