/**
 * `dataconn serve`: the standalone server on embedded DuckDB.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as ConnectionLog from "../server/ConnectionLog.ts"
import * as Log from "../server/Log.ts"
import * as Server from "../server/Server.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import type * as Setting from "../server/Setting.ts"
import * as Rights from "./Rights.ts"
import * as ServeConfig from "./ServeConfig.ts"
import * as Signals from "./Signals.ts"

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

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

const settingFlags = Object.fromEntries(
  Object.entries(ServeConfig.all).map(([name, setting]) => [
    name,
    flagOf(name, setting as Setting.Setting<unknown>)
  ])
) as Record<keyof typeof ServeConfig.all, Flag.Flag<Option.Option<string>>>

const { database, readWrite, ...otherFlags } = settingFlags

/** First those that most people need. */
const flags = {
  listen: Flag.String("listen").pipe(
    Flag.withMetavar("address"),
    Flag.withDescription(
      `Where to listen: HOST:PORT, [IPv6]:PORT or unix:PATH; may be given several times. Default: ${ServerConfig.defaultListen.join(", ")}.`
    ),
    Flag.atLeast(0)
  ),
  table: Flag.String("table").pipe(
    Flag.withMetavar("name=file"),
    Flag.withDescription(
      "Serves a CSV, Parquet, JSON or DuckDB file under a name; may be given several times."
    ),
    Flag.atLeast(0)
  ),
  config: Flag.String("config").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("JSON file with settings by name. Flags come first, then the environment, then it."),
    Flag.optional
  ),
  database,
  readWrite,
  ...otherFlags
}

type Given = {
  readonly [K in keyof typeof settingFlags]: Option.Option<string>
} & {
  readonly listen: ReadonlyArray<string>
  readonly table: ReadonlyArray<string>
  readonly config: Option.Option<string>
}

