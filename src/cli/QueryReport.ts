/**
 * The message on standard error for a query without a complete result, and the exit code.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { ClientError } from "../client/ClientError.ts"
import type { QueryError } from "../engine/QueryApi.ts"
import * as Printable from "../server/Printable.ts"
import { exitCodes, ofClientError, ofQueryError } from "./ExitCodes.ts"
import type { TimedOut } from "./QueryDeadline.ts"
import type { OutputError, Unread } from "./QueryOutput.ts"
import type { Statement } from "./sql/Statements.ts"
import * as Width from "./terminal/Width.ts"

/** The command has failed and has printed its message; the process ends with `exitCode`. */
export class QueryCommandError extends Schema.TaggedError<QueryCommandError>()("QueryCommandError", {
  message: Schema.String,
  exitCode: Schema.Int
}) {
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}

export interface Context {
  /** The user's whole text, and the statement of it that was run. */
  readonly text: string
  readonly statement: Statement
  /** Columns of the terminal, for the line with a caret. */
  readonly columns: number
  /** Whether a part of the result has been written permanently. */
  readonly incomplete: boolean
  /** Whether a terminal with the result is at the beginning of a line. */
  readonly endsLine?: boolean | undefined
  /** The number of the query among several. */
  readonly which?: { readonly number: number; readonly of: number } | undefined
  /** Whether the request had a timeout, taken from `--timeout`. */
  readonly isTimed?: boolean | undefined
}

/** All reasons for an incomplete result. */
export type Failure = QueryError | ClientError | OutputError | TimedOut | Unread

/** The note below an error. */
export const incompleteNote = "The output is incomplete."

/** The message and exit code of an error. */
export const report = (error: Failure, context: Context): QueryCommandError =>
  new QueryCommandError({
    message:
      error._tag === "Unread"
        ? ""
        : `${context.endsLine === false ? "\n" : ""}${[...lines(error, context), ...notes(context)].join("\n")}`,
    exitCode: exitCode(error)
  })

/** Prints the message of a failed command, if there is one. */
export const say = ({ message }: { readonly message: string }): Effect.Effect<void> =>
  message === "" ? Effect.void : Console.error(message)

const notes = ({ incomplete, which }: Context): ReadonlyArray<string> => [
  ...(which === undefined ? [] : [`This was query ${which.number} of ${which.of}; none after it was run.`]),
  ...(incomplete ? [incompleteNote] : [])
]

const exitCode = (error: Failure): number => {
  switch (error._tag) {
    case "ClientError":
      return ofClientError(error)
    case "TimedOut":
      return exitCodes.timedOut
    case "QueryError":
      return ofQueryError(error)
    case "OutputError":
      return exitCodes.failed
    case "Unread":
      return exitCodes.unread
  }
}

const lines = (error: Exclude<Failure, Unread>, context: Context): ReadonlyArray<string> => {
  switch (error._tag) {
    case "ClientError":
      return [clientError(error, context.statement.text)]
    case "OutputError":
    case "TimedOut":
      return [Printable.line(error.message)]
    case "QueryError":
      return queryError(error, context)
  }
}

const hints: Record<ClientError["reason"]["_tag"], string> = {
  ConnectFailed: "is a server running there? See --server",
  ConnectionClosed: "see --server",
  TooManyRequests: "ask for less at a time",
  QueueTimeout: "ask for less at a time",
  RequestTimeout: "see --request-timeout",
  RequestTooLarge: "send less in one query",
  ConnectionLost: "see --server",
  ServerSilent: "see --server and --heartbeat-tolerance",
  ProtocolViolation: "is it a DataConn server? See --server"
}

/** A server's default `maxFrameSize`. */
const usualFrameSize = 1024 * 1024

/** One line about a connection's failure, with advice. */
export const clientError = (error: ClientError, query = ""): string => {
  const isLong = query.length > usualFrameSize && error.reason._tag === "ConnectionLost"
  const size = `the query has ${query.length} characters; a server takes as much as its maxFrameSize, 1 MiB by default`
  return Printable.line(`${error.message} (${isLong ? size : hints[error.reason._tag]})`)
}

/** Most of a server's message that is shown, in UTF-16 units. */
const maxMessageLength = 4096

const queryError = (error: QueryError, context: Context): ReadonlyArray<string> => {
  const again = error.retryAfterMs === undefined ? "" : ` (try again in ${error.retryAfterMs} ms)`
  const said = error.code === "timeout" ? inFlags(error.message, context) : error.message
  const message = `${Printable.lines(Printable.clip(said, maxMessageLength))}${again}`
  if (error.position === undefined) return [`${error.code}: ${message}`]
  const { statement, text } = context
  const place = locate(text, statement.offset, error.position)
  return [
    `${error.code} at line ${place.line}, column ${place.column}: ${message}`,
    ...pointed(place.text, place.index, context.columns - 2).map((line) => `  ${line}`)
  ]
}

/**
 * Servers name a field of requests that the user has not typed. Its name is replaced by the
 * flag's, or removed.
 */
const inFlags = (message: string, { isTimed = false }: Context): string =>
  isTimed ? message.replaceAll(/\btimeoutMs\b/g, "--timeout") : message.replaceAll(/\btimeoutMs, /g, "")

/**
 * The line and column of a 1-based character of a statement that begins at `offset` of a text; a character
 * beyond the text is at its end. Servers count characters, not UTF-16 units. `index` is the place in the
 * line, in UTF-16 units.
 */
export const locate = (
  text: string,
  offset: number,
  position: number
): { readonly line: number; readonly column: number; readonly text: string; readonly index: number } => {
  let at = offset
  for (let count = 1; count < position && at < text.length; count++) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  }
  const before = text.slice(0, at)
  const start = before.lastIndexOf("\n") + 1
  const end = text.indexOf("\n", start)
  const index = at - start
  return {
    line: before.split("\n").length,
    column: Array.from(text.slice(start, at)).length + 1,
    text: text.slice(start, end === -1 ? undefined : end),
    index
  }
}

/** A line with a caret below one of its characters; a long line is cut around it. */
const pointed = (text: string, index: number, columns: number): readonly [string, string] => {
  const before = Printable.lines(text.slice(0, index))
  const after = Printable.lines(text.slice(index))
  const room = Math.max(20, columns)
  if (Width.of(before + after) <= room) return [before + after, `${blank(before)}^`]
  const head = Width.of(before) > room / 2 ? `${Width.mark}${last(before, Math.floor(room / 2) - 1)}` : before
  const tail = Width.cut(after, room - Width.of(head))
  return [head + tail, `${blank(head)}^`]
}

/** The end of a text, of at most so many columns. */
const last = (text: string, columns: number): string => {
  const characters = Array.from(text)
  let end = ""
  while (characters.length > 0) {
    const next = `${characters.pop()}${end}`
    if (Width.of(next) > columns) break
    end = next
  }
  return end
}

/**
 * Blanks of the width of a text. Tabs are kept, so that the caret is below its character
 * whatever their width.
 */
const blank = (text: string): string =>
  text
    .split("\t")
    .map((part) => " ".repeat(Width.of(part)))
    .join("\t")
