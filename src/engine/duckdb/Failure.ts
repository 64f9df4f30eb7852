/**
 * DuckDB's failures, and the errors that clients get for them.
 */
import * as Schema from "effect/Schema"
import { type ErrorCode, type QueryError, queryError } from "../QueryApi.ts"
import * as Hints from "./Hints.ts"
import * as Sentinel from "./Sentinel.ts"
import * as Words from "./Words.ts"

/**
 * The engine could not be started. `setting` is the option to change, as it is written in `DuckDbOptions`,
 * and the message states the problem.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuckDbError extends Schema.TaggedError<DuckDbError>()("DuckDbError", {
  setting: Schema.String,
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {}

/** A failed call into DuckDB, as its `errors_as_json` prints it. */
export interface Failure {
  /** DuckDB's exception type (`Parser`, `Catalog`, `Out of Memory`…), or `""` if there is none. */
  readonly type: string
  readonly message: string
  /** The place in the prepared text; {@link toReject} knows the unit. */
  readonly offset: number | undefined
}

/**
 * Most characters of an error that are read. A longer error quotes a value of the query, and a client gets
 * only its beginning.
 */
const maxText = 64 * 1024

/** Reads DuckDB's error. Some calls put a plain prefix before the JSON, and some errors are plain text. */
export const fromCause = (cause: unknown): Failure => {
  const whole = cause instanceof Error ? cause.message : String(cause)
  const text = whole.slice(0, maxText)
  const start = text.indexOf("{")
  const body = start === -1 ? undefined : parse(text.slice(start), whole.length > maxText)
  if (!isErrorBody(body)) return { type: "", message: withoutTrace(text), offset: undefined }
  const position = Number(body.position ?? Number.NaN)
  return {
    type: body.exception_type,
    message: /^(INTERNAL|FATAL)$/.test(body.exception_type)
      ? withoutTrace(body.exception_message)
      : body.exception_message,
    offset: Number.isInteger(position) ? position : undefined
  }
}

/** DuckDB's internal errors end with the addresses of its code, and with what is meant by internal. */
const trace = /^(?:Stack Trace:$|This error signals an assertion failure)/m

const withoutTrace = (message: string): string => {
  const at = message.search(trace)
  return at === -1 ? message : message.slice(0, at).trimEnd()
}

/** A cut string of JSON may end within an escape; the longest has six characters. */
const longestEscape = 6

/** Parses JSON, or the rest of an object that was cut within a string; `undefined` if the text is neither. */
const parse = (json: string, isCut: boolean): unknown => {
  const candidates = isCut
    ? Array.from({ length: longestEscape }, (_, dropped) => `${json.slice(0, json.length - dropped)}"}`)
    : [json]
  for (const candidate of candidates) {
    try {
      return JSON.parse(candidate)
    } catch {
      // Not JSON, or not cut here.
    }
  }
  return undefined
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

/** The type of the failure of a query whose instance another one made DuckDB give up. */
export const givenUp = "Given Up"

const rejectCodes: Readonly<Record<string, ErrorCode>> = {
  Parser: "syntax_error",
  Syntax: "syntax_error",
  Catalog: "not_found",
  Permission: "not_allowed",
  "Out of Memory": "out_of_memory",
  INTERNAL: "internal",
  FATAL: "internal",
  [givenUp]: "engine_lost"
}

/** An earlier step has failed, and DuckDB does not repeat the reason. */
const isAborted = ({ message, type }: Failure): boolean =>
  type === "TransactionContext" && /^Current transaction is aborted/.test(message)

const aborted = queryError(
  "out_of_memory",
  "A step before the query's own failed, most likely because other queries had taken the memory: run it again",
  { retryable: true }
)

/** The largest block that every query may need, in bytes. */
const commonBlock = 16 * 1024 ** 2

/** The process lacks memory for a need of every query, so other queries have taken it. */
const isOthers = ({ message, type }: Failure): boolean =>
  type === "Out of Memory" &&
  /Failed to allocate|bad allocation/i.test(message) &&
  Number(/Failed to allocate block of (\d+) bytes/i.exec(message)?.[1] ?? 0) <= commonBlock &&
  !isBeyondAll(message)

const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]

const size = String.raw`([\d.]+) (${units.join("|")})`

const wanted = new RegExp(`of size ${size} \\(${size}/${size} used\\)`)

const bytesOf = (count = "", unit = ""): number => Number(count) * 1024 ** units.indexOf(unit)

/** The query wants more than there would be if no other query had any. */
const isBeyondAll = (message: string): boolean => {
  const [found, count, unit, , , limit, limitUnit] = wanted.exec(message) ?? []
  return found !== undefined && bytesOf(count, unit) > bytesOf(limit, limitUnit)
}

