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
import * as Limits from "../engine/Limits.ts"
import { QueryEngine } from "../engine/QueryEngine.ts"
import * as GatewayConfig from "../gateway/GatewayConfig.ts"
import * as FreeMemory from "../process/FreeMemory.ts"
import * as ProcessEngine from "../process/ProcessEngine.ts"
import * as ConnectionLog from "../server/ConnectionLog.ts"
import * as ConnectionMetrics from "../server/ConnectionMetrics.ts"
import * as Log from "../server/Log.ts"
import * as Server from "../server/Server.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Signals from "../server/Signals.ts"
import * as BrokenPipe from "./BrokenPipe.ts"
import * as ConfigSources from "./ConfigSources.ts"
import * as Descriptors from "./Descriptors.ts"
import * as GatewayFlags from "./GatewayFlags.ts"
import * as Heap from "./Heap.ts"
import * as Reload from "./Reload.ts"
import * as Rights from "./Rights.ts"
import * as ServeConfig from "./ServeConfig.ts"
import * as ServedEngine from "./ServedEngine.ts"
import * as ServerLog from "./ServerLog.ts"
import * as ServiceManager from "./ServiceManager.ts"
import * as CommandSignals from "./Signals.ts"
import * as StartLine from "./StartLine.ts"

const { database, logLevel: _, readWrite, ...otherFlags } = ConfigSources.flagsOf(ServeConfig.all)

/** The most needed flags come first. */
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
      "Serves a CSV, Parquet, JSON or DuckDB file under a name; may be given several times. Options of the reader " +
        "may follow, as in sales=sales.csv?encoding=latin-1&delim=;"
    ),
    Flag.atLeast(0)
  ),
  http: GatewayFlags.http,
  config: ConfigSources.fileFlag,
  database,
  readWrite,
  ...otherFlags
}

type Given = Command.Command.Config.Infer<typeof flags>

/** A table that is not NAME=FILE, or whose name is repeated. */
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
  const files: Array<readonly [string, string]> = []
  for (const text of given) {
    const at = text.indexOf("=")
    if (at < 1 || at === text.length - 1) {
      return yield* new TableError({ written, text, problem: "expected NAME=FILE" })
    }
    files.push([text.slice(0, at), text.slice(at + 1)])
  }
  return yield* checkNames(written, files)
})

/** DuckDB ignores case in names. */
const checkNames = Effect.fnUntraced(function* (
  written: string,
  files: ReadonlyArray<readonly [name: string, file: string]>
) {
  const known = new Map<string, readonly [string, string]>()
  for (const [name, file] of files) {
    const same = known.get(name.toLowerCase())
    if (same !== undefined) {
      const problem = `${same[0]} is already ${same[1]}; choose another name`
      return yield* new TableError({ written, text: `${name}=${file}`, problem })
    }
    known.set(name.toLowerCase(), [name, file])
  }
  return Object.fromEntries(files)
})

/** The settings in force: flags first, then the environment, then the file. */
const resolve = Effect.fnUntraced(function* ({ config, http, listen, table, ...settings }: Given) {
  // Config silently takes the last of two with one name.
  const variable = ConfigSources.constant("tables")
  yield* tables(variable, process.env[variable]?.split(",") ?? [])
  const resolved = yield* ConfigSources.load(ServeConfig.config, {
    given: {
      ...Record.getSomes(settings),
      ...(listen.length > 0 ? { listen } : {}),
      ...(http.length > 0 ? { http } : {}),
      ...(table.length > 0 ? { tables: yield* tables("--table", table) } : {}),
      ...(yield* ServerLog.given)
    },
    file: config,
    known: ServeConfig.known,
    idle: ServeConfig.idle
  })
  // The tables of flags and of the variable have been checked.
  yield* checkNames("tables in the configuration file", Object.entries(resolved.values.tables))
  return resolved
})

/** The settings in force for a running server; warnings go to its log. */
const resolveAgain = (given: Given) =>
  Effect.map(
    Effect.tap(resolve(given), ({ warn }) => warn),
    ({ values }) => values
  )

