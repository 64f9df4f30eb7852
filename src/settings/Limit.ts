/**
 * Checks limits that are given in code. Invalid values are programming errors: the `RangeError` names the
 * setting and its range.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** The description of a whole number. */
export const counts = (minimum: number): string => `a whole number of at least ${minimum}`

/** The description of a size in bytes. */
export const sizes = (minimum: number, maximum = Number.POSITIVE_INFINITY): string =>
  `a size of at least ${minimum} B${maximum === Number.POSITIVE_INFINITY ? "" : ` and at most ${maximum} B`}`

/** The description of a limit that can be switched off. */
export const limits = `${counts(1)}, or Infinity`

/** The description of a file's permissions. */
export const modes = "three octal digits, such as 0660"

/** The description of a duration, which may be zero if `orZero`. */
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

/** A list, rather than a single value. */
export const list = <A extends ReadonlyArray<unknown>>(name: string, given: A): A =>
  Array.isArray(given) ? given : fail(name, "a list", given)

/** Text that `isValid` accepts. */
export const text = (
  name: string,
  given: string,
  expected: string,
  isValid: (text: string) => boolean
): string => (typeof given === "string" && isValid(given) ? given : fail(name, expected, given))

export const mode = (name: string, given: number): number =>
  whole(name, given, 0, modes) <= 0o777 ? given : fail(name, modes, given)

/**
 * A duration; an infinite one switches the limit off. NaN is refused here because `Duration` takes it for
 * zero.
 */
export const duration = (name: string, given: Duration.Input, orZero = false): Duration.Duration =>
  Number.isNaN(given)
    ? fail(name, durations(orZero), given)
    : Option.getOrElse(Option.filter(Duration.fromInput(given), isLimit(orZero)), () =>
        fail(name, durations(orZero), given)
      )

/** Whether a duration is longer than zero, or at least zero if `orZero`. */
export const isLimit =
  (orZero: boolean) =>
  (duration: Duration.Duration): boolean =>
    orZero
      ? Duration.isGreaterThanOrEqualTo(duration, Duration.zero)
      : Duration.isGreaterThan(duration, Duration.zero)

/** The same in milliseconds. */
export const millis = (name: string, given: Duration.Input, orZero = false): number =>
  Duration.toMillis(duration(name, given, orZero))
