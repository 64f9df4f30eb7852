/**
 * The messages of `/v1/stream`, the WebSocket with the subprotocol `dataconn.v1`, and the account of credit. Pure.
 *
 * Control is JSON in text messages. A binary message is a part of a result: four bytes with the id of its query,
 * unsigned and little endian, and then bytes of the result.
 */
import * as Schema from "effect/Schema"
import type { Accepted } from "./Accepted.ts"
import * as GatewayError from "./GatewayError.ts"

/** The subprotocol that a client names first. */
export const subprotocol = "dataconn.v1"

/** Before a token, base64url, in a second subprotocol: browsers cannot set headers. */
export const tokenPrefix = "dataconn.token."

/** Bytes before those of the result in a binary message. */
export const prefixSize = 4

const Id = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 }))
const Bytes = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** What a client may say. A `query` has the fields of a v1 request besides. */
const ClientMessage = Schema.Union([
  Schema.Struct({ type: Schema.Literal("query"), id: Id, credit: Schema.optional(Bytes) }),
  Schema.Struct({ type: Schema.Literal("credit"), id: Id, bytes: Bytes }),
  Schema.Struct({ type: Schema.Literal("cancel"), id: Id }),
  Schema.Struct({ type: Schema.Literal("pong") })
])
export type ClientMessage = typeof ClientMessage.Type

const decodeMessage = Schema.decodeUnknownOption(ClientMessage)

/** Reads the fields of a message; `undefined` if they are none. */
export const decode = (fields: unknown): ClientMessage | undefined => {
  const message = decodeMessage(fields)
  return message._tag === "Some" ? message.value : undefined
}

/** The fields of the v1 request in a `query`. */
export const requestOf = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const { credit: _credit, id: _id, type: _type, ...request } = fields
  return request
}

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

/** How many bytes of a query's result the client takes. */
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

  /** The client takes so many more. Whether it may. */
  grant(bytes: number): boolean {
    this.left += bytes
    return this.left <= this.maximum
  }

  spend(bytes: number): void {
    this.left -= bytes
  }
}
