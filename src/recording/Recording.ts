/**
 * A recording of connections as text: JSON, a line for each event. src/recording/README.md describes the
 * lines. Pure.
 */
import { Buffer } from "node:buffer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Message from "../protocol/Message.ts"
import type { End, Event } from "./Observer.ts"
import { type Content, contentOf } from "./Redaction.ts"

export type { End, Ending, Event } from "./Observer.ts"
export type { Content } from "./Redaction.ts"

/**
 * The first line of a recording.
 *
 * @category models
 * @since 0.1.0
 */
export interface Header {
  /** Whether bodies contain their values. */
  readonly values: "kept" | "redacted"
  readonly lengthCounts: LengthCounts
}

/**
 * A line of a recording after the first: an {@link Event} with the kept part of its bytes.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry =
  | Extract<Event, { readonly _tag: "Opened" | "Ended" }>
  | {
      readonly _tag: "Frame"
      readonly at: number
      readonly connection: number
      readonly from: End
      readonly type: number
      readonly length: number
      readonly content: Content
    }
  | {
      readonly _tag: "Bytes"
      readonly at: number
      readonly connection: number
      readonly from: End
      readonly length: number
      readonly content: Content
    }

/**
 * A parsed recording.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recording {
  readonly header: Header
  readonly entries: ReadonlyArray<Entry>
}

/**
 * The text is not a recording.
 *
 * @category errors
 * @since 0.1.0
 */
export class RecordingError extends Schema.TaggedError<RecordingError>()("RecordingError", {
  line: Schema.Finite,
  problem: Schema.String
}) {
  override get message() {
    return `line ${this.line}: ${this.problem}`
  }
}

/**
 * The part of an event that a recording keeps, in memory of its own.
 *
 * @category formatting
 * @since 0.1.0
 */
export const entry = (event: Event, { values }: Header): Entry => {
  if (event._tag === "Opened" || event._tag === "Ended") return event
  const { bytes: _, ...rest } = event
  const content = contentOf(event, values === "kept")
  return {
    ...rest,
    content: content._tag === "Exact" ? { _tag: "Exact", bytes: new Uint8Array(content.bytes) } : content
  }
}

const version = 1

/**
 * The first line, without its line break.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatHeader = ({ lengthCounts, values }: Header): string =>
  JSON.stringify({ recording: "dataconn", version, values, lengthCounts })

/** A letter if there is one, so that no character can control a terminal. */
const formatType = (type: number): string =>
  type > 0x20 && type < 0x7f ? String.fromCharCode(type) : `0x${type.toString(16).padStart(2, "0")}`

