/**
 * The commands of the repl, which begin with a backslash. The names are psql's if it has the same command.
 */
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Address from "../../net/Address.ts"
import * as Printable from "../../server/Printable.ts"
import * as Setting from "../../server/Setting.ts"
import * as FrameView from "../debug/FrameView.ts"
import * as Formats from "../Formats.ts"
import * as QueryParameters from "../QueryParameters.ts"
import * as QueryReport from "../QueryReport.ts"
import * as Utf8 from "../Utf8.ts"
import * as Catalogue from "./Catalogue.ts"
import * as Completion from "./Completion.ts"
import * as Frames from "./Frames.ts"
import { Input } from "./Input.ts"
import * as RunStatement from "./RunStatement.ts"
import type { Session } from "./Session.ts"
import * as Settings from "./Settings.ts"
import { problem, set } from "./Settings.ts"

/** The input of a command. */
export interface Call {
  readonly session: Session
  readonly argument: string
  /** A statement that was typed before the command and has no semicolon. */
  readonly pending: string | undefined
  /** The depth of nested files that are being read. */
  readonly depth: number
}

/** The action after a command. */
export type Next = "go on" | "quit" | "debug"

type Requirements = Effect.Services<ReturnType<typeof RunStatement.run>>

/** One command. */
export interface Command {
  /** Its usage, for help. */
  readonly usage: string
  readonly help: string
  /** Tab completion of its argument. */
  readonly complete?: (word: string, catalogue: Completion.Catalogue) => Completion.Completion
  /**
   * What the command does with the statement typed before it, which it then consumes. By default it
   * leaves the statement.
   */
  readonly takesPending?: "runs" | "forgets"
  readonly run: (call: Call) => Effect.Effect<Next, QueryReport.QueryCommandError, Requirements>
}

const completeWords =
  (...offered: ReadonlyArray<string>) =>
  (word: string) =>
    Completion.completeWord(word, offered)

const statement = (
  session: Session,
  text: string
): Effect.Effect<Next, QueryReport.QueryCommandError, Requirements> =>
  Effect.as(RunStatement.run(session, text), "go on")

/** Runs one of the repl's own statements, which does not become the one to run again. */
const ofOwn = (session: Session, text: string) =>
  Effect.suspend(() => {
    const { last } = session
    return Effect.ensuring(
      statement(session, text),
      Effect.sync(() => {
        session.last = last
      })
    )
  })

/** Shows the columns of a table, or all tables. */
const describe = Effect.fnUntraced(function* ({ argument, session }: Call) {
  if (argument === "") return yield* ofOwn(session, Catalogue.tablesSql)
  // A server that cannot tell reports the reason when it is asked for the columns.
  const isThere = yield* Effect.orElseSucceed(
    Effect.flatMap(session.connection.client, (client) => Catalogue.hasTable(client, argument)),
    () => true
  )
  if (!isThere) return yield* problem(Printable.line(`There is no table named ${argument}; \\dt shows them`))
  return yield* ofOwn(session, Catalogue.columnsSql(argument))
})

const defaultWatch = Duration.seconds(2)

const readInterval = Schema.decodeUnknownOption(Setting.duration(defaultWatch, "").schema)

const watch = Effect.fnUntraced(function* ({ argument, pending, session }: Call) {
  const text = pending ?? session.last
  if (text === undefined) return yield* problem("\\watch: there is no statement to run again")
  const interval = argument === "" ? Option.some(defaultWatch) : readInterval(argument)
  if (Option.isNone(interval) || !Duration.isFinite(interval.value)) {
    return yield* problem(`\\watch: expected a time such as 2, 500ms or "1 minute", not ${argument}`)
  }
  const every = Duration.format(interval.value)
  const once = Effect.gen(function* () {
    const now = yield* DateTime.now
    yield* Console.log(`${DateTime.formatIso(now)} (every ${every}; Ctrl-C ends it)`)
    yield* statement(session, text)
    yield* Effect.sleep(interval.value)
  })
  return yield* Effect.forever(once)
})

/** The end of `\bind 1 \g`, as it is written for psql. */
const go = /(?:^|\s+)\\g$/

