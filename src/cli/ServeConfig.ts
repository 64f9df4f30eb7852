/**
 * What the standalone server is told besides the server's own settings: what to serve, and how to log.
 */
import { readFileSync } from "node:fs"
import type * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Limits from "../engine/Limits.ts"
import * as Log from "../server/Log.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Setting from "../server/Setting.ts"
import * as JsonNames from "./JsonNames.ts"

/** The settings of the standalone server that are no limits of connections and queries. */
export const settings = {
  database: Setting.text("file", "in memory", "DuckDB database file to serve."),
  readWrite: Setting.toggle("Lets clients change the data. A database file is then opened read-write."),
  allowExternalAccess: Setting.toggle(
    "Lets queries read and write any file, load extensions and reach the network, with the server's rights."
  ),
  memoryLimit: Setting.text("size", "80 % of memory", "DuckDB's `memory_limit`, such as `2GB`."),
  threads: Setting.optionalCount(1, "one a core", "DuckDB's `threads`."),
  spillDirectory: Setting.text(
    "directory",
    "that of TMPDIR",
    "Where a private directory is made for what outgrows the memory."
  ),
  maxSpill: Setting.bytes("16 GiB", 0, "How much may be written there. A query that needs more fails."),
  user: Setting.text("name", "who starts it", "System user to become, if root starts the server."),
  allowRoot: Setting.toggle(
    "Lets the server run as root although it serves files, lets clients write or listens beyond loopback."
  ),
  landlock: Setting.choice(
    ["auto", "require", "off"],
    "auto",
    "Has the kernel refuse every write that the server need not do: if it can, always, or never."
  ),
  maxQueryLength: Setting.bytes("256 KiB", 1, "Longest query."),
  maxParameters: Setting.count(
    Limits.defaults.maxParameters,
    1,
    "Values in a request's parameters, those in lists and objects and the names of members counted. The event loop spends about a microsecond on each."
  ),
  maxNesting: Setting.count(
    Limits.defaults.maxNesting,
    1,
    "Levels of lists and objects in parameters, and of nested types in a column."
  ),
  maxOperatorRun: Setting.count(
    Limits.defaults.maxOperatorRun,
    1,
    "Characters of operators and comment marks on end in a query, for which DuckDB's parser takes quadratic time."
  ),
  maxConjunctions: Setting.count(
    Limits.defaults.maxConjunctions,
    1,
    "Times that AND and OR stand in a query, for which DuckDB's parser takes quadratic time."
  ),
  maxNames: Setting.count(
    Limits.defaults.maxNames,
    1,
    "Different functions, tables or types that a query names."
  ),
  maxColumns: Setting.count(
    Limits.defaults.maxColumns,
    1,
    "Columns of a result, the fields of nested types counted."
  ),
  maxResultRows: Setting.limit("Rows of a result. A longer one ends with an error."),
  maxResultBytes: Setting.bytesLimit("Encoded bytes of a result. A larger one ends with an error."),
  maxRowSize: Setting.bytes(
    "256 MiB",
    1,
    "Largest row of a result, as text without escapes. A result with a larger one ends with an error.",
    Limits.largestRow
  ),
  logFormat: Setting.choice(Log.formats, "text", "Log lines for people, or one JSON object a line."),
  logBodyLength: Setting.bytes("200 B", 0, "How much of a request or response body a log line shows."),
  logValues: Setting.toggle(
    "Logs the values of parameters. Otherwise their names and sizes are logged; of metadata always."
  ),
  logBufferSize: Setting.bytes(
    "1 MiB",
    1,
    "How much of the log may wait for a slow reader. Lines beyond are dropped and counted."
  )
} as const

/** Every setting that has a flag of its own. */
export const all = { ...ServerConfig.settings, ...settings } as const

export type ServeConfig = ServerConfig.ServerConfig &
  Setting.Values<typeof settings> & {
    /** Names for CSV, Parquet, JSON and DuckDB files, behind which options of their readers may stand. */
    readonly tables: Readonly<Record<string, string>>
  }

