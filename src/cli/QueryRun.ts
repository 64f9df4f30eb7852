/**
 * Runs the statements of `dataconn query`, over one connection.
 */
import { Buffer } from "node:buffer"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Client from "../client/Client.ts"
import type { Parameters } from "../engine/QueryApi.ts"
import * as Address from "../net/Address.ts"
import * as EngineProgress from "./EngineProgress.ts"
import * as Execution from "./Execution.ts"
import { exitCodes } from "./ExitCodes.ts"
import * as Formats from "./Formats.ts"
import type { Given as Flags } from "./QueryCommand.ts"
import * as QueryDeadline from "./QueryDeadline.ts"
import * as QueryOutput from "./QueryOutput.ts"
import * as QueryParameters from "./QueryParameters.ts"
import * as QueryReport from "./QueryReport.ts"
import * as ServerAddress from "./ServerAddress.ts"
import * as Stopwatch from "./Stopwatch.ts"
import * as Statements from "./sql/Statements.ts"
import * as ProgressLine from "./terminal/ProgressLine.ts"
import * as Screen from "./terminal/Screen.ts"
import * as Summary from "./terminal/Summary.ts"
import * as Utf8 from "./Utf8.ts"

type Given = Omit<Flags, "limit"> & { readonly limit: number }

const fail = (message: string) =>
  new QueryReport.QueryCommandError({ message: `dataconn query: ${message}`, exitCode: exitCodes.failed })

const fromStdin = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  if (yield* stdio.stdinIsTerminal) yield* Console.error("Reading the query; end it with Ctrl-D")
  const chunks = yield* Effect.orDie(Stream.runCollect(stdio.stdin))
  return yield* Effect.try({
    try: () => Utf8.decode(Buffer.concat(chunks)),
    catch: (cause) => fail(`cannot read standard input: ${(cause as Error).message}`)
  })
})

const fromFile = (file: string) =>
  Effect.tryPromise({
    try: () => Utf8.fromFile(file),
    catch: (cause) => fail(`cannot read --file ${file}: ${(cause as Error).message}`)
  })

const queryText = Effect.fnUntraced(function* ({ file, query }: Given) {
  if (Option.isSome(file) && Option.isSome(query)) {
    return yield* fail("a query and --file are both given; leave one out")
  }
  const name = Option.getOrElse(file, () => "-")
  if (Option.isSome(query) && query.value !== "-") return query.value
  return yield* name === "-" ? fromStdin : fromFile(name)
})

/** The statements to send. A single one is sent verbatim, with the text around it. */
const statementsOf = (text: string, split: boolean): ReadonlyArray<Statements.Statement> => {
  const statements = Statements.all(text)
  return statements.length === 1 || (!split && statements.length > 0) ? [{ text, offset: 0 }] : statements
}

interface Plan {
  readonly given: Given
  readonly server: Address.Address
  readonly text: string
  readonly statements: ReadonlyArray<Statements.Statement>
  /** The parameters of each statement. */
  readonly parameters: ReadonlyArray<Parameters>
  readonly file: string | undefined
  readonly view: Execution.View
  readonly screen: Screen.Screen
}

/** The error for flags that have no effect on the requested format. */
const withoutEffect = (
  { crlf, header, numbers }: Pick<Given, "crlf" | "header" | "numbers">,
  shown: Formats.Shown
): string | undefined => {
  if (crlf && shown !== Formats.short.csv)
    return `--csv-crlf is for csv; it has no effect on ${Formats.nameOf(shown)}`
  if (!header && !Formats.hasHeader(shown))
    return `--no-header is for csv and tsv; it has no effect on ${Formats.nameOf(shown)}`
  const isJson = shown === Formats.short.json || shown === Formats.short.ndjson
  return numbers === "string" && !isJson
    ? `--numbers is for json and ndjson; it has no effect on ${Formats.nameOf(shown)}`
    : undefined
}

