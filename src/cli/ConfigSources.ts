/**
 * The sources of a command's settings: flags first, then the environment, then a JSON file.
 */
import { readFileSync } from "node:fs"
import type * as Arr from "effect/Array"
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as JsonNames from "../engine/JsonNames.ts"
import * as Environment from "../server/Environment.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import type * as Setting from "../server/Setting.ts"
import * as Names from "../settings/Names.ts"
import * as IdleSettings from "./IdleSettings.ts"
import * as Utf8 from "./Utf8.ts"

/** The names of settings as variables and as flags. */
export const { constant, kebab } = Environment

const describe = ({ doc, fallbackText }: Setting.Setting<unknown>): string =>
  `${doc} Default: ${fallbackText}.`

const flagOf = (name: string, setting: Setting.Setting<unknown>) =>
  typeof setting.fallback === "boolean"
    ? Flag.Boolean(kebab(name)).pipe(Flag.withDescription(setting.doc), Flag.map(String), Flag.optional)
    : Flag.String(kebab(name)).pipe(
        Flag.withMetavar(setting.form),
        Flag.withDescription(describe(setting)),
        Flag.optional
      )

/** A flag for each setting of a table. */
export const flagsOf = <T extends Setting.Table>(
  table: T
): Record<keyof T, Flag.Flag<Option.Option<string>>> =>
  Object.fromEntries(Object.entries(table).map(([name, setting]) => [name, flagOf(name, setting)])) as Record<
    keyof T,
    Flag.Flag<Option.Option<string>>
  >

/** `--config`. */
export const fileFlag = Flag.String("config").pipe(
  Flag.withMetavar("file"),
  Flag.withDescription("JSON file with settings by name. Flags come first, then the environment, then it."),
  Flag.optional
)

/** The configuration file cannot be used. */
export class ConfigFileError extends Schema.TaggedError<ConfigFileError>()("ConfigFileError", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `Configuration file ${this.path} (--config): ${this.problem}`
  }
}

const Scalar = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean])

const FileContents = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))

/** The expected form of a setting in the file. */
export interface Shape {
  readonly is: (value: unknown) => boolean
  readonly form: string
}

const scalar: Shape = { is: Schema.is(Scalar), form: "text, a number, true or false" }

/** An address or a list of them. */
export const addresses: Shape = {
  is: Schema.is(Schema.Union([Schema.String, Schema.NonEmptyArray(Schema.String)])),
  form: "an address or a list of addresses"
}

/** The settings that a file may contain: those of a table, and others, each with its form. */
export interface Known {
  readonly table: Setting.Table
  readonly others: Readonly<Record<string, Shape>>
}

const problemOf =
  ({ others, table }: Known) =>
  ([name, value]: [string, Schema.Json]): string | undefined => {
    const shape = Object.hasOwn(others, name) ? others[name] : Object.hasOwn(table, name) ? scalar : undefined
    if (shape === undefined) {
      const names = [...Object.keys(table), ...Object.keys(others)]
      return `has no setting named ${name}${Names.hint(name, names)}`
    }
    return shape.is(value) ? undefined : `${name}: expected ${shape.form}`
  }

/** Settings from a JSON file: an object with the settings by name. */
const fromFile = Effect.fnUntraced(function* (path: string, known: Known) {
  const fail = (problem: string) => new ConfigFileError({ path, problem })
  const text = yield* Effect.try({
    // An asynchronous read would start libuv's threads, which must not run before the process has given up
    // its rights (see `Rights`).
    try: () => Utf8.decode(readFileSync(path)),
    catch: (cause) => {
      const { code, message } = cause as NodeJS.ErrnoException
      return fail(code === "ENOENT" ? "there is no such file" : message)
    }
  })
  yield* Effect.try({
    try: () => JSON.parse(text),
    catch: (cause) => fail(`is not JSON: ${(cause as Error).message}`)
  })
  const contents = yield* Effect.mapError(Schema.decodeEffect(FileContents)(text), () =>
    fail("is not a JSON object")
  )
  const name = JsonNames.repeated(text)
  if (name !== undefined) return yield* fail(`${name} is there twice; which is meant?`)
  const problem = Object.entries(contents).map(problemOf(known)).find(Predicate.isNotUndefined)
  if (problem !== undefined) return yield* fail(problem)
  return contents
})

