/**
 * A client's query over HTTP or WebSocket, read from JSON or from a URL. Pure.
 *
 * The body is the v1 request of PROTOCOL.md §3. Unknown fields are passed to the back-end unchanged.
 */
import * as JsonBounds from "../engine/JsonBounds.ts"
import * as JsonNames from "../engine/JsonNames.ts"
import type { RequestLimits } from "../engine/Limits.ts"
import * as Metadata from "../engine/Metadata.ts"
import * as ParameterText from "../engine/ParameterText.ts"
import * as ParameterValues from "../engine/ParameterValues.ts"
import * as FieldNames from "./FieldNames.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"

/** A query, and the fields of it that the gateway uses. */
export interface Asked {
  readonly query: string
  readonly format: Negotiation.ResponseFormat
  /** The reason for the format requested from the back-end, if the client has not named it. */
  readonly whyFormat?: string | undefined
  readonly target: string | undefined
  readonly conversation: string | undefined
  /** The client's own query id. */
  readonly queryId: string | undefined
  /** Whether the response waits for the end of the result, if that is small. */
  readonly waitsForEnd: boolean
  readonly receipt: boolean
  /** Whether changes are forbidden, as for `GET`. */
  readonly readOnly: boolean
  /** The original v1 request, to be passed on. */
  readonly body: Readonly<Record<string, unknown>>
}

type Fields = Readonly<Record<string, unknown>>

const bad = GatewayError.badRequest

/** The fields of a v1 request that may also be given in a URL. */
const textFields = ["format", "target", "conversation", "queryId", "traceparent"] as const

const parameterPattern = /^param\.(.+?)(?::([A-Za-z]*))?$/s

/** The parameters of a URL besides `param.NAME`. */
export const urlParameters: ReadonlyArray<string> = [
  "query",
  "wait",
  "timeoutMs",
  "receipt",
  "progress",
  "numbers",
  ...textFields
]

/**
 * Numbers whose text would change when written again: long or small ones, exponents, trailing zeros, a
 * negative zero.
 */
const changing = /[0-9.]{16,}|[0-9][eE][+-]?[0-9]|\.[0-9]*0(?![0-9])|0\.000000|-0/

const RawJson = JSON as unknown as {
  readonly rawJSON?: (text: string) => unknown
  readonly isRawJSON?: (value: unknown) => boolean
}

/** Whether a value represents a number as it is written. */
const isRaw = (value: unknown): value is { readonly rawJSON: string } => RawJson.isRawJSON?.(value) === true

/** Fields with JavaScript numbers: no back-end needs their original text. */
export const plain = (fields: Fields): Fields =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, isRaw(value) ? Number(value.rawJSON) : value])
  )

