/**
 * What the standalone server is told besides the server's own settings: what to serve, and how to log.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Log from "../server/Log.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Setting from "../server/Setting.ts"

/** The settings of the standalone server that are no limits of connections and queries. */
export const settings = {
  database: Setting.text("file", "in memory", "DuckDB database file to serve."),
  readWrite: Setting.toggle("Lets clients change the data. A database file is then opened read-write."),
  allowExternalAccess: Setting.toggle(
    "Lets queries read and write any file, load extensions and reach the network, with the server's rights."
  ),
  memoryLimit: Setting.text("size", "80 % of memory", "DuckDB's `memory_limit`, such as `2GB`."),
  threads: Setting.text("count", "one a core", "DuckDB's `threads`."),
  logFormat: Setting.choice(Log.formats, "text", "Log lines for people, or one JSON object a line."),
  logBodyLength: Setting.bytes("200 B", 0, "How much of a request or response body a log line shows.")
} as const

/** Every setting that has a flag of its own. */
export const all = { ...ServerConfig.settings, ...settings } as const

export type ServeConfig = ServerConfig.ServerConfig &
  Setting.Values<typeof settings> & {
    /** Names for CSV, Parquet, JSON and DuckDB files. */
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

const FileContents = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))

const known = new Set([...Object.keys(all), "listen", "tables"])

/** Settings from a JSON file: an object with the settings by name. */
export const fromFile = Effect.fnUntraced(function* (path: string) {
  const fail = (problem: string) => new ConfigFileError({ path, problem })
  const files = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(files.readFileString(path), (error) => fail(error.message))
  const contents = yield* Effect.mapError(Schema.decodeUnknownEffect(FileContents)(text), () =>
    fail("is not a JSON object")
  )
  const unknown = Object.keys(contents).filter((name) => !known.has(name))
  if (unknown.length > 0) return yield* fail(`has no setting named ${unknown.join(", ")}`)
  return ConfigProvider.fromUnknown(contents)
})