/** The same error with another `retryable`. */
export const retryable = (error: QueryError, retryable: boolean): QueryError =>
  error.retryable === retryable ? error : queryError(error.code, error.message, { ...error, retryable })

/** The prepared text, or the position of a failure, if known. */
type Where = string | number | undefined

/** A failure to prepare: nothing was run. */
export const toReject = (failure: Failure, where: Where): QueryError =>
  isAborted(failure) ? aborted : rejectOf(failure, where)

const rejectOf = (failure: Failure, where: Where): QueryError =>
  queryError(
    isReadOnlyViolation(failure) ? "not_allowed" : (rejectCodes[failure.type] ?? "invalid_query"),
    Hints.remove(failure.message),
    {
      position: typeof where === "string" ? positionIn(where, failure) : where,
      retryable: isOthers(failure) || failure.type === givenUp
    }
  )

const failCodes: Readonly<Record<string, ErrorCode>> = {
  "Out of Memory": "out_of_memory",
  INTERNAL: "internal",
  FATAL: "internal",
  [givenUp]: "engine_lost"
}

/** A failure of a query that had begun to run, with its place in the text, if known. */
export const toError = (failure: Failure, position?: number): QueryError =>
  isAborted(failure)
    ? aborted
    : queryError(failCodes[failure.type] ?? "execution_failed", Hints.remove(failure.message), {
        position,
        retryable: isConflict(failure) || isOthers(failure) || failure.type === givenUp
      })

/** DuckDB's words for conflicts of rows, keys, tables and their dependents. */
const conflicts = [
  /conflict|duplicate key|constraint violation/i,
  /(another|a different) transaction|outstanding updates|altered or dropped/i,
  /^Failed to commit: Could not commit (creation of dependency|DROP of)/
]

/** Another query changed the same rows, tables or keys first. */
const isConflict = ({ message, type }: Failure): boolean =>
  type === "TransactionContext" && conflicts.some((words) => words.test(message))

/**
 * A failure to commit. DuckDB rolls the transaction back and says so, except for failures that it considers
 * fatal, which may come after the commit. `reads`: there is nothing to commit but values of sequences.
 */
export const ofCommit = (failure: Failure, reads: boolean): QueryError =>
  reads || failure.type === "TransactionContext"
    ? toError(failure)
    : queryError("unknown_outcome", `The changes may be there or not: ${Hints.remove(failure.message)}`)

/** DuckDB refuses writes in read-only databases and transactions with two exception types. */
export const isReadOnlyViolation = (failure: Failure): boolean => /read-only mode/i.test(failure.message)

const positionIn = (query: string, { offset, type }: Failure): number | undefined =>
  offset === undefined ? undefined : position(type, query, offset)

/** The 1-based character: the parser's offsets count characters, all others bytes of UTF-8. */
export const position = (type: string, query: string, offset: number): number =>
  type === "Parser" ? offset + 1 : charactersIn(Buffer.from(query), offset) + 1

/** Every byte of UTF-8 begins a character unless it begins with the bits 10. */
const charactersIn = (utf8: Uint8Array, bytes: number): number => {
  let count = 0
  for (let at = 0; at < bytes && at < utf8.length; at++) if (((utf8[at] as number) & 0xc0) !== 0x80) count++
  return count
}

/** Texts of the server that clients must not see, with their replacements. */
export type Hidden = ReadonlyArray<readonly [text: string, replacement: string]>

/** Replaces hidden texts, longer ones first. */
export const hide = (hidden: Hidden, text: string): string =>
  hidden
    .toSorted(([a], [b]) => b.length - a.length)
    .reduce((shown, [path, replacement]) => shown.replaceAll(path, replacement), text)

