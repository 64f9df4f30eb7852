/**
 * What `dataconn query` says on standard error when a query brought no whole result, and its exit code.
 */
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { ClientError } from "../client/ClientError.ts"
import type { QueryError } from "../engine/QueryApi.ts"
import * as Printable from "../server/Printable.ts"
import type { TimedOut } from "./QueryDeadline.ts"
import type { OutputError } from "./QueryOutput.ts"

/** The exit codes of the command. */
export const exitCodes = { queryFailed: 1, connectionFailed: 2, timedOut: 124, interrupted: 130 } as const

/** The command has failed and has said why; the process ends with `exitCode`. */
export class QueryCommandError extends Schema.TaggedError<QueryCommandError>()("QueryCommandError", {
  message: Schema.String,
  exitCode: Schema.Int
}) {
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}

export interface Context {
  readonly query: string
  /** Whether a part of the result has been written to where it stays. */
  readonly incomplete: boolean
}

/** Whatever keeps a query from a whole result. */
export type Failure = QueryError | ClientError | OutputError | TimedOut

/** The message and exit code of an error. */
export const report = (error: Failure, context: Context): QueryCommandError =>
  new QueryCommandError({
    message: [
      ...lines(error, context.query),
      ...(context.incomplete ? ["The output is incomplete."] : [])
    ].join("\n"),
    exitCode: exitCode(error)
  })

const exitCode = (error: Failure): number => {
  switch (error._tag) {
    case "ClientError":
      return exitCodes.connectionFailed
    case "TimedOut":
      return exitCodes.timedOut
    case "QueryError":
      return error.code === "timeout" ? exitCodes.timedOut : exitCodes.queryFailed
    case "OutputError":
      return exitCodes.queryFailed
  }
}

const lines = (error: Failure, query: string): ReadonlyArray<string> => {
  switch (error._tag) {
    case "ClientError":
      return [Printable.line(`${error.message} (${hints[error.reason._tag]})`)]
    case "OutputError":
    case "TimedOut":
      return [Printable.line(error.message)]
    case "QueryError":
      return queryError(error, query)
  }
}

const hints: Record<ClientError["reason"]["_tag"], string> = {
  ConnectFailed: "is a server running there? See --server",
  ConnectionClosed: "see --server",
  TooManyRequests: "ask for less at a time",
  RequestTooLarge: "send less in one query",
  ConnectionLost: "see --server",
  ServerSilent: "see --server and --heartbeat-tolerance",
  ProtocolViolation: "is it a DataConn server? See --server"
}

/** How much of what a server has to say is shown, in UTF-16 units. */
const maxMessageLength = 4096

const queryError = (error: QueryError, query: string): ReadonlyArray<string> => {
  const again = error.retryAfterMs === undefined ? "" : ` (try again in ${error.retryAfterMs} ms)`
  const message = `${Printable.lines(Printable.clip(error.message, maxMessageLength))}${again}`
  if (error.position === undefined) return [`${error.code}: ${message}`]
  const place = locate(query, error.position)
  const before = Printable.lines(place.text.slice(0, place.column - 1))
  return [
    `${error.code} at line ${place.line}, column ${place.column}: ${message}`,
    `  ${Printable.lines(place.text)}`,
    // Tabs stay, so that the caret stands below its character however wide they are.
    `  ${before.replace(/[^\t]/g, " ")}^`
  ]
}

/** The line and column of a 1-based character offset; one beyond the query is at its end. */
export const locate = (
  query: string,
  position: number
): { readonly line: number; readonly column: number; readonly text: string } => {
  const before = query.slice(0, Math.max(0, position - 1))
  const start = before.lastIndexOf("\n") + 1
  const end = query.indexOf("\n", start)
  return {
    line: before.split("\n").length,
    column: before.length - start + 1,
    text: query.slice(start, end === -1 ? undefined : end)
  }
}
