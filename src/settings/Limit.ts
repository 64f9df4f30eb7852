/**
 * Checks settings that are given in code. Invalid values are programming errors: the `RangeError` names the
 * setting, the expected form, and the value.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Names from "./Names.ts"
import * as Value from "./Value.ts"

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

/** Throws the error of an invalid value. */
export const fail = (name: string, expected: string, given: unknown): never => {
  throw new RangeError(`${name} must be ${expected}, got ${Value.describe(given)}`)
}

/**
 * The check of each member of an object of settings. All must be there, so that no setting is added without a
 * check.
 */
export type Checks<O> = { readonly [K in keyof O]-?: (name: string, given: never) => unknown }

/**
 * Checks settings: an object of known names, whose values are valid or, unless they are `required`,
 * `undefined`. `of` is the owner of the settings in errors, such as `a server`.
 */
export const settings = <O extends object>(
  of: string,
  given: O,
  checks: Checks<O>,
  required: ReadonlyArray<string & keyof O> = []
): O => {
  members(of, given, Object.keys(checks))
  for (const name of required) if (given[name] === undefined) checks[name](name, undefined as never)
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) checks[name as keyof O](name, value as never)
  }
  return given
}

/** Checks that settings are an object of known names. An unknown name is usually misspelt. */
export const members = <O extends object>(of: string, given: O, known: ReadonlyArray<string>): O => {
  if (!Value.isRecord(given)) return fail(`The settings of ${of}`, "an object", given)
  for (const name of Object.keys(given)) {
    if (known.includes(name) || given[name] === undefined) continue
    throw new RangeError(`${name} is no setting of ${of}${Names.hint(name, known)}`)
  }
  return given
}

/** The given settings without those that are `undefined`, which have their defaults. */
export const present = <O extends object>(given: O): O =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as O

/** A value of any kind. */
export const any = (): void => {}

const whole = (name: string, given: number, minimum: number, expected: string): number =>
  Number.isSafeInteger(given) && given >= minimum ? given : fail(name, expected, given)

export const count = (name: string, given: number, minimum: number): number =>
  whole(name, given, minimum, counts(minimum))

export const size = (name: string, given: number, minimum: number, maximum?: number): number => {
  const expected = sizes(minimum, maximum) + (typeof given === "string" ? ", as a number of bytes" : "")
  const size = whole(name, given, minimum, expected)
  return maximum !== undefined && size > maximum ? fail(name, expected, given) : size
}

export const countOrInfinity = (name: string, given: number): number =>
  given === Number.POSITIVE_INFINITY ? given : whole(name, given, 1, limits)

/** One of a few words or numbers. */
export const oneOf = <const A>(name: string, given: A, choices: ReadonlyArray<A>): A =>
  choices.includes(given) ? given : fail(name, `one of ${choices.join(", ")}`, given)

/** True or false. */
export const flag = (name: string, given: boolean): boolean =>
  typeof given === "boolean" ? given : fail(name, "true or false", given)

export const callback = <F>(name: string, given: F): F =>
  typeof given === "function" ? given : fail(name, "a function", given)

/** A list, rather than a single value. */
export const list = <A extends ReadonlyArray<unknown>>(name: string, given: A): A =>
  Array.isArray(given) ? given : fail(name, "a list", given)

/** A list whose members pass a check. */
export const each =
  <A>(check: (name: string, given: A) => unknown) =>
  (name: string, given: ReadonlyArray<A>): void => {
    for (const one of list(name, given)) check(name, one)
  }

/** Text that `isValid` accepts. */
export const text = (
  name: string,
  given: string,
  expected = "a text",
  isValid = (text: string): boolean => text !== ""
): string => (typeof given === "string" && isValid(given) ? given : fail(name, expected, given))

export const mode = (name: string, given: number): number =>
  whole(name, given, 0, modes) <= 0o777 ? given : fail(name, modes, given)

/**
 * A duration; an infinite one switches the limit off. What `Duration` takes for zero is refused here: NaN, and
 * objects without a unit.
 */
export const duration = (name: string, given: Duration.Input, orZero = false): Duration.Duration =>
  isInput(given)
    ? Option.getOrElse(Option.filter(Duration.fromInput(given), isLimit(orZero)), () =>
        fail(name, form(orZero, given), given)
      )
    : fail(name, form(orZero, given), given)

/** With an example where a text is none. */
const form = (orZero: boolean, given: unknown): string =>
  durations(orZero) + (typeof given === "string" ? ', such as "5 seconds" or 5000 (milliseconds)' : "")

const units = [
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "milliseconds",
  "microseconds",
  "nanoseconds"
] as const

const isInput = (given: Duration.Input): boolean => {
  if (typeof given !== "object" || given === null) return !Number.isNaN(given)
  if (Duration.isDuration(given)) return true
  const parts = Array.isArray(given)
    ? given
    : units.flatMap((unit) => (given as Duration.DurationObject)[unit] ?? [])
  const isKnown =
    Array.isArray(given) || Object.keys(given).every((unit) => units.some((one) => one === unit))
  return isKnown && parts.length > 0 && parts.every((part) => typeof part === "number" && !Number.isNaN(part))
}

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
