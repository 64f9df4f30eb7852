/**
 * What `dataconn query` says on standard error when a query brought no whole result, and its exit code.
 */
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { ClientError } from "../client/ClientError.ts"
import type { QueryError } from "../engine/QueryApi.ts"
import type { OutputError } from "./QueryOutput.ts"

/** The exit codes of the command, but for 130 after an interruption. */
export const exitCodes = { queryFailed: 1, connectionFailed: 2 } as const

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

/** The message and exit code of an error. */
export const report = (error: QueryError | ClientError | OutputError, context: Context): QueryCommandError =>
  new QueryCommandError({
    message: printable(
      [...lines(error, context.query), ...(context.incomplete ? ["The output is incomplete."] : [])].join(
        "\n"
      )
    ),
    exitCode: error._tag === "ClientError" ? exitCodes.connectionFailed : exitCodes.queryFailed
  })

const lines = (error: QueryError | ClientError | OutputError, query: string): ReadonlyArray<string> => {
  switch (error._tag) {
    case "ClientError":
      return [`${error.message} (${hints[error.reason._tag]})`]
    case "OutputError":
      return [error.message]
    case "QueryError":
      return queryError(error, query)
  }
}

const hints: Record<ClientError["reason"]["_tag"], string> = {
  ConnectFailed: "is a server running there? See --server",
  ConnectionClosed: "see --server",
  TooManyRequests: "ask for less at a time",
  ConnectionLost: "see --server",
  ServerSilent: "see --server and --heartbeat-tolerance",
  ProtocolViolation: "is it a DataConn server? See --server"
}

const queryError = (error: QueryError, query: string): ReadonlyArray<string> => {
  const again = error.retryAfterMs === undefined ? "" : ` (try again in ${error.retryAfterMs} ms)`
  if (error.position === undefined) return [`${error.code}: ${error.message}${again}`]
  const place = locate(query, error.position)
  return [
    `${error.code} at line ${place.line}, column ${place.column}: ${error.message}${again}`,
    `  ${place.text}`,
    // Tabs stay, so that the caret stands below its character however wide they are.
    `  ${place.text.slice(0, place.column - 1).replace(/[^\t]/g, " ")}^`
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

/** Keeps what a server says from steering the terminal. */
const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is being removed
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd")
