/**
 * What DuckDB says when it fails, and what of it a client is told.
 */
import * as Schema from "effect/Schema"
import { type ErrorCode, type QueryError, queryError } from "../QueryApi.ts"

/**
 * The engine could not be started. `setting` is the option to change, as it is written in
 * `DuckDbOptions`, and the message says what is wrong with it.
 */
export class DuckDbError extends Schema.TaggedError<DuckDbError>()("DuckDbError", {
  setting: Schema.String,
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {}

/** A failed call into DuckDB, as its `errors_as_json` prints it. */
export interface Failure {
  /** DuckDB's exception type (`Parser`, `Catalog`, `Out of Memory`…), or `""` where it gave none. */
  readonly type: string
  readonly message: string
  /** Where in the text that was prepared; {@link toReject} knows the unit. */
  readonly offset: number | undefined
}

/** Reads DuckDB's error. Some calls put a plain prefix before the JSON, and some errors are plain text. */
export const fromCause = (cause: unknown): Failure => {
  const text = cause instanceof Error ? cause.message : String(cause)
  const start = text.indexOf("{")
  if (start !== -1) {
    try {
      const body: unknown = JSON.parse(text.slice(start))
      if (isErrorBody(body)) {
        const position = Number(body.position ?? Number.NaN)
        return {
          type: body.exception_type,
          message: body.exception_message,
          offset: Number.isInteger(position) ? position : undefined
        }
      }
    } catch {
      // Not the JSON form after all: the text itself is the message.
    }
  }
  return { type: "", message: text, offset: undefined }
}

const isErrorBody = (
  body: unknown
): body is { exception_type: string; exception_message: string; position?: string } =>
  typeof body === "object" &&
  body !== null &&
  "exception_type" in body &&
  typeof body.exception_type === "string" &&
  "exception_message" in body &&
  typeof body.exception_message === "string"

const rejectCodes: Readonly<Record<string, ErrorCode>> = {
  Parser: "syntax_error",
  Syntax: "syntax_error",
  Catalog: "not_found",
  Permission: "not_allowed",
  "Out of Memory": "overloaded",
  INTERNAL: "internal",
  FATAL: "internal"
}

/** A failure to prepare `query`: nothing was run. */
export const toReject = (failure: Failure, query: string): QueryError =>
  queryError(
    isReadOnlyViolation(failure) ? "not_allowed" : (rejectCodes[failure.type] ?? "invalid_query"),
    failure.message,
    { position: failure.offset === undefined ? undefined : position(failure.type, query, failure.offset) }
  )

const failCodes: Readonly<Record<string, ErrorCode>> = {
  "Out of Memory": "out_of_memory",
  INTERNAL: "internal",
  FATAL: "internal"
}

/** A failure of a query that had begun to run. */
export const toError = (failure: Failure): QueryError =>
  queryError(failCodes[failure.type] ?? "execution_failed", failure.message)

/** DuckDB refuses writes in read-only databases and transactions with two exception types. */
const isReadOnlyViolation = (failure: Failure): boolean => /read-only mode/i.test(failure.message)

/** The 1-based character: the parser's offsets count characters, all others bytes of UTF-8. */
const position = (type: string, query: string, offset: number): number =>
  type === "Parser" ? offset + 1 : Array.from(Buffer.from(query).toString("utf8", 0, offset)).length + 1