/** Parses JSON; a number that a double would change keeps its text when it is written again. */
export const parseJson = (text: string): unknown => {
  if (RawJson.rawJSON === undefined || !changing.test(text)) return JSON.parse(text)
  const revive = (_: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source
      ? RawJson.rawJSON?.(context.source)
      : value
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown)
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** The text of a body, or an error if it is not UTF-8. */
const decodeText = (bytes: Uint8Array): string | GatewayError.GatewayError => {
  try {
    return utf8.decode(bytes)
  } catch {
    return bad("The body is not UTF-8")
  }
}

/** The fields of a JSON body within the limits of a request. */
export const fromJson = (bytes: Uint8Array, limits: RequestLimits): Fields | GatewayError.GatewayError => {
  const excess = JsonBounds.problem(bytes, limits)
  if (excess !== undefined) return bad(excess)
  const text = decodeText(bytes)
  if (typeof text !== "string") return text
  let body: unknown
  try {
    body = parseJson(text)
  } catch (error) {
    return bad(`The body is not JSON: ${(error as Error).message}`)
  }
  // Otherwise the last of them would take effect silently.
  if (JsonNames.areRepeated(bytes, body, isRaw)) {
    const name = JSON.stringify(JsonNames.repeated(text)?.slice(0, 64))
    return bad(`The body has an object in which ${name} occurs twice`)
  }
  return typeof body === "object" && body !== null && !Array.isArray(body)
    ? (body as Fields)
    : bad("The body is not a JSON object")
}

/** The fields of a body that is SQL. */
export const fromSql = (bytes: Uint8Array): Fields | GatewayError.GatewayError => {
  const query = decodeText(bytes)
  return typeof query === "string" ? { query } : query
}

/** A parameter in a URL: its name, its type if given, and its text. */
interface Given {
  readonly name: string
  readonly type: string | undefined
  readonly text: string
}

/** The fields of a request for `param.1`, `param.2` … as a list and `param.NAME` as an object. */
const parametersOf = (given: ReadonlyArray<Given>): Fields | GatewayError.GatewayError => {
  const all = new Map<string, ParameterValues.Parameter>()
  for (const { name, text, type } of given) {
    if (all.has(name)) return bad(`param.${name}: given twice in the URL`)
    const read =
      type === undefined ? { value: ParameterValues.fromText(text) } : ParameterText.read(type, text)
    if (typeof read === "string") return bad(`param.${name}: expected ${read}`)
    all.set(name, read.value)
  }
  const values = Array.from(all)
  const positions = values.filter(([name]) => /^[1-9]\d*$/.test(name))
  if (positions.length === 0) return { ...ParameterValues.encode(Object.fromEntries(all)) }
  const sorted = values.toSorted(([a], [b]) => Number(a) - Number(b))
  return positions.length === values.length && sorted.every(([name], index) => Number(name) === index + 1)
    ? { ...ParameterValues.encode(sorted.map(([, value]) => value)) }
    : bad(
        "param: positions are param.1, param.2 and so on without a gap, and names may not stand beside them"
      )
}

const flagOf = (name: string, text: string): boolean | GatewayError.GatewayError =>
  text === "true" ? true : text === "false" ? false : bad(`${name}: expected true or false, not "${text}"`)

/** The fields of a URL: those of the v1 request, and `wait`. */
export const fromUrl = (url: URLSearchParams): Fields | GatewayError.GatewayError => {
  const fields: Record<string, unknown> = {}
  const parameters: Array<Given> = []
  const seen = new Set<string>()
  for (const [name, text] of url) {
    if (seen.has(name)) return bad(`${name}: given twice in the URL`)
    seen.add(name)
    const [, parameter, type] = parameterPattern.exec(name) ?? []
    if (parameter !== undefined) {
      parameters.push({ name: parameter, type, text })
    } else if (name === "timeoutMs") {
      fields[name] = text.trim() === "" ? Number.NaN : Number(text)
    } else if (name === "receipt" || name === "progress") {
      const flag = flagOf(name, text)
      if (typeof flag !== "boolean") return flag
      fields[name] = flag
    } else if (urlParameters.includes(name)) {
      fields[name] = text
    } else {
      return bad(`${name}: the URL may hold ${urlParameters.join(", ")} and param.NAME`)
    }
  }
  if (parameters.length === 0) return fields
  const values = parametersOf(parameters)
  return values instanceof GatewayError.GatewayError ? values : { ...fields, ...values }
}

/** Ids are part of paths and headers (PROTOCOL.md §3). Clients normalize a path with `.` or `..`. */
export const idPattern = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/u
/** The form of an id. */
export const idForm = "1 to 128 characters of A-Z a-z 0-9 . _ ~ - but not . or .."

/** The most characters of a name, such as a target's. */
export const maxNameLength = 256

const checkText = (fields: Fields): GatewayError.GatewayError | undefined => {
  for (const name of textFields) {
    const value = fields[name]
    if (value === undefined) continue
    if (typeof value !== "string") return bad(`${name}: expected a text`)
    if (name === "queryId") {
      if (!idPattern.test(value)) return bad(`queryId: expected ${idForm}`)
    } else if (value.length === 0 || value.length > maxNameLength) {
      return bad(`${name}: expected 1 to ${maxNameLength} characters`)
    } else if (name === "traceparent" && !isTrace(value)) {
      return bad("traceparent: expected a W3C trace context such as 00-32 digits-16 digits-01, hexadecimal")
    }
  }
  return undefined
}

/** Whether a text is a W3C trace context; a later version may have more parts. */
const isTrace = (text: string): boolean =>
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/.test(text) &&
  (text.length === traceLength || !text.startsWith("00"))

const traceLength = 55

/** The prefix of the gateway's own metadata. */
const ownPrefix = "gateway."

const problemOfMetadata = (metadata: unknown): string | undefined => {
  if (metadata === undefined) return undefined
  const problem = Metadata.problem(metadata)
  if (problem !== undefined) return problem
  const own = Object.keys(metadata as Metadata.Metadata).find((name) => name.startsWith(ownPrefix))
  return own === undefined ? undefined : `${JSON.stringify(own)} is what the gateway itself says`
}

const checkFields = (fields: Fields, limits: RequestLimits): GatewayError.GatewayError | undefined => {
  const { metadata, parameters, progress, query, receipt, timeoutMs, version, wait } = fields
  // Limits the work: a misspelt field is unlikely among hundreds.
  for (const name of Object.keys(fields).slice(0, 100)) {
    const meant = FieldNames.meant(name)
    if (meant !== undefined) return bad(`${name}: there is no such field, but there is ${meant}`)
  }
  if (version !== undefined && version !== "v1") {
    return GatewayError.make(
      "unsupported_version",
      `version: ${JSON.stringify(version)} is not supported; use "v1"`
    )
  }
  if (typeof query !== "string" || query.trim() === "") return bad("query: expected a text that is not empty")
  if (query.length > limits.maxQueryLength || Buffer.byteLength(query) > limits.maxQueryLength) {
    return bad(`query: longer than ${limits.maxQueryLength} bytes (maxQueryLength)`)
  }
  if (parameters !== undefined && (typeof parameters !== "object" || parameters === null)) {
    return bad("parameters: expected a list or an object")
  }
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && (timeoutMs as number) > 0)) {
    return bad("timeoutMs: expected a finite number of milliseconds above 0")
  }
  if (receipt !== undefined && typeof receipt !== "boolean") return bad("receipt: expected true or false")
  if (progress !== undefined && typeof progress !== "boolean") return bad("progress: expected true or false")
  if (wait !== undefined && wait !== "end") return bad('wait: expected "end"')
  const problem = problemOfMetadata(metadata)
  return problem === undefined ? checkText(fields) : bad(`metadata: ${problem}`)
}