const bind = Effect.fnUntraced(function* ({ argument, pending, session }: Call) {
  const parameters = QueryParameters.parse(QueryParameters.words(argument.replace(go, "")))
  if (parameters instanceof Error) return yield* problem(`\\bind: expected ${parameters.message}`)
  session.parameters = parameters
  const text = pending ?? (go.test(argument) ? session.last : undefined)
  return text === undefined ? "go on" : yield* statement(session, text)
})

const connect = ({ argument, session }: Call) =>
  set(
    Effect.gen(function* () {
      const { connection } = session
      if (argument === "") return `Connected to ${Address.format(connection.server())}.`
      const server = yield* Effect.mapError(Effect.fromResult(Address.parse(argument)), ({ message }) =>
        problem(`\\connect: ${message}`)
      )
      yield* Effect.mapError(connection.connect(server), (error) =>
        problem(
          `${QueryReport.clientError(error)}\nStill connected to ${Address.format(connection.server())}.`
        )
      )
      session.forgetNames()
      return `Connected to ${Address.format(server)}.`
    })
  )

/**
 * Adds the end line of the failed input to an error, as psql does: positions in an error are relative
 * to its statement.
 */
export const atLine = <A, R>(
  source: string,
  line: number,
  effect: Effect.Effect<A, QueryReport.QueryCommandError, R>
): Effect.Effect<A, QueryReport.QueryCommandError, R> =>
  Effect.mapError(
    effect,
    ({ exitCode, message }) =>
      new QueryReport.QueryCommandError({
        message:
          message === ""
            ? ""
            : message.replace(/^\n?/, (start) => `${start}${Printable.line(source)}:${line}: `),
        exitCode
      })
  )

/** Deepest nesting of files that read each other. */
const maxDepth = 16

const include = Effect.fnUntraced(function* (call: Call) {
  const { argument, depth, session } = call
  if (argument === "") return yield* problem("\\i: name a file")
  if (depth >= maxDepth) return yield* problem(`\\i: more than ${maxDepth} files read each other`)
  const text = yield* Effect.tryPromise({
    try: () => Utf8.fromFile(argument),
    catch: (cause) => problem(Printable.line(`\\i: cannot read ${argument}: ${(cause as Error).message}`))
  })
  const input = new Input()
  const lines = text.split(/\r?\n/)
  for (const [index, line] of lines.entries()) {
    const next = yield* atLine(argument, index + 1, perform(session, input, line, depth + 1))
    if (next === "debug")
      return yield* problem("\\i: \\debug is for what is typed; see dataconn debug --script")
    if (next === "quit") return "quit"
  }
  // The last statement of a file needs no semicolon.
  if (input.pending.trim() !== "") {
    yield* atLine(argument, lines.length, statement(session, input.pending))
  }
  return "go on"
})

const help = Effect.suspend(() => {
  const width = Math.max(...Array.from(commands.values(), ({ usage }) => usage.length))
  const lines = Array.from(commands.values(), ({ help, usage }) => `  ${usage.padEnd(width)}  ${help}`)
  return Effect.as(
    Console.log(
      ["A statement ends with a semicolon, and may have many lines. Tab completes.", "", ...lines].join("\n")
    ),
    "go on" as const
  )
})