/** Decides everything before anything is sent, and refuses impossible requests. */
const plan = Effect.fnUntraced(function* (given: Given) {
  const server = yield* Effect.mapError(ServerAddress.resolve(given.server), ({ message }) => fail(message))
  const screen = yield* Screen.look
  const file = Option.getOrUndefined(Option.filter(given.output, (name) => name !== "-"))
  const toTerminal = file === undefined ? screen.stdoutIsTerminal : yield* QueryOutput.isTerminal(file)
  const implied = file === undefined ? undefined : Formats.ofFile(file)
  const whereItGoes = toTerminal ? Formats.short.table : Formats.short.json
  const shown = Option.getOrElse(given.format, () => implied ?? whereItGoes)
  const name = Formats.nameOf(shown)
  if (Formats.isBinary(shown) && toTerminal) {
    return yield* fail(`${name} is binary, and nothing for a terminal; give --output a file, or use a pipe`)
  }
  if (Number.isFinite(given.limit) && !Formats.isTable(shown)) {
    return yield* fail(`--limit is for tables; for ${name}, write LIMIT into the query`)
  }
  const isChosen = Option.isSome(given.format) || implied !== undefined
  const problem = isChosen ? withoutEffect(given, shown) : undefined
  if (problem !== undefined) return yield* fail(problem)
  if (given.pager && file !== undefined) {
    return yield* fail("--pager has no effect on what --output writes to a file; leave one out")
  }
  const text = yield* queryText(given)
  const statements = statementsOf(text, given.split)
  if (statements.length === 0) return yield* fail("the query is empty")
  if (statements.length > 1 && !Formats.holdsSeveral(shown, file !== undefined)) {
    return yield* fail(
      `${statements.length} queries have as many results, and ${file === undefined ? "" : "a file of "}${name} holds one`
    )
  }
  // Checked first: otherwise the query could change the database although its result cannot be written.
  if (file !== undefined) yield* Effect.mapError(QueryOutput.check(file), ({ message }) => fail(message))
  if (!isChosen && !toTerminal && !given.quiet && Formats.hasExtension(file)) {
    yield* Console.error(`${file}: the name says no format, so it is ${name} (see --format)`)
  }
  const view: Execution.View = {
    shown,
    isChosen,
    columns: toTerminal ? screen.columns : undefined,
    isTerminal: toTerminal,
    style: file === undefined ? screen.style : Screen.plain,
    crlf: given.crlf,
    header: given.header,
    maxRows: given.limit
  }
  // A single statement is not parsed: the server knows its parameters.
  const parameters =
    statements.length === 1
      ? [given.parameters]
      : QueryParameters.ofEach(
          given.parameters,
          statements.map(({ text }) => text)
        )
  return { given, server, text, statements, parameters, file, view, screen } satisfies Plan
})

/**
 * The client's settings from the flags. With a timeout, less time is left to wait for the end of a cancel.
 */
const settings = ({ heartbeatTolerance, requestTimeout, timeout }: Given) => ({
  heartbeatTolerance,
  requestTimeout,
  connectTimeout: Duration.min(requestTimeout, Duration.fromInputUnsafe(Client.defaults.connectTimeout)),
  ...(Duration.isFinite(timeout) ? { cancelTimeout: QueryDeadline.grace.cancel } : {})
})

class State {
  /** The running statement, from 0, and its progress. */
  index = 0
  progress: Execution.Progress | undefined
  line: ProgressLine.ProgressLine = ProgressLine.none
  incomplete = false
  /** Whether the result has left the terminal at the beginning of a line. */
  endsLine = true
  /** Messages for after the pager has left the terminal: at most one for each statement. */
  readonly said: Array<string> = []
}

/** Whether results go to a pager, which owns the terminal until the user leaves it. */
const isPaged = ({ given, screen }: Plan): boolean => given.pager && screen.stdoutIsTerminal

const sayAll = (state: State): Effect.Effect<void> =>
  Effect.suspend(() => Effect.forEach(state.said.splice(0), (said) => Console.error(said), { discard: true }))

