/**
 * The format and the compression of a response, from the client's `Accept` headers (RFC 9110 §12.5). Pure.
 */
import type { Format } from "../engine/QueryApi.ts"

/**
 * NDJSON records that include the end of the result: a format of the gateway, made of the back-end's NDJSON.
 */
export const events = "application/vnd.dataconn.events+x-ndjson"

/** The formats of responses: those of the v1 API, and {@link events}. */
export type ResponseFormat = Format | typeof events

/** The formats by their short names; the first one is the default. */
export const formats = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv",
  arrow: "application/vnd.apache.arrow.stream",
  parquet: "application/vnd.apache.parquet",
  events
} as const satisfies Record<string, ResponseFormat>

const mediaTypes: ReadonlyArray<ResponseFormat> = Object.values(formats)

/** All values of a `format`. */
export const formatNames: ReadonlyArray<string> = [...Object.keys(formats), ...mediaTypes]

/** The format with a short name or media type. */
export const formatOf = (name: string): ResponseFormat | undefined =>
  Object.hasOwn(formats, name)
    ? formats[name as keyof typeof formats]
    : mediaTypes.find((type) => type === name)

/** The format to request from the back-end. */
export const upstreamFormat = (format: ResponseFormat): Format =>
  format === events ? formats.ndjson : format

interface Choice {
  readonly name: string
  readonly quality: number
}

const qualityOf = (parameters: ReadonlyArray<string>): number => {
  const found = parameters.find((parameter) => /^q=/i.test(parameter.trim()))
  const quality = found === undefined ? 1 : Number(found.trim().slice(2))
  return quality >= 0 && quality <= 1 ? quality : 0
}

const choices = (header: string): ReadonlyArray<Choice> =>
  header.split(",").flatMap((member) => {
    const [name = "", ...parameters] = member.split(";")
    const trimmed = name.trim().toLowerCase()
    return trimmed === "" ? [] : [{ name: trimmed, quality: qualityOf(parameters) }]
  })

/** How precisely a media range matches a type: 0 not at all, 3 by its full name. */
const precision = (range: string, type: string): number => {
  if (range === type) return 3
  if (range === "*/*") return 1
  return range.endsWith("/*") && type.startsWith(range.slice(0, -1)) ? 2 : 0
}

/** The quality of a type for a client: that of the most precise range that matches it. */
const qualityFor = (type: string, ranges: ReadonlyArray<Choice>): number => {
  let best: Choice | undefined
  let exact = 0
  for (const range of ranges) {
    const precise = precision(range.name, type)
    if (precise > exact) {
      exact = precise
      best = range
    }
  }
  return best?.quality ?? 0
}

/**
 * The format with the highest quality in an `Accept` header; the earlier one of {@link formats} among equals.
 * `undefined` if it accepts none.
 */
export const fromAccept = (
  header: string | undefined,
  candidates: ReadonlyArray<ResponseFormat> = mediaTypes
): ResponseFormat | undefined => {
  const ranges = choices(header ?? "")
  if (ranges.length === 0) return candidates[0]
  let best: ResponseFormat | undefined
  let quality = 0
  for (const type of candidates) {
    const given = qualityFor(type, ranges)
    if (given > quality) {
      quality = given
      best = type
    }
  }
  return best
}

/** Whether an `Accept` header names the type, rather than accepting any. */
export const isNamed = (header: string | undefined, type: ResponseFormat): boolean =>
  choices(header ?? "").some(({ name }) => precision(name, type) > 1)

/** The body of a request: a v1 request, or its SQL. */
export const bodyTypes = ["application/json", "application/sql"] as const
export type BodyType = (typeof bodyTypes)[number]

/** The supported compressions, best first. */
export const encodings = ["zstd", "gzip"] as const
export type Encoding = (typeof encodings)[number]

/** The compression of a response, from `Accept-Encoding`; `undefined` for none. */
export const encodingFor = (header: string | undefined): Encoding | undefined => {
  if (header === undefined) return undefined
  const accepted = choices(header)
  const qualityOfEncoding = (name: string) =>
    (accepted.find((choice) => choice.name === name) ?? accepted.find((choice) => choice.name === "*"))
      ?.quality ?? 0
  return encodings
    .map((name) => ({ name, quality: qualityOfEncoding(name) }))
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality)[0]?.name
}