const parseType = (text: string): number | undefined => {
  if (/^[\x21-\x7e]$/.test(text)) return text.charCodeAt(0)
  return /^0x[0-9a-f]{2}$/.test(text) ? Number(text) : undefined
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const formatContent = (content: Content): Readonly<Record<string, string>> => {
  if (content._tag === "Redacted") return { redacted: content.text }
  if (content._tag === "Omitted" || content.bytes.length === 0) return {}
  try {
    return { text: decoder.decode(content.bytes) }
  } catch {
    return { base64: Buffer.from(content.bytes).toString("base64") }
  }
}

const micros = (at: number): number => Math.round(at * 1000) / 1000

/**
 * A line, without its line break.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatEntry = (entry: Entry): string => {
  const { at, connection } = entry
  const start = { at: micros(at), connection }
  switch (entry._tag) {
    case "Opened":
      return JSON.stringify({ ...start, event: "opened", peer: entry.peer })
    case "Ended":
      return JSON.stringify({ ...start, from: entry.from, event: entry.how, detail: entry.detail })
    case "Frame": {
      const { content, from, length, type } = entry
      return JSON.stringify({ ...start, from, type: formatType(type), length, ...formatContent(content) })
    }
    case "Bytes": {
      const { content, from, length } = entry
      return JSON.stringify({ ...start, from, bytes: length, ...formatContent(content) })
    }
  }
}

/**
 * The whole text.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = ({ entries, header }: Recording): string =>
  [formatHeader(header), ...entries.map(formatEntry), ""].join("\n")

const HeaderLine = Schema.fromJsonString(
  Schema.Struct({
    recording: Schema.Literal("dataconn"),
    version: Schema.Finite,
    values: Schema.Literals(["kept", "redacted"]),
    lengthCounts: LengthCounts
  })
)

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Line = Schema.fromJsonString(
  Schema.Struct({
    at: Schema.Finite,
    connection: Count,
    from: Schema.optional(Schema.Literals(["client", "server"])),
    event: Schema.optional(Schema.Literals(["opened", "closed", "broken"])),
    peer: Schema.optional(Schema.String),
    detail: Schema.optional(Schema.String),
    type: Schema.optional(Schema.String),
    length: Schema.optional(Count),
    bytes: Schema.optional(Count),
    text: Schema.optional(Schema.String),
    base64: Schema.optional(Schema.String),
    redacted: Schema.optional(Schema.String)
  })
)

const decodeHeader = Schema.decodeUnknownResult(HeaderLine)
const decodeLine = Schema.decodeUnknownResult(Line)

const encoder = new TextEncoder()

const exact = (bytes: Uint8Array): Content => ({ _tag: "Exact", bytes })

/** The content of a line, or a text that describes the problem. */
const contentIn = (line: typeof Line.Type, length: number): Content | string => {
  const { base64, redacted, text } = line
  if ([base64, redacted, text].filter((each) => each !== undefined).length > 1) {
    return "text, base64 and redacted exclude each other"
  }
  if (redacted !== undefined) return { _tag: "Redacted", text: redacted }
  if (text === undefined && base64 === undefined) {
    return length === 0 ? exact(new Uint8Array(0)) : { _tag: "Omitted" }
  }
  const bytes =
    text === undefined ? new Uint8Array(Buffer.from(base64 ?? "", "base64")) : encoder.encode(text)
  return bytes.length === length
    ? exact(bytes)
    : `the length is ${length}, but there are ${bytes.length} bytes`
}

/** The entry of a line, or a text that describes the problem. */
const entryIn = (line: typeof Line.Type): Entry | string => {
  const { at, bytes, connection, detail, event, from, length, peer, type } = line
  if (event === "opened") return { _tag: "Opened", at, connection, peer: peer ?? "" }
  if (from === undefined) return "from is missing: client or server"
  if (event !== undefined) return { _tag: "Ended", at, connection, from, how: event, detail }
  const size = type === undefined ? bytes : length
  if (size === undefined) return "expected an event, or bytes, or a type and a length"
  const content = contentIn(line, size)
  if (typeof content === "string") return content
  if (type === undefined) return { _tag: "Bytes", at, connection, from, length: size, content }
  const code = parseType(type)
  if (code === undefined) return `${JSON.stringify(type)} is no type: a character, or 0x00 to 0xff`
  return { _tag: "Frame", at, connection, from, type: code, length: size, content }
}

/** The first lines of a schema's error. */
const problem = (error: Schema.SchemaError): string =>
  error.message.split("\n").slice(0, 2).join(" ").slice(0, 300)

/**
 * Parses the text of {@link format}. Unknown fields are ignored, and so is an incomplete last line.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Recording, RecordingError> => {
  const fail = (line: number, problem: string) => Result.fail(new RecordingError({ line, problem }))
  const [first = "", ...lines] = text.replace(/^\ufeff/, "").split(/\r?\n/)
  const header = decodeHeader(first)
  if (Result.isFailure(header)) return fail(1, `no recording of DataConn's: ${problem(header.failure)}`)
  if (header.success.version !== version) {
    return fail(1, `version ${header.success.version}; this is dataconn with version ${version}`)
  }
  const unfinished = lines.pop()
  const entries: Array<Entry> = []
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue
    const decoded = decodeLine(line)
    if (Result.isFailure(decoded)) return fail(index + 2, problem(decoded.failure))
    const entry = entryIn(decoded.success)
    if (typeof entry === "string") return fail(index + 2, entry)
    entries.push(entry)
  }
  const last = decodeLine(unfinished)
  const entry = Result.isSuccess(last) ? entryIn(last.success) : ""
  if (typeof entry !== "string") entries.push(entry)
  const { lengthCounts, values } = header.success
  return Result.succeed({ header: { lengthCounts, values }, entries })
}

/**
 * The bytes on the wire, as far as the recording has them: a redacted body is its redacted JSON. `undefined`
 * if there are none.
 *
 * @category encoding
 * @since 0.1.0
 */
export const wireBytes = (
  entry: Extract<Entry, { readonly _tag: "Frame" | "Bytes" }>,
  lengthCounts: LengthCounts
): Uint8Array | undefined => {
  const { content } = entry
  if (content._tag === "Omitted") return undefined
  const body = content._tag === "Exact" ? content.bytes : encoder.encode(content.text)
  return entry._tag === "Bytes" ? body : Message.rawFrame(lengthCounts, entry.type, body)
}
