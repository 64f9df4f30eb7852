/**
 * `dataconn bench`: puts a load on a server and reports the results.
 */
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Client from "../../client/Client.ts"
import * as QueryApi from "../../engine/QueryApi.ts"
import * as Address from "../../net/Address.ts"
import * as Setting from "../../server/Setting.ts"
import * as ProcessExit from "../../threads/ProcessExit.ts"
import * as ClientFlags from "../ClientFlags.ts"
import * as Execution from "../Execution.ts"
import { exitCodes, ofSignal } from "../ExitCodes.ts"
import * as Formats from "../Formats.ts"
import * as ServerAddress from "../ServerAddress.ts"
import * as Signals from "../Signals.ts"
import * as Plan from "./Plan.ts"
import * as Plot from "./Plot.ts"
import * as Report from "./Report.ts"
import type { Task } from "./Task.ts"
import * as Threads from "./Threads.ts"

/** The command has printed its error; the process ends with `exitCode`. */
export class BenchError extends Schema.TaggedError<BenchError>()("BenchError", {
  message: Schema.String,
  exitCode: Schema.Int
}) {
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}

const setting = <A>(name: string, metavar: string, expected: string, { doc, schema }: Setting.Setting<A>) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(doc),
    Flag.filterMap(Schema.decodeUnknownOption(schema), () => expected),
    Flag.optional
  )

const wholeNumber = "a whole number of at least 1"

const flags = {
  mode: Argument.Literals("mode", Plan.modes).pipe(
    Argument.withDescription(Plan.modes.map((mode) => `${mode}: ${Plan.defaults[mode].doc}`).join(". ")),
    Argument.withDefault("small" as Plan.Mode)
  ),
  server: ClientFlags.server,
  clients: setting(
    "clients",
    "number",
    wholeNumber,
    Setting.count(1, 1, "How many connections. Default: by mode")
  ),
  duration: setting(
    "duration",
    "duration",
    'a duration longer than zero such as "30 seconds" or 30s',
    Setting.duration("10 seconds", "For how long requests are sent, such as 10s. Default: by mode")
  ),
  requests: setting(
    "requests",
    "number",
    wholeNumber,
    Setting.count(1, 1, "How many requests each connection makes at most. Default: no limit; fan-out: 1")
  ),
  rate: setting(
    "rate",
    "number",
    wholeNumber,
    Setting.count(
      1,
      1,
      "Requests a second, of all connections. Latency then counts from when a request was to be sent (corrected) " +
        "and from when it was sent (raw). Default: as fast as responses come"
    )
  ),
  size: setting(
    "size",
    "bytes",
    "a size such as 100MB or 65536",
    Setting.bytes("100 MB", 1, "Bytes of each large result, such as 100MB. Default: by mode")
  ),
  query: Flag.String("query").pipe(
    Flag.withAlias("q"),
    Flag.withMetavar("sql"),
    Flag.withDescription("A query of your own in place of the small one"),
    Flag.optional
  ),
  threads: setting(
    "threads",
    "number",
    wholeNumber,
    Setting.count(2, 1, "How many threads make the load. Default: 2")
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print the report as a JSON object"),
    Flag.withDefault(false)
  ),
  plot: Flag.String("plot").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Write latency over time to an SVG file"),
    Flag.optional
  ),
  ceiling: Flag.Boolean("ceiling").pipe(
    Flag.withDescription(
      "Measure for a second what this load gets from a raw server on this machine. Default: true; --no-ceiling"
    ),
    Flag.withDefault(true)
  )
}

type Flags = Command.Command.Config.Infer<typeof flags>

const graceMillis = 10_000
const connectTimeoutMillis = Duration.toMillis(Client.defaults.connectTimeout)
const ceilingMillis = 1000

/**
 * The first format that the server has: then an empty query, which runs nothing, is rejected
 * for another reason.
 */
const formatOf = (address: Address.Address): Effect.Effect<QueryApi.Format> =>
  Effect.gen(function* () {
    const client = yield* Client.connect(address)
    const ask = (shown: Formats.Shown) => {
      const body = JSON.stringify({ version: "v1", query: "", format: Formats.requested(shown) })
      return Effect.scoped(client.request(new TextEncoder().encode(body))).pipe(
        Effect.catchTag("QueryRejected", ({ payload }) => {
          const error = QueryApi.decodeError(payload)
          return error.code === "unsupported_format" ? Effect.fail(error) : Effect.void
        }),
        Effect.as(Formats.requested(shown))
      )
    }
    return yield* Execution.askInTurn(Formats.inTurn(Formats.short.json, false), ask)
  }).pipe(
    Effect.scoped,
    // The load reports the problem.
    Effect.orElseSucceed(() => QueryApi.defaultFormat)
  )

const task = (given: Flags, server: string, format: QueryApi.Format): Task => {
  const defaults = Plan.defaults[given.mode]
  const planned = Plan.plan(wanted(given, format))
  return {
    ...planned,
    server,
    rate: Option.getOrUndefined(given.rate),
    requests: Option.getOrElse(given.requests, () => defaults.requests),
    durationMillis: Option.match(given.duration, {
      onNone: () => defaults.durationMillis,
      onSome: Duration.toMillis
    }),
    graceMillis,
    connectTimeoutMillis
  }
}