/** A table that is not NAME=FILE, or has a name that another one has. */
export class TableError extends Schema.TaggedError<TableError>()("TableError", {
  /** `--table` or the variable. */
  written: Schema.String,
  text: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.written} ${this.text}: ${this.problem}`
  }
}

const tables = Effect.fnUntraced(function* (written: string, given: ReadonlyArray<string>) {
  const files = new Map<string, string>()
  for (const text of given) {
    const at = text.indexOf("=")
    const name = text.slice(0, Math.max(at, 0))
    const fail = (problem: string) => new TableError({ written, text, problem })
    if (name === "" || at === text.length - 1) return yield* fail("expected NAME=FILE")
    // DuckDB takes names that differ in case for one.
    const same = Array.from(files.keys()).find((other) => other.toLowerCase() === name.toLowerCase())
    if (same !== undefined) return yield* fail(`${same} is already ${files.get(same)}; choose another name`)
    files.set(name, text.slice(at + 1))
  }
  return Object.fromEntries(files)
})

const constant = (name: string): string => `DATACONN_${kebab(name).toUpperCase().replaceAll("-", "_")}`

const environment: ServeConfig.Source = {
  provider: ServerConfig.fromEnv(),
  has: (name) => process.env[constant(name)] !== undefined,
  written: constant
}

const flagsGiven = (given: Readonly<Record<string, unknown>>): ServeConfig.Source => ({
  provider: ConfigProvider.fromUnknown(given),
  has: (name) => name in given,
  written: (name) => `--${kebab(name)}`
})

const file = Effect.fnUntraced(function* (path: string) {
  const contents = yield* ServeConfig.fromFile(path)
  return {
    provider: ConfigProvider.fromUnknown(contents),
    has: (name: string) => name in contents,
    written: (name: string) => `${name} in ${path}`
  }
})

/** The settings in force: flags first, then the environment, then the file. */
const resolve = Effect.fnUntraced(function* ({ config, listen, table, ...settings }: Given) {
  const given = {
    ...Record.getSomes(settings),
    ...(listen.length > 0 ? { listen } : {}),
    ...(table.length > 0 ? { tables: yield* tables("--table", table) } : {})
  }
  // Of two with one name, Config takes the last and says nothing.
  yield* tables(constant("tables"), process.env[constant("tables")]?.split(",") ?? [])
  const path = Option.getOrElse(config, () => process.env[constant("config")] || undefined)
  const sources = [flagsGiven(given), environment] as const
  return yield* ServeConfig.load(path === undefined ? sources : [...sources, yield* file(path)])
})

const logging = (config: ServeConfig.ServeConfig) =>
  Layer.merge(Log.layer(config.logFormat), ConnectionLog.layer({ maxBodyLength: config.logBodyLength }))

/** The engine, loaded only here: other commands do without it, and its threads have the rights of this time. */
const engine = (config: ServeConfig.ServeConfig, lost: Deferred.Deferred<never, DatabaseLost>) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const spillDirectory = yield* Rights.drop(config)
      const DuckDbEngine = yield* Effect.promise(() => import("../engine/duckdb/DuckDbEngine.ts"))
      const { allowExternalAccess, database, maxSpill, memoryLimit, readWrite, tables, threads } = config
      return DuckDbEngine.layer({
        ...config,
        database,
        tables,
        readWrite,
        allowExternalAccess,
        memoryLimit,
        threads,
        spillDirectory,
        maxSpill,
        sample: database === undefined && Object.keys(tables).length === 0,
        onLost: () => Deferred.doneUnsafe(lost, Effect.fail(new DatabaseLost()))
      })
    })
  )

/** The database was in memory, clients could change it, and DuckDB gave it up. */
export class DatabaseLost extends Schema.TaggedError<DatabaseLost>()("DatabaseLost", {}) {
  override get message() {
    return "the database in memory failed and is lost; start the server again"
  }
}

/** Whoever reads the log may leave, or its disk be full: that is no reason to stop serving. */
const survivesItsLog = Effect.acquireRelease(
  Effect.sync(() => {
    const ignore = () => {}
    process.stdout.on("error", ignore)
    return ignore
  }),
  (ignore) => Effect.sync(() => process.stdout.off("error", ignore))
)

/** DuckDB holds one of libuv's threads for each result that is being fetched, and a cancel needs one too. */
const checkThreads = ({ maxConcurrentQueries }: ServeConfig.ServeConfig) => {
  const size = Number(process.env[threadPoolSize])
  return size > maxConcurrentQueries
    ? Effect.void
    : Effect.logWarning(
        `${threadPoolSize} is ${size}, too few for ${maxConcurrentQueries} queries (maxConcurrentQueries): ` +
          `queries and their cancels will wait for each other. Set it to at least ${maxConcurrentQueries + 8}`
      )
}

const threadPoolSize = "UV_THREADPOOL_SIZE"

const serve = Effect.fnUntraced(function* (given: Given) {
  const config = yield* resolve(given)
  const lost = yield* Deferred.make<never, DatabaseLost>()
  let stopNow: Effect.Effect<void> = Effect.void
  yield* survivesItsLog
  // Before all else, so that signals are heard while the engine opens and while the server stops.
  yield* Signals.onSignals({ second: Effect.suspend(() => stopNow) })
  const running = Effect.gen(function* () {
    yield* checkThreads(config)
    const server = yield* Server.make(config)
    stopNow = server.stopNow
    yield* Effect.logInfo("Started (send SIGINT or SIGTERM to exit)")
    return yield* Effect.onInterrupt(Deferred.await(lost), () => Effect.logInfo("Stopping..."))
  })
  return yield* Effect.scoped(running).pipe(
    Effect.provide(Layer.provideMerge(engine(config, lost), logging(config)))
  )
})

export const command = Command.make("serve", flags, (given) =>
  Signals.stopping(Effect.scoped(serve(given as Given)))
).pipe(
  Command.withDescription(
    "Answer SQL over DuckDB. With nothing given to serve, an in-memory database with the sample tables trades and quotes."
  ),
  Command.withShortDescription("Serve SQL over DuckDB"),
  Command.withExamples([
    { command: "dataconn serve", description: "Serve the sample on 127.0.0.1:11653" },
    {
      command: "dataconn serve --table trades=trades.parquet --table venues=venues.csv",
      description: "Serve files under the names of tables"
    },
    {
      command:
        "dataconn serve --database market.duckdb --listen 0.0.0.0:11653 --listen unix:/run/dataconn.sock",
      description: "Serve a database on all interfaces and on a Unix socket"
    }
  ])
)