/** A path from the root in a message: all that is quoted, or what follows a blank. */
const path =
  /(?<=")\/[^"\n/]+\/[^"\n]+(?=")|(?<=')\/[^'\n/]+\/[^'\n]+(?=')|(?<=^|[\s"'([<])(?:\/[^\s"'()[\]<>:,;/]+){2,}\/?/g

/**
 * An error without the paths of the server. Unlisted ones (files of a view in a served database, directories
 * of DuckDB's own) are recognised by their form. A path that the client itself wrote stays.
 */
export const conceal = (hidden: Hidden, query: string, error: QueryError): QueryError => {
  const found = shownIn(error.message, hidden, query)
  return (
    missing(found, error) ??
    spilled(error) ??
    unwritable(found, query, error) ??
    queryError(
      isOfFile(found, query, error) ? "internal" : error.code,
      hide(found, withoutHints(error.message)).replace(path, pathsOf(query)),
      error
    )
  )
}

/** The texts in a message. A file may be in several tables: those that the query mentions come first. */
const shownIn = (message: string, hidden: Hidden, query: string): Hidden => {
  const found = hidden.filter(([text]) => message.includes(text))
  if (found.length < 2) return found
  const isMentioned = Words.mentions(query)
  const rank = ([, name]: Hidden[number]) => (isMentioned(name.toLowerCase()) ? 0 : 1)
  return found.toSorted((a, b) => rank(a) - rank(b))
}

/**
 * Most paths that are searched for in the query's text, which may be long. A message that names more is
 * not DuckDB's own.
 */
const maxPaths = 32

/** The replacement of a path: the path itself if the query's text has it. */
const pathsOf = (query: string): ((path: string) => string) => {
  const known = new Map<string, string>()
  return (path) => {
    const shown = known.get(path) ?? (known.size < maxPaths && query.includes(path) ? path : "<path>")
    known.set(path, shown)
    return shown
  }
}

/** DuckDB's message when the disk for spilled data or result files is full. */
const noSpace =
  /^(?:Could not write (?:to )?|Cannot open )file "[^"]*(?:duckdb_temp_|\*\*)[^"]*": (?:No space left on device|Disk quota exceeded)/

/** Whether a query has failed because the disk of the private directory is full. */
export const isDiskFull = (error: QueryError): boolean => noSpace.test(error.message)

const spilled = (error: QueryError): QueryError | undefined =>
  isDiskFull(error)
    ? queryError(
        error.code,
        "The disk is full that results and what outgrows the memory are written to (spillDirectory)",
        error
      )
    : undefined

/** The name of the private directory in errors. */
export const directory = "<directory>"

/** The private directory has been deleted, its disk is full, or the like: not the query's fault. */
const unwritable = (hidden: Hidden, query: string, error: QueryError): QueryError | undefined => {
  const path = hidden.find(([, name]) => name === directory)?.[0]
  if (path === undefined || error.code !== "execution_failed") return undefined
  if (!error.message.includes(path) || query.includes(path)) return undefined
  return queryError(
    "internal",
    `The server cannot write what outgrows its memory, or a Parquet result: ${hide(hidden, error.message)}`,
    error
  )
}

/**
 * An unreadable served file is not the query's fault. DuckDB reads its beginning or end to prepare the query.
 */
const isOfFile = (hidden: Hidden, query: string, { code, message }: QueryError): boolean =>
  code === "invalid_query" &&
  hidden.some(([text, name]) => !/^[<~]/.test(name) && message.includes(text) && !query.includes(text))

/** Removes the lines in which DuckDB suggests an internal table for an unknown name. */
const withoutHints = (message: string): string =>
  message.includes(Sentinel.database)
    ? message
        .split("\n")
        .filter((line) => !(line.startsWith("Did you mean") && line.includes(Sentinel.database)))
        .join("\n")
    : message
/**
 * DuckDB's messages for a path that is no file: it looks for a directory, which is not allowed, or for what
 * matches.
 */
const notAFile = [
  /^Cannot access file "(.*)\/\*\*\/\*\.\w+" - file system operations are disabled/s,
  /^No files found that match the pattern "(.*)"/s
]

/** The error for a served file that is gone. */
const missing = (hidden: Hidden, error: QueryError): QueryError | undefined => {
  const path = notAFile.flatMap((words) => words.exec(error.message)?.[1] ?? [])[0]
  const served = hidden.find(([text]) => text === path)?.[1]
  if (served === undefined) return undefined
  const file = served.startsWith("<") ? `A served file (${served})` : `The file of the table ${served}`
  const code = error.code === "execution_failed" ? error.code : "not_found"
  return queryError(code, `${file} has been deleted or moved, or is no file any more`, error)
}

const noTable = /^(?:Table with name|Catalog) "?((.+?)(?:\..+?)?)"? does not exist\b/

/** The error for a table that was left out when the engine was opened again. */
export const unread = (names: ReadonlySet<string>, error: QueryError): QueryError | undefined => {
  if (names.size === 0) return undefined
  const found = noTable.exec(error.message)?.map((part) => part.toLowerCase())
  const name = Array.from(names).find((each) => found?.includes(each.toLowerCase()))
  if (name === undefined) return undefined
  const message = `The file of the table ${name} could not be read when the engine was opened again: the server's log says why`
  return queryError("not_found", message, error)
}

/** The error for a defect: only its query ends. */
export const ofDefect = (defect: unknown): QueryError =>
  queryError("internal", `The query could not be answered: ${fromCause(defect).message}`)