const formatFor = (
  given: unknown,
  { accept, formats }: Pick<Options, "accept" | "formats">
): Negotiation.ResponseFormat | GatewayError.GatewayError => {
  if (typeof given === "string") {
    return (
      Negotiation.formatOf(given) ??
      GatewayError.make(
        "unsupported_format",
        `format: "${given}" is not supported; use one of ${Negotiation.formatNames.join(", ")}`
      )
    )
  }
  return (
    (formats && Negotiation.fromAccept(accept, formats)) ??
    Negotiation.fromAccept(accept) ??
    GatewayError.make("not_acceptable", `Accept: use one of ${Object.values(Negotiation.formats).join(", ")}`)
  )
}

const whyFormat = (
  format: Negotiation.ResponseFormat,
  given: unknown,
  accept: string | undefined
): string | undefined => {
  if (format === Negotiation.events) return "format=events is made of NDJSON"
  return given === undefined && !Negotiation.isNamed(accept, format)
    ? `No format was asked for, so the gateway chose ${format} (format or Accept asks for another one)`
    : undefined
}

/**
 * A back-end's refusal of a format that the client has not named, with the reason why that format was
 * requested.
 */
export const explained = (
  { whyFormat }: Pick<Asked, "whyFormat">,
  error: GatewayError.GatewayError
): GatewayError.GatewayError =>
  whyFormat === undefined || error.code !== "unsupported_format"
    ? error
    : GatewayError.make("unsupported_format", `${whyFormat}. The back-end says: ${error.message}`)

/** The context of a request besides its fields, and the caller's permissions. */
export interface Options {
  readonly accept: string | undefined
  /** The permitted formats; all if absent. A query that names none gets the first acceptable one. */
  readonly formats?: ReadonlyArray<Negotiation.ResponseFormat> | undefined
  readonly readOnly: boolean
  readonly limits: RequestLimits
}

/** The query in the fields of a request, or the error of an invalid one. */
export const make = (given: Fields, options: Options): Asked | GatewayError.GatewayError => {
  const { timeoutMs } = plain({ timeoutMs: given["timeoutMs"] })
  const fields = timeoutMs === undefined ? given : { ...given, timeoutMs }
  const problem = checkFields(fields, options.limits)
  if (problem !== undefined) return problem
  const format = formatFor(fields["format"], options)
  if (format instanceof GatewayError.GatewayError) return format
  const { wait, ...body } = fields
  return {
    query: body["query"] as string,
    format,
    whyFormat: whyFormat(format, fields["format"], options.accept),
    target: body["target"] as string | undefined,
    conversation: body["conversation"] as string | undefined,
    queryId: body["queryId"] as string | undefined,
    waitsForEnd: wait === "end",
    receipt: body["receipt"] === true,
    readOnly: options.readOnly,
    body
  }
}

/** The identity of the caller, as far as the gateway knows it. */
export interface Asker {
  /** The address of the client, or of the proxy in front. */
  readonly client: string | undefined
  /** The name of the caller's token. */
  readonly token: string | undefined
  readonly tenant: string | undefined
}

const metadataOf = (given: unknown, { client, tenant, token }: Asker): Metadata.Metadata => ({
  ...(given as Metadata.Metadata | undefined),
  ...(client === undefined ? {} : { [`${ownPrefix}client`]: client }),
  ...(token === undefined ? {} : { [`${ownPrefix}token`]: token }),
  ...(tenant === undefined ? {} : { [`${ownPrefix}tenant`]: tenant })
})

/** Values determined when the request goes to a back-end. */
export interface Passed {
  readonly queryId: string
  readonly readOnly: boolean
  readonly asker: Asker
  readonly traceparent: string | undefined
}

const encoder = new TextEncoder()

/**
 * The v1 request for the back-end. The target is removed, since only the gateway uses it; the rest is passed
 * through.
 */
export const encode = (asked: Asked, passed: Passed): Uint8Array => {
  const { target: _, ...body } = asked.body
  return encoder.encode(
    JSON.stringify({
      ...body,
      version: "v1",
      format: Negotiation.upstreamFormat(asked.format),
      queryId: passed.queryId,
      metadata: metadataOf(body["metadata"], passed.asker),
      ...(passed.readOnly ? { readOnly: true } : {}),
      // An invalid context begins a new trace, as W3C specifies.
      ...(passed.traceparent !== undefined && isTrace(passed.traceparent)
        ? { traceparent: passed.traceparent }
        : {})
    })
  )
}
