/**
 * Every limit of the server in one record. One table holds the default, form and documentation of each; the
 * configuration, the flags of the command and the settings table of the README follow from it.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Address from "../net/Address.ts"
import * as Limit from "../settings/Limit.ts"
import * as Names from "../settings/Names.ts"
import * as Environment from "./Environment.ts"
import * as Setting from "./Setting.ts"
import * as Settings from "./Settings.ts"

export type { Setting, Table, Values } from "./Setting.ts"

/**
 * The settings by name. A name is spelt `heartbeatInterval` in a file, `DATACONN_HEARTBEAT_INTERVAL` in the
 * environment and `--heartbeat-interval` as a flag.
 *
 * @category settings
 * @since 0.1.0
 */
export const settings = {
  maxConnections: Setting.count(
    4096,
    1,
    "Connections at a time. Those beyond get one `overloaded` reject each; protects memory and file descriptors."
  ),
  maxConnectionsPerAddress: Setting.limit(
    "Connections at a time from one address: an IPv4 address, the /64 of an IPv6 one, or all Unix sockets together. Those beyond get one `overloaded` reject each. Off by default: the clients behind a proxy or NAT share an address."
  ),
  maxConcurrentQueries: Setting.count(
    32,
    1,
    "Queries that run at a time over all connections; protects the engine."
  ),
  maxQueuedQueries: Setting.count(
    256,
    0,
    "Queries that wait for their turn. Addresses take turns; those beyond are rejected as `overloaded`, the newest of the address that has most first."
  ),
  maxQueriesPerAddress: Setting.limit(
    "Queries from one address that run or wait; those beyond are rejected as `overloaded`. Addresses count, and it is off by default, as for `maxConnectionsPerAddress`. HTTP clients have `httpMaxQueriesPerAddress`."
  ),
  queueTimeout: Setting.duration(
    Settings.defaults.queueTimeout,
    "How long a query may wait for its turn; it is then rejected as `overloaded`."
  ),
  stallTimeout: Setting.duration(
    Settings.defaults.stallTimeout,
    "How long a query keeps its place in `maxConcurrentQueries` while it only waits for its client to read. Then others run in its place, and it takes one again, before those that have not begun, when the client reads on; it ends as `overloaded` if that takes longer than `queueTimeout`. As many queries as `maxQueuedQueries` may be without a place, and 256 at most: beyond that the one whose client has not read for longest, of the address that has most of them, ends as `overloaded` if others wait."
  ),
  queryTimeout: Setting.duration(
    Settings.defaults.queryTimeout,
    "How long a query may take, from its request to the end of its response."
  ),
  heartbeatInterval: Setting.duration(
    Settings.defaults.heartbeatInterval,
    "Silence of the server after which it writes a heartbeat."
  ),
  firstRequestTimeout: Setting.duration(
    "1 minute",
    "How long the first request of a connection may take to arrive whole; protects from clients that connect and say nothing."
  ),
  idleTimeout: Setting.duration(
    Settings.defaults.idleTimeout,
    "How long a connection may stay open without a request."
  ),
  requestTimeout: Setting.duration(
    Settings.defaults.requestTimeout,
    "How long a frame may take to arrive, from its first byte to its last; protects from clients that dribble."
  ),
  writeTimeout: Setting.duration(
    Settings.defaults.writeTimeout,
    "How long a client may take no byte of what is being written; protects from clients that stop reading. A system shows that a client reads only when a part of its receive buffer is free, on Linux up to 2 MiB: by default clients that read 7 kB/s or more are left alone, with 30 seconds those that read 70 kB/s."
  ),
  lingerTimeout: Setting.duration(
    "1 second",
    "How long a connection that the server has closed still takes what its client sends, so that no reset overtakes the server's last message. It ends when the client closes.",
    true
  ),
  drainTimeout: Setting.duration(
    "30 seconds",
    "How long a stopping server lets running responses finish before it ends them with `shutting_down`. Connections that do not end even then, because of an engine, a finalizer or a listener to events, are dropped 4 seconds later, and the log names the culprit.",
    true
  ),
  maxFrameSize: Setting.bytes(
    "1 MiB",
    5,
    "Largest frame taken from a client, header included; protects from hostile lengths."
  ),
  maxSkippedSize: Setting.bytes(
    "64 MiB",
    5,
    "Longest request that is rejected as `too_large`: its body is read and not stored. A longer one ends the connection."
  ),
  maxUnfinishedBytes: Setting.bytes(
    "256 MiB",
    5,
    "Memory of all requests that are not complete or wait for their turn. A connection that would exceed it is closed, a query that would wait is rejected as `overloaded`."
  ),
  lengthCounts: Setting.choice(
    LengthCounts.literals,
    Settings.defaults.lengthCounts,
    "What the length field of a frame counts; both peers must agree."
  ),
  chunkSize: Setting.bytes("64 KiB", 1, "Largest body of a chunk message."),
  prefetchSize: Setting.bytes(
    "896 KiB",
    1,
    "How much of a result is taken from the engine ahead of the socket."
  ),
  batchSize: Setting.bytes(
    "896 KiB",
    1,
    "How much of a result goes into one write, at most. A socket is handed no more than 960 KiB of it at once."
  ),
  backlog: Setting.count(
    511,
    1,
    "Connections that the system holds until they are accepted, for each address."
  ),
  socketMode: Setting.fileMode(
    "0600",
    "Permissions of Unix sockets, in octal digits: `0600` lets the server's user connect, `0660` its group too."
  ),
  keepAlive: Setting.duration(
    "1 minute",
    "Silence after which TCP probes whether the client is still there."
  ),
  peerTimeout: Setting.duration(
    "30 seconds",
    "How long a client may acknowledge nothing of what is sent to it again and again; protects from paths that are cut. On Linux only, to some seconds; elsewhere the system gives up after minutes."
  )
} as const

