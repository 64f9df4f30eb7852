/**
 * One setting: how it is read, what it is by default, and what it is for.
 */
import * as ByteSize from "effect/ByteSize"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

export interface Setting<A> {
  readonly schema: Schema.ConstraintCodec<A, unknown>
  readonly fallback: A
  /** The default as it is written in a file, in the environment or as a flag. */
  readonly fallbackText: string
  /** What a value looks like. */
  readonly form: string
  readonly doc: string
}

const positive = Schema.makeFilter((duration: Duration.Duration) =>
  Duration.isLessThanOrEqualTo(duration, Duration.zero) ? "longer than zero, or Infinity" : undefined
)

/** A duration such as `5 seconds`, longer than zero; `Infinity` switches the limit off. */
export const duration = (fallback: Duration.Input, doc: string): Setting<Duration.Duration> => ({
  schema: Schema.DurationFromString.check(positive),
  fallback: Duration.fromInputUnsafe(fallback),
  fallbackText: String(fallback),
  form: "duration",
  doc
})

/** A whole number of at least `minimum`. */
export const count = (fallback: number, minimum: number, doc: string): Setting<number> => ({
  schema: Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum)),
  fallback,
  fallbackText: String(fallback),
  form: "count",
  doc
})

const sizeFromText = SchemaTransformation.transformEffect<number, string>({
  decode: (text, options) =>
    Option.match(ByteSize.fromString(/^\s*\d+\s*$/.test(text) ? `${text} B` : text), {
      onNone: () =>
        Effect.fail(
          new SchemaIssue.InvalidValue({ expected: "a size such as 64 KiB or 65536" }, text, options)
        ),
      onSome: (size) => Effect.succeed(Number(ByteSize.toBigInt(size)))
    }),
  encode: (size) => Effect.succeed(`${size} B`)
})

/** A size such as `64 KiB` or `65536`, as a number of bytes of at least `minimum`. */
export const bytes = (fallback: string, minimum: number, doc: string): Setting<number> => ({
  schema: Schema.String.pipe(
    Schema.decodeTo(Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum)), sizeFromText)
  ),
  fallback: Number(ByteSize.toBigInt(ByteSize.fromStringUnsafe(fallback))),
  fallbackText: fallback,
  form: "size",
  doc
})

/** One of a few words. */
export const choice = <const L extends string>(
  choices: ReadonlyArray<L>,
  fallback: L,
  doc: string
): Setting<L> => ({
  schema: Schema.Literals(choices),
  fallback,
  fallbackText: fallback,
  form: choices.join("|"),
  doc
})

/** Something that is off unless it is switched on. */
export const toggle = (doc: string): Setting<boolean> => ({
  schema: Schema.Literals(["true", "false"]).pipe(
    Schema.decodeTo(
      Schema.Boolean,
      SchemaTransformation.transform({
        decode: (text) => text === "true",
        encode: (on) => (on ? "true" : "false")
      })
    )
  ),
  fallback: false,
  fallbackText: "false",
  form: "true|false",
  doc
})

/** Text that may be left out. `form` says what it stands for. */
export const text = (form: string, whenAbsent: string, doc: string): Setting<string | undefined> => ({
  schema: Schema.UndefinedOr(Schema.NonEmptyString),
  fallback: undefined,
  fallbackText: whenAbsent,
  form,
  doc
})

/** Settings by name. */
export type Table = Readonly<Record<string, Setting<unknown>>>

/** The values of a table's settings. */
export type Values<T extends Table> = { readonly [K in keyof T]: T[K]["fallback"] }

/** The defaults of a table. */
export const defaults = <T extends Table>(table: T): Values<T> =>
  Object.fromEntries(Object.entries(table).map(([name, { fallback }]) => [name, fallback])) as Values<T>

/** Reads every setting of a table under its own name; what is missing has its default. */
export const config = <T extends Table>(table: T): Config.Config<Values<T>> =>
  Config.all(
    Object.fromEntries(
      Object.entries(table).map(([name, { fallback, schema }]) => [
        name,
        Config.withDefault(Config.schema(schema, name), fallback)
      ])
    )
  ) as unknown as Config.Config<Values<T>>
