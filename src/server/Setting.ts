/** One setting: its schema, its default, and its documentation. */
import * as ByteSize from "effect/ByteSize"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Limit from "../settings/Limit.ts"

/**
 * One setting.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Setting<A> {
  readonly schema: Schema.ConstraintCodec<A, unknown>
  readonly fallback: A
  /** The default as written in a file, in the environment or as a flag. */
  readonly fallbackText: string
  /** The form of a value. */
  readonly form: string
  readonly doc: string
  /**
   * Checks a value given in code, for a setting that is a limit; throws a `RangeError` that names the
   * setting.
   */
  readonly check?: (name: string, given: never) => A
}

/** Reads text; `undefined` from `read` means that the text is not as expected. */
const fromText = <A>(
  target: Schema.Codec<A>,
  expected: string,
  read: (text: string) => A | undefined,
  write: (value: A) => string
): Schema.ConstraintCodec<A, unknown> =>
  Schema.String.pipe(
    Schema.decodeTo(
      target,
      SchemaTransformation.transformEffect({
        decode: (text: string, options) => {
          const value = read(text.trim())
          return value === undefined
            ? Effect.fail(new SchemaIssue.InvalidValue({ expected }, text, { ...options, reportInput: true }))
            : Effect.succeed(value)
        },
        encode: (value: A) => Effect.succeed(write(value))
      })
    )
  )

const units: Readonly<Record<string, Duration.Unit>> = {
  "": "seconds",
  ms: "millis",
  s: "seconds",
  sec: "seconds",
  m: "minutes",
  min: "minutes",
  h: "hours",
  d: "days"
}