/**
 * The settings of a server. Sizes are in bytes.
 *
 * @category settings
 * @since 0.1.0
 */
export type ServerConfig = Setting.Values<typeof settings> & {
  /** The addresses to listen on; see `Address.parse` for their form. */
  readonly listen: ReadonlyArray<string>
}

/**
 * Loopback only: listening for other hosts must be explicit.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaultListen: ReadonlyArray<string> = [`127.0.0.1:${Address.defaultPort}`]

/**
 * The defaults of all settings.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaults: ServerConfig = { ...Setting.defaults(settings), listen: defaultListen }

/**
 * The names of all settings.
 *
 * @category settings
 * @since 0.1.0
 */
export const names: ReadonlyArray<string> = Object.keys(defaults)

/**
 * Settings as given in code: a duration is any `Duration.Input`, such as `"5 seconds"`; sizes are in bytes.
 * Absent or `undefined` settings have their defaults.
 *
 * @category settings
 * @since 0.1.0
 */
export type Options = {
  readonly [K in keyof ServerConfig]?:
    | (ServerConfig[K] extends Duration.Duration ? Duration.Input : ServerConfig[K])
    | undefined
}

/**
 * The defaults with the given settings replaced. Throws a `RangeError` that names a setting with an invalid
 * value, or a name that is none of a setting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (given: Options = {}): ServerConfig => {
  const { listen = defaultListen, ...limits } = Limit.members("a server", given, names)
  return { ...Setting.make(settings, limits), listen: Limit.list("listen", listen) }
}

/**
 * Reads the settings through Effect's Config, each under its own name; absent ones have their defaults. An
 * error names the setting and the expected form.
 *
 * @category settings
 * @since 0.1.0
 */
export const config: Config.Config<ServerConfig> = Config.map(
  Config.all([
    Setting.config(settings),
    Config.Array(Address.AddressFromString, "listen").pipe(Config.withDefault(defaultListen))
  ]),
  ([values, listen]) => ({ ...values, listen })
)

/**
 * The environment as a source of settings: `DATACONN_HEARTBEAT_INTERVAL` for `heartbeatInterval`.
 *
 * @category settings
 * @since 0.1.0
 */
export const fromEnv = (env?: Record<string, string>): ConfigProvider.ConfigProvider =>
  constants(env === undefined ? ConfigProvider.fromEnv() : ConfigProvider.fromEnv({ env }))

/** A source with the names of the environment. */
const constants = (provider: ConfigProvider.ConfigProvider): ConfigProvider.ConfigProvider =>
  provider.pipe(ConfigProvider.constantCase, ConfigProvider.nested("DATACONN"))

/**
 * The settings of the environment, under names such as `DATACONN_HEARTBEAT_INTERVAL`. A provided
 * `ConfigProvider` replaces it: its own names come first, then the names of the environment. An error names the
 * setting as it was written. Variables of the environment that seem to be misspelt cause a warning.
 *
 * @category settings
 * @since 0.1.0
 */
export const load: Effect.Effect<ServerConfig, Config.ConfigError> = Effect.contextWith(
  (context: Context.Context<never>) => {
    const given = Context.getOrUndefined(
      context as Context.Context<ConfigProvider.ConfigProvider>,
      ConfigProvider.ConfigProvider
    )
    return given === undefined
      ? Effect.andThen(
          warnOfMisspelt,
          Effect.mapError(config.parse(fromEnv()), (error) => named(error, Environment.constant))
        )
      : Effect.catch(config.parse(ConfigProvider.orElse(given, constants(given))), (error) =>
          Effect.flatMap(ownNames(given), (own) =>
            Effect.fail(named(error, (name) => (own.has(name) ? name : Environment.constant(name))))
          )
        )
  }
)

/** The settings that a source has under their own names. */
const ownNames = (provider: ConfigProvider.ConfigProvider): Effect.Effect<ReadonlySet<string>> =>
  Effect.map(
    Effect.filter(names, (name) =>
      Effect.orElseSucceed(
        Effect.map(provider.load([name]), (node) => node !== undefined),
        () => false
      )
    ),
    (own) => new Set(own)
  )

/** The error with the setting as it was written. */
const named = (error: Config.ConfigError, written: (name: string) => string): Config.ConfigError => {
  const invalid = Environment.invalid(error)
  if (invalid === undefined) return error
  const { message, name } = invalid
  const issue = new SchemaIssue.Pointer([written(name)], new SchemaIssue.InvalidValue({ message }))
  return new Config.ConfigError(new Schema.SchemaError(issue))
}

/** Other variables may be those of another part of the program. */
const warnOfMisspelt: Effect.Effect<void> = Effect.suspend(() => {
  const variables = names.map(Environment.constant)
  const misspelt = Environment.strays(names).filter((name) => Names.nearest(name, variables) !== undefined)
  return misspelt.length === 0 ? Effect.void : Effect.logWarning(Environment.warning(misspelt, names))
})
