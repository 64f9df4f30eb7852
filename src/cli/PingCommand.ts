/**
 * `dataconn ping`: checks that a server answers, for people, scripts and health checks.
 */
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Client from "../client/Client.ts"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Address from "../net/Address.ts"
import * as ClientFlags from "./ClientFlags.ts"
import * as Execution from "./Execution.ts"
import { exitCodes } from "./ExitCodes.ts"
import * as Formats from "./Formats.ts"
import * as QueryDeadline from "./QueryDeadline.ts"
import * as QueryReport from "./QueryReport.ts"
import * as ServerAddress from "./ServerAddress.ts"
import * as Stopwatch from "./Stopwatch.ts"
import * as Screen from "./terminal/Screen.ts"

/** The same as pg_isready's. */
const defaultTimeout = "3 seconds"

const flags = {
  server: ClientFlags.server,
  query: Flag.String("query").pipe(
    Flag.withMetavar("query"),
    Flag.withDescription("Run this query too, and wait for its whole result"),
    Flag.optional
  ),
  timeout: Flag.String("timeout").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(`How long the server may take. Default: ${defaultTimeout}`),
    Flag.withDefault(defaultTimeout),
    ClientFlags.duration
  ),
  count: Flag.Int("count").pipe(
    Flag.withAlias("c"),
    Flag.withMetavar("number"),
    Flag.withDescription("Ask so many times, over new connections, up to the first failure. Default: 1"),
    Flag.filter(
      (count) => count >= 1,
      () => "a number from 1"
    ),
    Flag.withDefault(1)
  ),
  interval: Flag.String("interval").pipe(
    Flag.withAlias("i"),
    Flag.withMetavar("duration"),
    Flag.withDescription("How long to wait between two of them. Default: 1 second"),
    Flag.withDefault("1 second"),
    ClientFlags.duration
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Say nothing: the exit code is the answer"),
    Flag.withDefault(false)
  )
}

type Given = Command.Command.Config.Infer<typeof flags>

/**
 * A request that no engine of the v1 API runs: its query is empty. The reject shows that the server answers.
 */
const nothing = new TextEncoder().encode(JSON.stringify({ version: "v1", query: "" }))

/**
 * Checks that the server takes requests now. An engine that accepts the request is cancelled, which
 * is an answer too.
 */
const ask = (client: Client.ClientService) =>
  Effect.scoped(client.request(nothing)).pipe(
    Effect.asVoid,
    Effect.catchTag("QueryRejected", ({ payload }) => {
      const error = QueryApi.decodeError(payload)
      return error.retryable ? Effect.fail(error) : Effect.void
    })
  )

const deeply = (client: Client.ClientService, query: string) =>
  Effect.scoped(
    Effect.flatMap(
      Execution.askInTurn(Formats.inTurn(Formats.short.csv, false), (shown) =>
        client.query({ query, format: Formats.requested(shown) })
      ),
      ({ chunks }) => Stream.runDrain(chunks)
    )
  )

const once = Effect.fnUntraced(function* (given: Given, server: Address.Address) {
  let phase = "connecting"
  const time = yield* Stopwatch.start
  const run = Effect.gen(function* () {
    const client = yield* Client.connect(server, { cancelTimeout: QueryDeadline.grace.cancel })
    const connected = time()
    phase = "waiting for an answer"
    yield* ask(client)
    const answered = time()
    const parts = [
      `connected in ${Stopwatch.text(connected)}`,
      `answered in ${Stopwatch.text(answered - connected)}`
    ]
    if (Option.isNone(given.query)) return parts
    phase = "waiting for the result"
    yield* deeply(client, given.query.value)
    return [...parts, `the query took ${Stopwatch.text(time() - answered)}`]
  })
  return yield* QueryDeadline.enforce(Effect.scoped(run), { timeout: given.timeout, phase: () => phase })
})

const ping = Effect.fnUntraced(function* (given: Given) {
  const server = yield* ServerAddress.resolve(given.server)
  const { columns } = yield* Screen.look
  const text = Option.getOrElse(given.query, () => "")
  const report = (error: QueryReport.Failure) =>
    QueryReport.report(error, { text, statement: { text, offset: 0 }, columns, incomplete: false })
  for (let i = 0; i < given.count; i++) {
    if (i > 0) yield* Effect.sleep(given.interval)
    const parts = yield* Effect.mapError(once(given, server), report)
    if (!given.quiet) yield* Console.log(`${Address.format(server)} answers: ${parts.join(", ")}`)
  }
})

/** The command. Fails with a `QueryCommandError`, which has been printed unless `--quiet` was given. */
export const command = Command.make("ping", flags, (given) =>
  ping(given).pipe(
    Effect.mapError((error) =>
      error._tag === "ServerVariableError"
        ? new QueryReport.QueryCommandError({
            message: `dataconn ping: ${error.message}`,
            exitCode: exitCodes.failed
          })
        : error
    ),
    Effect.tapError((error) => (given.quiet ? Effect.void : Console.error(error.message)))
  )
).pipe(
  Command.withDescription(
    "Ask whether a server answers. It has to take a request, which nothing is run for; with --query it has to answer " +
      "that as well. Exits with 0 if it answers, 1 if the query failed, 2 without a connection, 3 if it is no DataConn " +
      "server or the connection was lost, 75 if it is overloaded or stopping, 124 if it took too long " +
      `(--timeout; the command ends ${Duration.format(QueryDeadline.totalGrace)} later at the latest).`
  ),
  Command.withShortDescription("Ask whether a server answers"),
  Command.withExamples([
    { command: "dataconn ping", description: "Ask the server of this machine" },
    { command: "until dataconn ping --quiet; do sleep 1; done", description: "Wait for a server to start" },
    {
      command: "dataconn ping --server db:11653 --query 'SELECT 1' --timeout 5s",
      description: "Check the health of a server, its engine included"
    }
  ])
)