export const config: Config.Config<ServeConfig> = Config.map(
  Config.all([
    ServerConfig.config,
    Setting.config(settings),
    Config.Record(Schema.String, Schema.NonEmptyString, "tables").pipe(Config.withDefault({}))
  ]),
  ([server, standalone, tables]) => ({ ...server, ...standalone, tables })
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

/** What a setting looks like in the file. */
const shapes = {
  listen: {
    is: Schema.is(Schema.Union([Schema.String, Schema.NonEmptyArray(Schema.String)])),
    form: "an address or a list of addresses"
  },
  tables: { is: Schema.is(Schema.Record(Schema.String, Schema.String)), form: "an object of files by name" },
  other: { is: Schema.is(Scalar), form: "text, a number, true or false" }
} as const

const known = new Set([...Object.keys(all), "listen", "tables"])

const problemOf = ([name, value]: [string, Schema.Json]): string | undefined => {
  if (!known.has(name)) return `has no setting named ${name}`
  const shape = shapes[name === "listen" || name === "tables" ? name : "other"]
  return shape.is(value) ? undefined : `${name}: expected ${shape.form}`
}

/** Settings from a JSON file: an object with the settings by name. */
export const fromFile = Effect.fnUntraced(function* (path: string) {
  const fail = (problem: string) => new ConfigFileError({ path, problem })
  const text = yield* Effect.try({
    // Asynchronously it would start libuv's threads, which must not be before the process has given up its
    // rights (see `Rights`).
    try: () => readFileSync(path, "utf8"),
    catch: (cause) => {
      const { code, message } = cause as NodeJS.ErrnoException
      return fail(code === "ENOENT" ? "there is no such file" : message)
    }
  })
  const contents = yield* Effect.mapError(Schema.decodeEffect(FileContents)(text), () =>
    fail("is not a JSON object")
  )
  const name = JsonNames.repeated(text)
  if (name !== undefined) return yield* fail(`${name} is there twice; which is meant?`)
  const problem = Object.entries(contents).map(problemOf).find(Predicate.isNotUndefined)
  if (problem !== undefined) return yield* fail(problem)
  return contents
})

/** A setting has a value that it cannot have. */
export class SettingError extends Schema.TaggedError<SettingError>()("SettingError", {
  /** The setting as it was written: as a flag, a variable or a name in a file. */
  written: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.written}: ${this.problem}`
  }
}

/** Settings by name, and how their names were written. */
export interface Source {
  readonly provider: ConfigProvider.ConfigProvider
  readonly has: (name: string) => boolean
  readonly written: (name: string) => string
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const keyOf = (key: PropertyKey | { readonly key: PropertyKey }): string =>
  String(typeof key === "object" ? key.key : key)

const settingError = (error: Config.ConfigError, sources: ReadonlyArray<Source>): SettingError => {
  if (error.cause._tag !== "SchemaError") {
    return new SettingError({ written: "configuration", problem: error.cause.message })
  }
  const issues = formatIssue(error.cause.issue).issues.map(({ message, path = [] }) => ({
    path: path.map(keyOf),
    message
  }))
  // Of the forms that a setting may have, the one that fits furthest is what was meant.
  const issue = issues.reduce((deepest, one) => (one.path.length > deepest.path.length ? one : deepest))
  const name = issue.path[0] ?? ""
  const source = sources.find((source) => source.has(name))
  return new SettingError({
    written: source?.written(name) ?? name,
    problem: issue.message.replace(/^Expected/, "expected")
  })
}

/** Reads the settings; each comes from the first source that has it. */
export const load = (sources: Arr.NonEmptyReadonlyArray<Source>): Effect.Effect<ServeConfig, SettingError> =>
  Effect.mapError(
    config.parse(
      sources.map(({ provider }) => provider).reduce((first, next) => ConfigProvider.orElse(first, next))
    ),
    (error) => settingError(error, sources)
  )