/** The result of one accepted statement, with the progress line before it and the summary after it. */
const open = Effect.fnUntraced(function* (
  plan: Plan,
  client: Client.ClientService,
  state: State,
  index: number
) {
  const { file, given, parameters, screen, server, statements, view } = plan
  const progress = new Execution.Progress(yield* Stopwatch.start)
  state.index = index
  state.progress = progress
  state.incomplete = false
  const hasLine = screen.canAnimate && !given.quiet
  if (hasLine) {
    state.line = yield* ProgressLine.show(progress, screen.columns)
    yield* EngineProgress.watch(server, progress)
  }
  const request = {
    query: statements[index]?.text ?? "",
    parameters: parameters[index] ?? [],
    metadata: given.metadata,
    numbers: given.numbers,
    isVerified: given.verify,
    isWatched: hasLine,
    timeoutMs: Duration.isFinite(given.timeout) ? Duration.toMillis(given.timeout) : undefined
  }
  const isWatched = screen.stdoutIsTerminal && screen.stderrIsTerminal && file === undefined
  const summary = Summary.make(progress, {
    rows: isWatched && !given.quiet,
    timing: given.timing
  })
  const say = Effect.suspend(() => {
    const said = summary()
    if (said !== "") state.said.push(said)
    return Effect.andThen(state.line.clear, isPaged(plan) ? Effect.void : sayAll(state))
  })
  return Stream.concat(yield* Execution.open(client, request, view, progress), Stream.fromEffectDrain(say))
})

/**
 * All results. The first is accepted before anything is opened for writing, so that a reject opens nothing.
 */
const openAll = Effect.fnUntraced(function* (plan: Plan, client: Client.ClientService, state: State) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const first = yield* Scope.provide(open(plan, client, state, 0), scope)
  const rest = Stream.fromIterable(plan.statements.slice(1).keys()).pipe(
    Stream.flatMap((index) => Stream.scoped(Stream.unwrap(open(plan, client, state, index + 1)))),
    Stream.provideService(Stdio.Stdio, yield* Stdio.Stdio)
  )
  return Stream.concat(Stream.ensuring(first, Scope.close(scope, Exit.void)), rest)
})

/** Whether a result and its summary share the terminal. */
const sharesTerminal = ({ file, screen }: Plan): boolean => file === undefined && screen.stdoutIsTerminal

const write = (plan: Plan, state: State, results: Stream.Stream<Execution.Written, QueryReport.Failure>) => {
  const onWrite = (written: Execution.Written) => {
    state.incomplete = true
    state.endsLine = isPaged(plan) || !sharesTerminal(plan) || QueryOutput.endsLine(written)
    return sharesTerminal(plan) ? state.line.clear : Effect.void
  }
  if (plan.file !== undefined) return QueryOutput.toFile(results, plan.file, { onWrite })
  return isPaged(plan)
    ? Effect.ensuring(QueryOutput.toPager(results, { onWrite }), sayAll(state))
    : QueryOutput.toStdout(results, { onWrite })
}

const reported = ({ given, screen, statements, text }: Plan, state: State) => ({
  isTimed: Duration.isFinite(given.timeout),
  text,
  statement: statements[state.index] ?? { text, offset: 0 },
  columns: screen.columns,
  incomplete: state.incomplete,
  endsLine: state.endsLine,
  which: statements.length > 1 ? { number: state.index + 1, of: statements.length } : undefined
})

const cancelled = (
  { screen, statements }: Plan,
  { endsLine, incomplete, index, progress }: State
): Effect.Effect<void> => {
  // Nothing had been sent.
  if (progress === undefined) return Effect.void
  const which = statements.length > 1 ? ` in query ${index + 1} of ${statements.length}` : ""
  const said = `Cancelled${which}.${incomplete ? ` ${QueryReport.incompleteNote}` : ""}`
  return Console.error(`${ProgressLine.start({ endsLine, canAnimate: screen.canAnimate })}${said}`)
}

/** Runs the statements, up to the first that fails. Fails with a message that has not been printed. */
export const run = Effect.fnUntraced(function* (given: Given) {
  const chosen = yield* plan(given)
  const state = new State()
  let phase = `connecting to ${Address.format(chosen.server)}`
  const running = Effect.gen(function* () {
    const client = yield* Client.connect(chosen.server, settings(given))
    phase = ""
    const results = yield* openAll(chosen, client, state)
    yield* write(chosen, state, results)
  })
  yield* QueryDeadline.enforce(Effect.scoped(running), {
    timeout: given.timeout,
    phase: () => phase || (state.progress?.phase ?? "waiting")
  }).pipe(
    Effect.onInterrupt(() => cancelled(chosen, state)),
    Effect.mapError((error) => QueryReport.report(error, reported(chosen, state)))
  )
})