/** A setting has an invalid value. */
export class SettingError extends Schema.TaggedError<SettingError>()("SettingError", {
  /** The setting as it was written: as a flag, a variable or a name in a file. */
  written: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.written}: ${this.problem}`
  }
}

/** Settings by name, and their names as they were written. */
export interface Source {
  readonly provider: ConfigProvider.ConfigProvider
  readonly has: (name: string) => boolean
  readonly written: (name: string) => string
}

const settingError = (error: Config.ConfigError, sources: ReadonlyArray<Source>): SettingError => {
  const invalid = Environment.invalid(error)
  if (invalid === undefined) {
    return new SettingError({ written: "configuration", problem: error.cause.message })
  }
  const { message, name } = invalid
  const source = sources.find((source) => source.has(name))
  return new SettingError({
    written: source?.written(name) ?? name,
    problem: message.replace(/^Expected/, "expected")
  })
}

const environment: Source = {
  provider: ServerConfig.fromEnv(),
  has: (name) => process.env[constant(name)] !== undefined,
  written: constant
}

const flagsGiven = (given: Readonly<Record<string, unknown>>): Source => ({
  provider: ConfigProvider.fromUnknown(given),
  has: (name) => name in given,
  written: (name) => `--${kebab(name)}`
})

const file = Effect.fnUntraced(function* (path: string, known: Known) {
  const contents = yield* fromFile(path, known)
  return {
    provider: ConfigProvider.fromUnknown(contents),
    has: (name: string) => name in contents,
    written: (name: string) => `${name} in ${path}`
  }
})

/** Variables for other commands. */
const others = ["config", "server", "history", "pager", "backends"]

/** Warns of variables that look like settings but are none: they are usually misspelt. */
export const warnOfStrays = (known: Known): Effect.Effect<void> =>
  Effect.suspend(() => {
    const names = [...Object.keys(known.table), ...Object.keys(known.others), ...others]
    const strays = Environment.strays(names)
    return strays.length === 0 ? Effect.void : Effect.logWarning(Environment.warning(strays, names))
  })

/** Settings in force. */
export interface Loaded<A> {
  readonly values: A
  /** Logs the warnings about the settings, once there is a log. */
  readonly warn: Effect.Effect<void>
}

/**
 * Reads the settings in force; each comes from the first source that has it. A flag without effect is an
 * error. Variables and entries of a file without effect, which may be meant for other commands too, only
 * cause a warning.
 */
export const load = Effect.fnUntraced(function* <A>(
  config: Config.Config<A>,
  options: {
    /** Settings given as flags, by name. */
    readonly given: Readonly<Record<string, unknown>>
    /** The path given with `--config`. */
    readonly file: Option.Option<string>
    readonly known: Known
    /** Settings that have no effect with these values. */
    readonly idle: (values: A) => ReadonlyArray<IdleSettings.Idle>
  }
): Effect.fn.Return<Loaded<A>, ConfigFileError | SettingError> {
  const path = Option.getOrElse(options.file, () => process.env[constant("config")] || undefined)
  const first = [flagsGiven(options.given), environment] as const
  const sources: Arr.NonEmptyReadonlyArray<Source> =
    path === undefined ? first : [...first, yield* file(path, options.known)]
  const provider = sources
    .map((source) => source.provider)
    .reduce((first, next) => ConfigProvider.orElse(first, next))
  const values = yield* Effect.mapError(config.parse(provider), (error) => settingError(error, sources))
  const found = IdleSettings.find(options.idle(values), sources)
  const flag = found.find(({ isFlag }) => isFlag)
  if (flag !== undefined) {
    return yield* new SettingError({ written: flag.written, problem: `has no effect ${flag.reason}` })
  }
  return {
    values,
    warn: found.length === 0 ? Effect.void : Effect.logWarning(IdleSettings.warning(found))
  }
})
