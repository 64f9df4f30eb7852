/**
 * Every limit of the server in one record. Default, form and documentation of each stand in one table, from
 * which the configuration, the flags of the command and the settings table of the README follow.
 */
import * as ByteSize from "effect/ByteSize"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Settings from "../connection/Settings.ts"
import * as Address from "../wire/Address.ts"
import { LengthCounts } from "../wire/LengthDelimited.ts"

/** One setting: how it is read, what it is by default, and what it is for. */
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

const duration = (fallback: Duration.Input, doc: string): Setting<Duration.Duration> => ({
  schema: Schema.DurationFromString.check(positive),
  fallback: Duration.fromInputUnsafe(fallback),
  fallbackText: String(fallback),
  form: "duration",
  doc
})

const count = (fallback: number, minimum: number, doc: string): Setting<number> => ({
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

const bytes = (fallback: string, minimum: number, doc: string): Setting<number> => ({
  schema: Schema.String.pipe(
    Schema.decodeTo(Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum)), sizeFromText)
  ),
  fallback: Number(ByteSize.toBigInt(ByteSize.fromStringUnsafe(fallback))),
  fallbackText: fallback,
  form: "size",
  doc
})

/**
 * The settings by name. A name is spelt `heartbeatInterval` in a file, `DATACONN_HEARTBEAT_INTERVAL` in the
 * environment and `--heartbeat-interval` as a flag.
 */
export const settings = {
  maxConnections: count(
    4096,
    1,
    "Connections at a time. Those beyond get one `overloaded` reject each; protects memory and file descriptors."
  ),
  maxConcurrentQueries: count(
    32,
    1,
    "Queries that run at a time over all connections; protects the engine."
  ),
  maxQueuedQueries: count(
    256,
    0,
    "Queries that wait for their turn. Those beyond are rejected as `overloaded`."
  ),
  queryTimeout: duration(
    Settings.defaults.queryTimeout,
    "How long a query may take, from its request to the end of its response."
  ),
  heartbeatInterval: duration(
    Settings.defaults.heartbeatInterval,
    "Silence of the server after which it writes a heartbeat."
  ),
  idleTimeout: duration(
    Settings.defaults.idleTimeout,
    "How long a connection may stay open without a request."
  ),
  requestTimeout: duration(
    Settings.defaults.requestTimeout,
    "How long a frame may take to arrive, from its first byte to its last; protects from clients that dribble."
  ),
  writeTimeout: duration(
    Settings.defaults.writeTimeout,
    "How long a client may take no byte of what is being written; protects from clients that stop reading."
  ),
  drainTimeout: duration(
    "30 seconds",
    "How long a stopping server lets running responses finish before it ends them with `shutting_down`."
  ),
  maxFrameSize: bytes(
    "1 MiB",
    5,
    "Largest frame taken from a client, header included; protects from hostile lengths."
  ),
  lengthCounts: {
    schema: LengthCounts,
    fallback: Settings.defaults.lengthCounts,
    fallbackText: Settings.defaults.lengthCounts,
    form: "`body`, `typeAndBody` or `frame`",
    doc: "What the length field of a frame counts; both peers must agree."
  } satisfies Setting<LengthCounts>,
  chunkSize: bytes("64 KiB", 1, "Largest body of a chunk message."),
  prefetchSize: bytes("256 KiB", 1, "How much of a result is taken from the engine ahead of the socket."),
  batchSize: bytes("512 KiB", 1, "How much of a result goes into one write."),
  backlog: count(511, 1, "Connections that the system holds until they are accepted, for each address."),
  keepAlive: duration("1 minute", "Silence after which TCP probes whether the client is still there.")
} as const

type Table = typeof settings

/** The settings of a server. Sizes are in bytes. */
export type ServerConfig = {
  readonly [K in keyof Table]: Table[K]["fallback"]
} & {
  /** The addresses to listen on; see `Address.parse` for their form. */
  readonly listen: ReadonlyArray<string>
}

/** Loopback only: whoever wants strangers in says so. */
export const defaultListen: ReadonlyArray<string> = [`127.0.0.1:${Address.defaultPort}`]

/** The defaults of all settings. */
export const defaults: ServerConfig = {
  ...(Object.fromEntries(
    Object.entries(settings).map(([name, setting]) => [name, setting.fallback])
  ) as unknown as Omit<ServerConfig, "listen">),
  listen: defaultListen
}

/** A configuration that differs from the defaults in what is given. */
export const make = (given: Partial<ServerConfig> = {}): ServerConfig => ({ ...defaults, ...given })

const one = <A>(name: string, setting: Setting<A>): Config.Config<A> =>
  Config.schema(setting.schema, name).pipe(Config.withDefault(setting.fallback))

/**
 * Reads the settings through Effect's Config, each under its own name; what is missing has its default. An
 * error names the setting and what was expected.
 */
export const config: Config.Config<ServerConfig> = Config.all({
  ...(Object.fromEntries(
    Object.entries(settings).map(([name, setting]) => [name, one(name, setting as Setting<unknown>)])
  ) as unknown as { readonly [K in keyof Table]: Config.Config<Table[K]["fallback"]> }),
  listen: Config.Array(Address.AddressFromString, "listen").pipe(Config.withDefault(defaultListen))
})

/** The environment as a source of settings: `DATACONN_HEARTBEAT_INTERVAL` for `heartbeatInterval`. */
export const fromEnv = (env?: Record<string, string>): ConfigProvider.ConfigProvider =>
  (env === undefined ? ConfigProvider.fromEnv() : ConfigProvider.fromEnv({ env })).pipe(
    ConfigProvider.constantCase,
    ConfigProvider.nested("DATACONN")
  )
