/**
 * The settings of the standalone server besides those of `Server`: the data to serve, and the log.
 */
import * as Config from "effect/Config"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Limits from "../engine/Limits.ts"
import * as GatewayConfig from "../gateway/GatewayConfig.ts"
import * as Log from "../server/Log.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Setting from "../server/Setting.ts"
import * as ConfigSources from "./ConfigSources.ts"
import type { Idle } from "./IdleSettings.ts"
import * as ServerLog from "./ServerLog.ts"

/** The settings of the standalone server that are not limits of connections and queries. */
export const settings = {
  database: Setting.text("file", "in memory", "DuckDB database file to serve."),
  readWrite: Setting.toggle(
    "Lets clients change the data. A database file is then opened read-write, and no `tables` may stand beside it."
  ),
  allowExternalAccess: Setting.toggle(
    "Lets queries read and write any file and reach the network, with the server's rights. DuckDB gets and loads the extensions that this takes."
  ),
  isolate: Setting.choice(
    ["process", "thread", "none"],
    "process",
    "Where DuckDB runs: in processes of its own, which can be killed; or in the server's, which then ends with it, in a thread of its own or beside the connections."
  ),
  engines: Setting.optionalCount(
    1,
    "2, or 1 if clients can change the data",
    "Processes that DuckDB runs in. Where clients can change the data, there is one."
  ),
  engineMemory: Setting.optionalBytes(
    "80 % of memory, divided among them",
    "Memory that one of these processes may take, besides what it has once it has started. Linux enforces it if `prlimit` is installed."
  ),
  cancelGrace: Setting.duration(
    "2 seconds",
    "How long a query may take to stop before its process is killed."
  ),
  engineSilence: Setting.duration(
    "3 seconds",
    "How long one of these processes may give no sign of life before it is killed. After a fifth of that it is given no new queries until it gives one."
  ),
  engineStartTimeout: Setting.duration("5 minutes", "How long one of these processes may take to start."),
  memoryLimit: Setting.text(
    "size",
    "80 % of `engineMemory`",
    "DuckDB's `memory_limit` in each process, such as `2GB`. Without processes of its own: 80 % of memory."
  ),
  threads: Setting.optionalCount(1, "one a core", "DuckDB's `threads`."),
  spillDirectory: Setting.text(
    "directory",
    "that of TMPDIR",
    "Where a private directory is made for what outgrows the memory."
  ),
  maxSpill: Setting.bytes(
    "16 GiB",
    0,
    "How much may be written there: by queries that run, and as much again by Parquet results until they are sent. A query that needs more fails. Where the disk has less free, each process of the engine takes 40 % of that."
  ),
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
    "Largest row of a result, as text without escapes. A result with a larger one ends with an error; as Parquet only where this is less than the default.",
    Limits.largestRow
  ),
  maxResultMemory: Setting.bytes(
    "1536 MiB",
    1,
    "Memory that the results under way hold in each process of the engine, computed from the length of their rows. Queries beyond are rejected as `overloaded`; protects from clients that stop reading."
  ),
  logLevel: ServerLog.level,
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

/** Every setting that has its own flag. */
export const all = { ...ServerConfig.settings, ...settings, ...GatewayConfig.settings } as const

export type ServeConfig = ServerConfig.ServerConfig &
  Setting.Values<typeof settings> &
  Setting.Values<typeof GatewayConfig.settings> & {
    /** Names for CSV, Parquet, JSON and DuckDB files. Options of their readers may follow. */
    readonly tables: Readonly<Record<string, string>>
    /** The addresses of HTTP, if any. */
    readonly http: ReadonlyArray<string>
  }

export const config: Config.Config<ServeConfig> = Config.map(
  Config.all([
    ServerConfig.config,
    Setting.config(settings),
    Setting.config(GatewayConfig.settings),
    Config.Record(Schema.String, Schema.NonEmptyString, "tables").pipe(Config.withDefault({})),
    GatewayConfig.http.pipe(Config.withDefault([]))
  ]),
  ([server, standalone, gateway, tables, http]) => ({ ...server, ...standalone, ...gateway, tables, http })
)

/** The settings of the server, or of the gateway, among all. */
export const among = <A extends object>(config: A, names: ReadonlyArray<string>): A =>
  Record.filter(config as Record<string, unknown>, (_, name) => names.includes(name)) as A

/** The settings that a configuration file may contain. */
export const known: ConfigSources.Known = {
  table: all,
  others: {
    listen: ConfigSources.addresses,
    http: ConfigSources.addresses,
    tables: { is: Schema.is(Schema.Record(Schema.String, Schema.String)), form: "an object of files by name" }
  }
}

/** Settings of the processes that DuckDB runs in. */
const ofProcesses = ["engines", "engineMemory", "cancelGrace", "engineSilence", "engineStartTimeout"]

/** Settings that have no effect with these values. */
export const idle = ({ http, isolate, listen }: ServeConfig): ReadonlyArray<Idle> => [
  ...(isolate === "process"
    ? []
    : [
        {
          names: ofProcesses,
          because: "isolate",
          reason: (written: string) => `where ${written} is ${isolate}`
        }
      ]),
  ...(http.length === 0
    ? [
        {
          names: Object.keys(GatewayConfig.settings),
          because: "http",
          reason: (written: string) => `without ${written}`
        }
      ]
    : []),
  ...idleMode([...listen, ...http])
]

/** The setting `socketMode`, if no address is a Unix socket. */
export const idleMode = (addresses: ReadonlyArray<string>): ReadonlyArray<Idle> =>
  addresses.some((address) => address.startsWith("unix:"))
    ? []
    : [
        {
          names: ["socketMode"],
          because: "listen",
          reason: () => "without the address of a Unix socket (unix:PATH)"
        }
      ]
