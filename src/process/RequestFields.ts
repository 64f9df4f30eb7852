/**
 * The fields of a v1 request that a relay reads (PROTOCOL.md §3); the rest is the engine's.
 */
import { Buffer } from "node:buffer"
import * as JsonBounds from "../engine/JsonBounds.ts"
import * as QueryApi from "../engine/QueryApi.ts"

/** The members of a request, if it is a JSON object. */
const parse = (request: Uint8Array): Readonly<Record<string, unknown>> | undefined => {
  try {
    const body: unknown = JSON.parse(bytesOf(request).toString())
    return typeof body === "object" && body !== null ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const bytesOf = ({ buffer, byteLength, byteOffset }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

/** The fields that the parent handles itself. */
export interface Fields {
  /** The request's own limit, in milliseconds from its arrival. */
  readonly timeoutMillis: number | undefined
  readonly traceparent: string | undefined
}

const none: Fields = { timeoutMillis: undefined, traceparent: undefined }

/** Reads the fields. Most requests have neither. */
export const of = (request: Uint8Array): Fields => {
  const bytes = bytesOf(request)
  if (!(bytes.includes('"timeoutMs"') || bytes.includes('"traceparent"'))) return none
  // A request may have as many values as fit its frame: they have not been counted yet.
  const scalars = JsonBounds.scalars(request, fields)
  const timeoutMs = valueOf(scalars.get("timeoutMs"))
  const traceparent = valueOf(scalars.get("traceparent"))
  return {
    timeoutMillis: typeof timeoutMs === "number" && timeoutMs > 0 ? timeoutMs : undefined,
    traceparent: typeof traceparent === "string" ? traceparent : undefined
  }
}

const fields = ["timeoutMs", "traceparent"]

const valueOf = (text = ""): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const format = (given: unknown): QueryApi.Format =>
  QueryApi.Format.literals.find((known) => known === given) ?? QueryApi.defaultFormat

/** An accept, without columns, for a request whose engine has not accepted it itself. */
export const accepted = (request: Uint8Array): Uint8Array => {
  const body = parse(request)
  const queryId = body?.["queryId"]
  return QueryApi.encodeAccepted(
    new QueryApi.QueryAccepted({
      format: format(body?.["format"]),
      queryId: typeof queryId === "string" ? queryId : "unknown"
    })
  )
}

/** The fields of an accept that a relay reads. */
export interface Accept {
  readonly queryId: string | undefined
  /** Whether the body of the final message is a receipt, and no part of the result. */
  readonly hasReceipt: boolean
  /** Whether the process reports the progress of the query. */
  readonly hasProgress: boolean
  /** The token of a commit that waits for the parent; not for the client (`Commits`). */
  readonly commit: number | undefined
}

/** Reads an accept. All fields are absent or false if it is no JSON. */
export const accept = (payload: Uint8Array): Accept => {
  const body = parse(payload)
  const queryId = body?.["queryId"]
  return {
    queryId: typeof queryId === "string" ? queryId : undefined,
    hasReceipt: body?.["receipt"] === true,
    hasProgress: body?.["progress"] === true,
    commit: typeof body?.[commitName] === "number" ? body[commitName] : undefined
  }
}

const commitName = "commit"

/** The accept with the token of a commit; `undefined` if it is no JSON object. */
export const withCommit = (payload: Uint8Array, token: number): Uint8Array | undefined => {
  const body = parse(payload)
  return body && encoder.encode(JSON.stringify({ ...body, [commitName]: token }))
}

/** The accept without the token. */
export const withoutCommit = (payload: Uint8Array): Uint8Array => {
  const { [commitName]: _, ...body } = parse(payload) ?? {}
  return encoder.encode(JSON.stringify(body))
}

const encoder = new TextEncoder()

/** The identity of a request's query: neither its caller nor its time limit belongs to it. */
export const identity = (request: Uint8Array): string => {
  const body = parse(request)
  return body === undefined
    ? bytesOf(request).toString("latin1")
    : JSON.stringify([body["query"], body["parameters"], body["format"]])
}

/** Whether two accepts promise the same result. Their `queryId` may differ. */
export const isSameAccept = (a: Uint8Array, b: Uint8Array): boolean => {
  if (bytesOf(a).equals(b)) return true
  const [left, right] = [parse(a), parse(b)]
  if (left === undefined || right === undefined) return false
  return JSON.stringify({ ...left, queryId: "" }) === JSON.stringify({ ...right, queryId: "" })
}