const logging = ({ http, logBodyLength, logBufferSize, logFormat, logValues }: ServeConfig.ServeConfig) => {
  const log = ConnectionLog.layer({ maxBodyLength: logBodyLength, logValues })
  return Layer.merge(
    Log.layerStream(logFormat, process.stdout, logBufferSize),
    // `GET /metrics` shows them.
    http.length > 0 ? Layer.provide(ConnectionMetrics.layer, log) : log
  )
}

/** DuckDB gave up a database in memory that clients could change. */
export class DatabaseLost extends Schema.TaggedError<DatabaseLost>()("DatabaseLost", {}) {
  override get message() {
    return "the database in memory failed and is lost; start the server again"
  }
}

/**
 * A gateway in the same process, in front of the server. Loaded only here: a server without
 * HTTP starts faster.
 */
const before = Effect.fnUntraced(function* (server: Server.ServerService, config: ServeConfig.ServeConfig) {
  const Gateway = yield* Effect.promise(() => import("../gateway/Gateway.ts"))
  return yield* Gateway.make({
    ...ServeConfig.among(config, GatewayConfig.names),
    backends: { main: [{ name: "internal", connect: server.connect }] },
    limits: Limits.among(config)
  })
})

const serve = Effect.fnUntraced(function* (given: Given) {
  let stopNow: Effect.Effect<void> = Effect.void
  yield* Heap.keepYoung
  yield* BrokenPipe.isSurvived
  // Before everything else, so that signals are handled while the engine opens and while the server stops.
  yield* Signals.onSecond(Effect.suspend(() => stopNow))
  yield* Signals.quits
  const hangup = yield* Signals.hangups
  const outer = yield* Effect.scope
  const { values: config, warn } = yield* resolve(given)
  const running = Effect.gen(function* () {
    const fitted = yield* Descriptors.fit(config)
    const lost = yield* Deferred.make<never, DatabaseLost>()
    // While the process may still write.
    if (config.isolate === "process") yield* ProcessEngine.prepare
    const engine = yield* ServedEngine.make({
      config: fitted,
      spillDirectory: yield* Rights.drop(config),
      onLost: () => Deferred.doneUnsafe(lost, Effect.fail(new DatabaseLost()))
    })
    const server = yield* Server.make(ServeConfig.among(fitted, ServerConfig.names)).pipe(
      Effect.provideService(QueryEngine, engine.engine)
    )
    stopNow = server.stopNow
    const gateway = config.http.length > 0 ? yield* before(server, fitted) : undefined
    if (gateway !== undefined) {
      stopNow = Effect.andThen(gateway.stopNow, server.stopNow)
      // Both drain side by side. The server's own end waits for this.
      yield* Effect.addFinalizer(() => Effect.forkIn(server.drain, outer, { startImmediately: true }))
    }
    yield* ServerLog.opened("DataConn", server.addresses)
    yield* ServerLog.opened("HTTP", gateway?.addresses ?? [])
    const { fields, text } = StartLine.describe(fitted)
    yield* ServerLog.step(`Started (send SIGINT or SIGTERM to exit): ${text}`, fields)
    yield* ConfigSources.warnOfStrays(ServeConfig.known)
    yield* warn
    yield* ServiceManager.ready
    let current = config
    const reload = Effect.suspend(() =>
      Reload.reload({ engine, gateway, server }, current, resolveAgain(given))
    )
    const reloading = Effect.map(reload, (config) => {
      current = config
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(hangup, reloading)))
    yield* Effect.forkScoped(FreeMemory.always)
    return yield* Effect.onInterrupt(Deferred.await(lost), () =>
      Effect.andThen(ServerLog.step("Stopping..."), ServiceManager.stopping)
    )
  })
  return yield* Effect.scoped(running).pipe(Effect.provide(logging(config)), ServerLog.from(config.logLevel))
})

export const command = Command.make("serve", flags, (given) =>
  CommandSignals.serving(Effect.scoped(serve(given)))
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
