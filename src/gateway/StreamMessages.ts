/**
 * The messages of `/v1/stream`, the WebSocket with the subprotocol `dataconn.v1`, and the account of credit. Pure.
 *
 * Control is JSON in text messages. A binary message is a part of a result: four bytes with the id of its
 * query, unsigned and little endian, and then bytes of the result.
 */
import * as JsonBounds from "../engine/JsonBounds.ts"
import type { Accepted } from "./Accepted.ts"
import * as GatewayError from "./GatewayError.ts"

/** The subprotocol that a client names first. */
export const subprotocol = "dataconn.v1"

/** The prefix of a token, base64url, in a second subprotocol: browsers cannot set headers. */
export const tokenPrefix = "dataconn.token."

/** The number of bytes before those of the result in a binary message. */
export const prefixSize = 4

const maxId = 2 ** 32 - 1

/** The messages of a client. A `query` has the fields of a v1 request besides. */
export type ClientMessage =
  | { readonly type: "query"; readonly id: number; readonly credit: number }
  | { readonly type: "credit"; readonly id: number; readonly bytes: number }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "pong" }

type Fields = Readonly<Record<string, unknown>>

const isUpTo = (maximum: number, value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maximum

/** Decodes the fields of a message, or describes the problem with them. */
export const decode = (
  { bytes, credit = 0, id, type }: Fields,
  maxStreamCredit: number
): ClientMessage | string => {
  const count = `expected an integer from 0 to ${maxStreamCredit} (maxStreamCredit)`
  switch (type) {
    case "pong":
      return { type }
    case "query":
    case "credit":
    case "cancel":
      break
    default:
      return "type: expected query, credit, cancel or pong"
  }
  if (!isUpTo(maxId, id)) return `id: expected an integer from 0 to ${maxId}`
  if (type === "cancel") return { type, id }
  if (type === "query") return isUpTo(maxStreamCredit, credit) ? { type, id, credit } : `credit: ${count}`
  return isUpTo(maxStreamCredit, bytes) ? { type, id, bytes } : `bytes: ${count}`
}

/** The subject of a malformed message, if it can be found. */
export interface Subject {
  readonly type: "query" | "credit"
  readonly id: number
}

/** The query of a malformed message, which need not be JSON. */
export const subjectOf = (message: Uint8Array): Subject | undefined => {
  const found = JsonBounds.scalars(message, ["type", "id"])
  const [type, id] = [found.get("type"), found.get("id") ?? ""]
  if ((type !== '"query"' && type !== '"credit"') || !/^\d{1,10}$/.test(id)) return undefined
  return Number(id) > maxId ? undefined : { type: type === '"query"' ? "query" : "credit", id: Number(id) }
}

/** The fields of the v1 request in a `query`. */
export const requestOf = (fields: Fields): Fields => {
  const { credit: _credit, id: _id, type: _type, ...request } = fields
  return request
}

/** The limits for a client, which are announced first. */
export interface Limits {
  /** Bytes of one message. */
  readonly maxMessageSize: number
  /** The bytes that it may grant to a query. */
  readonly maxCredit: number
  /** Queries at a time. */
  readonly maxQueries: number
}

export const limits = (limits: Limits): string => JSON.stringify({ type: "limits", ...limits })

export const accepted = (id: number, queryId: string, { columns, format }: Accepted): string =>
  JSON.stringify({ type: "accepted", id, queryId, format, ...(columns === undefined ? {} : { columns }) })

export const end = (id: number, receipt: object): string => JSON.stringify({ type: "end", id, receipt })

export const failed = (id: number, error: GatewayError.GatewayError): string =>
  JSON.stringify({ type: "error", id, error: GatewayError.toJson(error) })

export const cancelled = (id: number): string => JSON.stringify({ type: "cancelled", id })

export const ping = JSON.stringify({ type: "ping" })

/** A part of a result as a binary message. */
export const part = (id: number, bytes: Uint8Array): Uint8Array => {
  const message = new Uint8Array(prefixSize + bytes.length)
  new DataView(message.buffer).setUint32(0, id, true)
  message.set(bytes, prefixSize)
  return message
}

/** The number of bytes of a query's result that the client takes. */
export class Credit {
  private readonly maximum: number
  private left: number

  constructor(maximum: number, granted: number) {
    this.maximum = maximum
    this.left = granted
  }

  get bytes(): number {
    return this.left
  }

  /** The client takes this many more. Returns false beyond the maximum. */
  grant(bytes: number): boolean {
    this.left += bytes
    return this.left <= this.maximum
  }

  spend(bytes: number): void {
    this.left -= bytes
  }
}
