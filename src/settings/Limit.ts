/**
 * Checks limits that code gives. Invalid values are mistakes of the program: the `RangeError` names the setting and its
 * range.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** What a whole number may be. */
export const counts = (minimum: number): string => `a whole number of at least ${minimum}`

/** What a size in bytes may be. */
export const sizes = (minimum: number, maximum = Number.POSITIVE_INFINITY): string =>
  `a size of at least ${minimum} B${maximum === Number.POSITIVE_INFINITY ? "" : ` and at most ${maximum} B`}`

/** What a limit may be that can be switched off. */
export const limits = `${counts(1)}, or Infinity`

/** What the permissions of a file may be. */
export const modes = "three octal digits, such as 0660"

/** What a duration may be: whether it may be zero too. */
export const durations = (orZero: boolean): string =>
  orZero ? "a duration of zero or more" : "a duration longer than zero"

const fail = (name: string, expected: string, given: unknown): never => {
  throw new RangeError(`${name} must be ${expected}, not ${String(given)}`)
}

const whole = (name: string, given: number, minimum: number, expected: string): number =>
  Number.isSafeInteger(given) && given >= minimum ? given : fail(name, expected, given)

export const count = (name: string, given: number, minimum: number): number =>
  whole(name, given, minimum, counts(minimum))

export const size = (name: string, given: number, minimum: number, maximum?: number): number => {
  const expected = sizes(minimum, maximum)
  const size = whole(name, given, minimum, expected)
  return maximum !== undefined && size > maximum ? fail(name, expected, given) : size
}

export const countOrInfinity = (name: string, given: number): number =>
  given === Number.POSITIVE_INFINITY ? given : whole(name, given, 1, limits)

/** One of a few words or numbers. */
export const oneOf = <const A>(name: string, given: A, choices: ReadonlyArray<A>): A =>
  choices.includes(given) ? given : fail(name, `one of ${choices.join(", ")}`, given)

/** Several values, and not one. */
export const list = <A extends ReadonlyArray<unknown>>(name: string, given: A): A =>
  Array.isArray(given) ? given : fail(name, "a list", given)

/** Text of a form that `isValid` knows. */
export const text = (
  name: string,
  given: string,
  expected: string,
  isValid: (text: string) => boolean
): string => (typeof given === "string" && isValid(given) ? given : fail(name, expected, given))

export const mode = (name: string, given: number): number =>
  whole(name, given, 0, modes) <= 0o777 ? given : fail(name, modes, given)

/** May be infinite, which switches the limit off. `Duration` takes NaN for zero. */
export const duration = (name: string, given: Duration.Input, orZero = false): Duration.Duration =>
  Number.isNaN(given)
    ? fail(name, durations(orZero), given)
    : Option.getOrElse(Option.filter(Duration.fromInput(given), isLimit(orZero)), () =>
        fail(name, durations(orZero), given)
      )

/** Whether a duration is longer than zero, or zero if it may be. */
export const isLimit =
  (orZero: boolean) =>
  (duration: Duration.Duration): boolean =>
    orZero
      ? Duration.isGreaterThanOrEqualTo(duration, Duration.zero)
      : Duration.isGreaterThan(duration, Duration.zero)

/** The same in milliseconds. */
export const millis = (name: string, given: Duration.Input, orZero = false): number =>
  Duration.toMillis(duration(name, given, orZero))