/** `5 seconds` as in Effect, `5s`, or a number of seconds. */
const readDuration = (text: string): Option.Option<Duration.Duration> => {
  const [, number, symbol = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(text) ?? []
  const unit = number === undefined ? undefined : units[symbol]
  return Duration.fromInput((unit === undefined ? text : `${number} ${unit}`) as Duration.Input)
}

/**
 * A duration such as `5 seconds`, `5s` or a number of seconds, longer than zero unless `orZero`; `Infinity` switches the
 * limit off.
 */
export const duration = (
  fallback: Duration.Input,
  doc: string,
  orZero = false
): Setting<Duration.Duration> => ({
  schema: fromText(
    Schema.Duration,
    `${Limit.durations(orZero)}, such as 5 seconds, 500ms or Infinity`,
    (text) => Option.getOrUndefined(Option.filter(readDuration(text), Limit.isLimit(orZero))),
    String
  ),
  check: (name, given) => Limit.duration(name, given, orZero),
  fallback: Duration.fromInputUnsafe(fallback),
  fallbackText: String(fallback),
  form: "duration",
  doc
})

const countSchema = (minimum: number): Schema.ConstraintCodec<number, unknown> =>
  fromText(
    Schema.Int,
    Limit.counts(minimum),
    (text) => (/^\d+$/.test(text) && Number(text) >= minimum ? Number(text) : undefined),
    String
  )

/** A whole number of at least `minimum`. */
export const count = (fallback: number, minimum: number, doc: string): Setting<number> => ({
  schema: countSchema(minimum),
  check: (name, given) => Limit.count(name, given, minimum),
  fallback,
  fallbackText: String(fallback),
  form: "count",
  doc
})

/** A whole number of at least 1; `Infinity`, the default, switches the limit off. */
export const limit = (doc: string): Setting<number> => ({
  schema: fromText(
    // @effect-diagnostics-next-line schemaNumber:off -- a limit may be Infinity
    Schema.Number.check(Schema.isGreaterThanOrEqualTo(1)),
    Limit.limits,
    (text) => (text === "Infinity" || (/^\d+$/.test(text) && Number(text) >= 1) ? Number(text) : undefined),
    String
  ),
  check: Limit.countOrInfinity,
  fallback: Number.POSITIVE_INFINITY,
  fallbackText: "Infinity",
  form: "count",
  doc
})

/** Permissions of a file, such as `0660`: octal digits in text, a number up to 0o777 in code. */
export const fileMode = (fallback: string, doc: string): Setting<number> => ({
  schema: fromText(
    Schema.Int,
    Limit.modes,
    (text) => (/^(0o?)?[0-7]{3}$/.test(text) ? Number.parseInt(text.slice(-3), 8) : undefined),
    (mode) => `0${mode.toString(8).padStart(3, "0")}`
  ),
  check: Limit.mode,
  fallback: Number.parseInt(fallback, 8),
  fallbackText: fallback,
  form: "mode",
  doc
})

/** An optional whole number of at least `minimum`. */
export const optionalCount = (
  minimum: number,
  whenAbsent: string,
  doc: string
): Setting<number | undefined> => ({
  schema: countSchema(minimum),
  fallback: undefined,
  fallbackText: whenAbsent,
  form: "count",
  doc
})

/** The usual spellings of units, in upper or lower case, with their names in Effect. */
const sizeUnits: Readonly<Record<string, string>> = {
  "": "B",
  kb: "kB",
  ...Object.fromEntries(
    ["B", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB"].map((unit) => [unit.toLowerCase(), unit])
  )
}

const readSize = (text: string): number | undefined => {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? []
  const known = `${number} ${sizeUnits[unit.toLowerCase()] ?? unit}`
  return Option.getOrUndefined(
    Option.map(ByteSize.fromString(known), (size) => Number(ByteSize.toBigInt(size)))
  )
}

/** A size such as `64 KiB` or `65536`, as a number of bytes from `minimum` to `maximum`. */
export const bytes = (
  fallback: string,
  minimum: number,
  doc: string,
  maximum = Number.POSITIVE_INFINITY
): Setting<number> => ({
  schema: fromText(
    Schema.Int,
    `${Limit.sizes(minimum, maximum)}, such as 64 KiB or 65536`,
    (text) => {
      const size = readSize(text)
      return size === undefined || size < minimum || size > maximum ? undefined : size
    },
    (size) => `${size} B`
  ),
  check: (name, given) => Limit.size(name, given, minimum, maximum),
  fallback: Number(ByteSize.toBigInt(ByteSize.fromStringUnsafe(fallback))),
  fallbackText: fallback,
  form: "size",
  doc
})

/** An optional size of at least 1 byte; `Infinity` switches the limit off. */
export const optionalBytes = (whenAbsent: string, doc: string): Setting<number | undefined> => ({
  schema: bytesLimit(doc).schema,
  fallback: undefined,
  fallbackText: whenAbsent,
  form: "size",
  doc
})

/** A size of at least 1 byte; `Infinity`, the default, switches the limit off. */
export const bytesLimit = (doc: string): Setting<number> => ({
  schema: fromText(
    Schema.Number,
    `${Limit.sizes(1)}, such as 64 KiB or 65536, or Infinity`,
    (text) => {
      const size = text === "Infinity" ? Number.POSITIVE_INFINITY : readSize(text)
      return size === undefined || size < 1 ? undefined : size
    },
    (size) => (size === Number.POSITIVE_INFINITY ? "Infinity" : `${size} B`)
  ),
  check: Limit.countOrInfinity,
  fallback: Number.POSITIVE_INFINITY,
  fallbackText: "Infinity",
  form: "size",
  doc
})

/** One of a few words. */
export const choice = <const L extends string>(
  choices: ReadonlyArray<L>,
  fallback: L,
  doc: string
): Setting<L> => ({
  schema: fromText(
    Schema.Literals(choices),
    choices.map((choice) => JSON.stringify(choice)).join(" | "),
    (text) => choices.find((choice) => choice === text),
    String
  ),
  check: (name, given) => Limit.oneOf<L>(name, given, choices),
  fallback,
  fallbackText: fallback,
  form: choices.join("|"),
  doc
})

const words: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false
}

/** A switch, off by default. */
export const toggle = (doc: string): Setting<boolean> => ({
  schema: fromText(Schema.Boolean, "true or false", (text) => words[text.toLowerCase()], String),
  fallback: false,
  fallbackText: "false",
  form: "true|false",
  doc
})

/** Optional text. `form` describes it. */
export const text = (form: string, whenAbsent: string, doc: string): Setting<string | undefined> => ({
  schema: Schema.UndefinedOr(Schema.NonEmptyString),
  check: (name, given) => Limit.text(name, given),
  fallback: undefined,
  fallbackText: whenAbsent,
  form,
  doc
})

/** Optional text of one form. */
export const textLike = (
  {
    expected,
    form,
    isValid
  }: {
    readonly form: string
    /** The description of a valid value. */
    readonly expected: string
    readonly isValid: (text: string) => boolean
  },
  whenAbsent: string,
  doc: string
): Setting<string | undefined> => ({
  schema: fromText(Schema.String, expected, (text) => (isValid(text) ? text : undefined), String),
  check: (name, given) => Limit.text(name, given, expected, isValid),
  fallback: undefined,
  fallbackText: whenAbsent,
  form,
  doc
})

/**
 * Settings by name.
 *
 * @category settings
 * @since 0.1.0
 */
export type Table = Readonly<Record<string, Setting<unknown>>>

/**
 * The values of a table's settings.
 *
 * @category settings
 * @since 0.1.0
 */
export type Values<T extends Table> = { readonly [K in keyof T]: T[K]["fallback"] }

/** The defaults of a table. */
export const defaults = <T extends Table>(table: T): Values<T> =>
  Object.fromEntries(Object.entries(table).map(([name, { fallback }]) => [name, fallback])) as Values<T>

/**
 * The settings of a table as code gives them; absent ones have their defaults. Throws a `RangeError` that names
 * a setting with an invalid value.
 */
export const make = <T extends Table>(table: T, given: object): Values<T> => ({
  ...defaults(table),
  ...(Object.fromEntries(
    Object.entries(Limit.present(given)).map(([name, value]) => [
      name,
      table[name]?.check?.(name, value as never) ?? value
    ])
  ) as Partial<Values<T>>)
})

/** Reads every setting of a table under its own name; absent ones have their defaults. */
export const config = <T extends Table>(table: T): Config.Config<Values<T>> =>
  Config.all(
    Object.fromEntries(
      Object.entries(table).map(([name, { fallback, schema }]) => [
        name,
        Config.withDefault(Config.schema(schema, name), fallback)
      ])
    )
  ) as unknown as Config.Config<Values<T>>