const wanted = ({ clients, mode, query, size }: Flags, format: QueryApi.Format): Plan.Given => ({
  mode,
  clients: Option.getOrElse(clients, () => Plan.defaults[mode].clients),
  size: Option.getOrElse(size, () => Plan.defaults[mode].size),
  query: Option.getOrUndefined(query),
  format
})

/** The result of the same load with a minimal server. */
const ceiling = Effect.fnUntraced(function* (given: Flags, real: Task, threads: number) {
  const planned = given.ceiling ? Plan.ceiling(wanted(given, QueryApi.defaultFormat)) : undefined
  if (planned === undefined) return undefined
  const server = yield* Threads.rawServer(planned.bytes)
  const outcome = yield* Threads.run(
    {
      ...real,
      server,
      kinds: planned.kinds,
      connections: real.connections.map(() => 0),
      rate: undefined,
      requests: Number.POSITIVE_INFINITY,
      durationMillis: ceilingMillis
    },
    { threads }
  )
  const { bytes, complete } = outcome.tallies[0]?.counters ?? { bytes: 0, complete: 0 }
  return { perSecond: complete / outcome.seconds, bytesPerSecond: bytes / outcome.seconds }
}, Effect.scoped)

const print = Effect.fnUntraced(function* (given: Flags, report: Report.BenchReport) {
  yield* Console.log(given.json ? JSON.stringify(report) : Report.text(report))
  if (Option.isNone(given.plot)) return
  const fs = yield* FileSystem.FileSystem
  const file = given.plot.value
  const title = `${report.mode}: ${report.server}, ${report.connections} connections`
  yield* fs.writeFileString(file, Plot.svg(title, report.timeline)).pipe(
    Effect.mapError(
      (error) =>
        new BenchError({
          message: `Cannot write ${file} (--plot): ${error.message}`,
          exitCode: exitCodes.failed
        })
    )
  )
})

const run = Effect.fnUntraced(function* (given: Flags) {
  const problem = Plan.withoutEffect(given.mode, {
    size: Option.isSome(given.size),
    query: Option.isSome(given.query),
    rate: Option.isSome(given.rate),
    requests: Option.isSome(given.requests)
  })
  if (problem !== undefined) {
    return yield* new BenchError({ message: `dataconn bench: ${problem}`, exitCode: exitCodes.failed })
  }
  const address = yield* Effect.mapError(
    ServerAddress.resolve(given.server),
    ({ message }) => new BenchError({ message, exitCode: exitCodes.failed })
  )
  const server = Address.format(address)
  const format = Plan.queried.includes(given.mode) ? yield* formatOf(address) : QueryApi.defaultFormat
  const real = task(given, server, format)
  const threads = Math.min(
    Option.getOrElse(given.threads, () => 2),
    real.connections.length
  )
  const about = {
    mode: given.mode,
    server,
    kinds: real.kinds.map(({ name }) => name),
    connections: real.connections.length,
    threads,
    rate: real.rate
  }
  const most = yield* ceiling(given, real, threads)
  let partial: Threads.Outcome | undefined
  const onSecond = (second: Threads.Second) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${Report.progress(second, 1)}`)
  }
  const clear = Effect.sync(() => {
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K")
  })
  const running = Threads.run(real, { threads, onSecond }, (outcome) => {
    partial = outcome
  })
  const outcome = yield* running.pipe(
    Effect.ensuring(clear),
    Effect.onInterrupt(() =>
      partial === undefined
        ? Effect.void
        : Effect.ignore(print(given, Report.make(about, partial, { interrupted: true, ceiling: most })))
    )
  )
  const report = Report.make(about, outcome, { interrupted: false, ceiling: most })
  yield* print(given, report)
  if (!Report.isGood(report)) {
    return yield* new BenchError({
      message: "Not every response was what it had to be.",
      exitCode: exitCodes.failed
    })
  }
})

/** The command. Interruption ends the load and prints the counts so far. */
export const command = Command.make("bench", flags, (given) =>
  Effect.scoped(
    Effect.andThen(
      Signals.onSignals({ second: Effect.sync(() => ProcessExit.now(ofSignal(Signals.received()))) }),
      run(given).pipe(
        Effect.catchTag("LoadError", ({ message }) =>
          Effect.fail(
            new BenchError({ message: `${message} (see --server)`, exitCode: exitCodes.noConnection })
          )
        ),
        Effect.tapErrorTag("BenchError", (error) => Console.error(error.message))
      )
    )
  )
).pipe(
  Command.withDescription(
    "Put a load on a server and print throughput, percentiles of latency and errors. Any DuckDB server will do. " +
      "Exits with 1 if a response was not what it had to be, 2 if the server could not be reached, 130 if it was " +
      "interrupted."
  ),
  Command.withShortDescription("Put a load on a server and say how it did"),
  Command.withExamples([
    { command: "dataconn bench small --clients 64", description: "Small queries, as fast as they come" },
    {
      command: "dataconn bench small --rate 2000 --duration 30s --plot latency.svg",
      description: "At a fixed rate, with the waits that a closed loop hides"
    },
    {
      command: "dataconn bench fan-out --clients 100 --size 100MB",
      description: "A hundred clients, 100 MB each, every byte verified"
    },
    {
      command: "dataconn bench --query 'SELECT count(*) FROM trades'",
      description: "A query of your own"
    }
  ])
)
