/**
 * `dataconn serve`: the standalone server on embedded DuckDB.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as ConnectionLog from "../server/ConnectionLog.ts"
import * as Log from "../server/Log.ts"
import * as Server from "../server/Server.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as ConfigSources from "./ConfigSources.ts"
import * as GatewayFlags from "./GatewayFlags.ts"
import * as Rights from "./Rights.ts"
import * as ServeConfig from "./ServeConfig.ts"
import * as Signals from "./Signals.ts"

const flags = {
  ...ConfigSources.flagsOf(ServeConfig.all),
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
  http: GatewayFlags.http,
  config: ConfigSources.fileFlag
}

type Given = Command.Command.Config.Infer<typeof flags>

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

/** The settings in force: flags first, then the environment, then the file. */
const resolve = Effect.fnUntraced(function* ({ config, http, listen, table, ...settings }: Given) {
  // Of two with one name, Config takes the last and says nothing.
  const variable = ConfigSources.constant("tables")
  yield* tables(variable, process.env[variable]?.split(",") ?? [])
  return yield* ConfigSources.load(ServeConfig.config, {
    given: {
      ...Record.getSomes(settings),
      ...(listen.length > 0 ? { listen } : {}),
      ...(http.length > 0 ? { http } : {}),
      ...(table.length > 0 ? { tables: yield* tables("--table", table) } : {})
    },
    file: config,
    known: ServeConfig.known
  })
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

/** A gateway in the same process, in front of the server. Loaded only here: a server without HTTP starts sooner. */
const before = Effect.fnUntraced(function* (server: Server.ServerService, config: ServeConfig.ServeConfig) {
  const Gateway = yield* Effect.promise(() => import("../gateway/Gateway.ts"))
  return yield* Gateway.make({
    ...config,
    backends: { main: [{ name: "internal", connect: server.connect }] },
    limits: config
  })
})

const serve = Effect.fnUntraced(function* (given: Given) {
  const config = yield* resolve(given)
  const lost = yield* Deferred.make<never, DatabaseLost>()
  let stopNow: Effect.Effect<void> = Effect.void
  yield* survivesItsLog
  // Before all else, so that signals are heard while the engine opens and while the server stops.
  yield* Signals.onSecond(Effect.suspend(() => stopNow))
  const running = Effect.gen(function* () {
    yield* checkThreads(config)
    const server = yield* Server.make(config)
    stopNow = server.stopNow
    if (config.http.length > 0) {
      const gateway = yield* before(server, config)
      stopNow = Effect.andThen(gateway.stopNow, server.stopNow)
    }
    yield* Effect.logInfo("Started (send SIGINT or SIGTERM to exit)")
    return yield* Effect.onInterrupt(Deferred.await(lost), () => Effect.logInfo("Stopping..."))
  })
  return yield* Effect.scoped(running).pipe(
    Effect.provide(Layer.provideMerge(engine(config, lost), logging(config)))
  )
})

export const command = Command.make("serve", flags, (given) =>
  Signals.stopping(Effect.scoped(serve(given)))
).pipe(
  Command.withDescription(
    "Answer SQL over DuckDB. With nothing given to serve, an in-memory database with the sample tables trades and quotes."
  ),
  Command.withExamples([
    { command: "dataconn serve", description: "Serve the sample on 127.0.0.1:11653" },
    {
      command:
        "dataconn serve --table trades=trades.parquet --listen 0.0.0.0:11653 --listen unix:/run/dataconn.sock",
      description: "Serve a file on all interfaces and on a Unix socket"
    }
  ])
)