/** The commands by name, in the order of help. */
export const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  [
    "d",
    {
      usage: "\\d [TABLE]",
      help: "The columns of a table; without a name, the tables",
      complete: Completion.completeTable,
      run: describe
    }
  ],
  ["dt", { usage: "\\dt", help: "The tables", run: ({ session }) => ofOwn(session, Catalogue.tablesSql) }],
  [
    "format",
    {
      usage: "\\format [NAME]",
      help: `How results look: ${Object.keys(Formats.short).join(", ")}, or auto`,
      complete: completeWords(...Object.keys(Formats.short), "auto"),
      run: Settings.setFormat
    }
  ],
  [
    "x",
    {
      usage: "\\x [on|off|auto]",
      help: "Turns each row on its side: always, never, or if it does not fit",
      complete: completeWords("on", "off", "auto"),
      run: Settings.expand
    }
  ],
  [
    "limit",
    {
      usage: "\\limit [ROWS|off]",
      help: "Shows at most so many rows of a table, and stops the query then",
      complete: completeWords("off"),
      run: Settings.setLimit
    }
  ],
  [
    "pager",
    {
      usage: "\\pager [on|off]",
      help: "Shows results in DATACONN_PAGER, PAGER or less",
      complete: completeWords("on", "off"),
      run: Settings.toggle(
        "The pager",
        ({ pager }) => pager,
        (session, value) => {
          session.pager = value
        }
      )
    }
  ],
  [
    "timing",
    {
      usage: "\\timing [on|off]",
      help: "Says how long each statement took",
      complete: completeWords("on", "off"),
      run: Settings.toggle(
        "Timing",
        ({ timing }) => timing,
        (session, value) => {
          session.timing = value
        }
      )
    }
  ],
  [
    "watch",
    {
      usage: "\\watch [TIME]",
      help: "Runs the statement again and again, every 2 seconds unless told otherwise",
      takesPending: "runs",
      run: watch
    }
  ],
  [
    "g",
    {
      usage: "\\g",
      help: "Runs what was typed without a semicolon, or the last statement again",
      takesPending: "runs",
      run: ({ pending, session }) => {
        const text = pending ?? session.last
        return text === undefined
          ? Effect.fail(problem("\\g: there is no statement"))
          : statement(session, text)
      }
    }
  ],
  [
    "bind",
    {
      usage: "\\bind [PARAM...]",
      help: "Gives the statement before it, or else the next one, parameters as of --param",
      takesPending: "runs",
      run: bind
    }
  ],
  [
    "o",
    {
      usage: "\\o [FILE]",
      help: "Writes results to a file; without a name, here again",
      run: Settings.setOutput
    }
  ],
  ["i", { usage: "\\i FILE", help: "Runs the statements and commands of a file", run: include }],
  [
    "connect",
    {
      usage: "\\connect [ADDRESS]",
      help: "Goes over to another server; without one, says which it is",
      run: connect
    }
  ],
  [
    "r",
    {
      usage: "\\r",
      help: "Forgets what was typed without a semicolon",
      takesPending: "forgets",
      run: () => Effect.succeed("go on")
    }
  ],
  [
    "frames",
    {
      usage: "\\frames [HOW|off]",
      help: `Shows every frame of the connection, with bodies as ${FrameView.bodies.join(", ")}`,
      complete: completeWords(...Frames.words),
      run: ({ argument, session }) =>
        set(Effect.mapError(Effect.fromResult(session.frames.set(argument.toLowerCase())), problem))
    }
  ],
  [
    "debug",
    {
      usage: "\\debug",
      help: "Sends frames by hand to the server, on another connection, until quit",
      run: () => Effect.succeed("debug")
    }
  ],
  ["?", { usage: "\\?", help: "This help", run: () => help }],
  ["q", { usage: "\\q", help: "Leaves, as Ctrl-D does", run: () => Effect.succeed("quit") }]
])

/** Familiar alternative names. */
const aliases: Readonly<Record<string, string>> = { c: "connect", h: "?", help: "?", dt: "dt", quit: "q" }

const find = (name: string): Command | undefined => commands.get(name) ?? commands.get(aliases[name] ?? "")

/** Whether a line begins with a command that runs the statement before it. */
export const runsPending = (line: string): boolean => {
  const [, name] = /^\s*\\(\S+)/.exec(line) ?? []
  return name !== undefined && find(name)?.takesPending === "runs"
}

/** Performs everything that a line completes, in order, up to the first failure. */
export const perform = Effect.fnUntraced(function* (
  session: Session,
  input: Input,
  line: string,
  depth: number
): Effect.fn.Return<Next, QueryReport.QueryCommandError, Requirements> {
  for (const action of input.push(line)) {
    if (action._tag === "Statement") {
      yield* RunStatement.run(session, action.text)
      continue
    }
    const command = find(action.name)
    if (command === undefined) return yield* problem(`There is no \\${action.name}; \\? shows the commands`)
    if (command.takesPending !== undefined) input.clear()
    const { argument, pending } = action
    const next = yield* command.run({ session, argument, pending, depth })
    if (next !== "go on") return next
  }
  return "go on"
})
