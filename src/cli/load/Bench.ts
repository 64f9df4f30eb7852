/**
 * The work of `dataconn bench`: the load, and the report of its results.
 */
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Client from "../../client/Client.ts"
import * as QueryApi from "../../engine/QueryApi.ts"
import * as Address from "../../net/Address.ts"
import * as Execution from "../Execution.ts"
import { exitCodes } from "../ExitCodes.ts"
import * as Formats from "../Formats.ts"
import * as ServerAddress from "../ServerAddress.ts"
import type { Flags } from "./BenchCommand.ts"
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

/** Runs the load, and prints its report or its error. */
export const run = Effect.fnUntraced(
  function* (given: Flags) {
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
  },
  (running) =>
    running.pipe(
      Effect.catchTag("LoadError", ({ message }) =>
        Effect.fail(
          new BenchError({ message: `${message} (see --server)`, exitCode: exitCodes.noConnection })
        )
      ),
      Effect.tapErrorTag("BenchError", (error) => Console.error(error.message))
    )
)
