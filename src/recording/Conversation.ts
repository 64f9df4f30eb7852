/** The requests and responses on the connections of a recording. Pure. */
import { crc32 } from "node:zlib"
import * as Message from "../protocol/Message.ts"
import type { Entry } from "./Recording.ts"

type Frame = Extract<Entry, { readonly _tag: "Frame" }>

/** A request and its response. */
export interface Exchange {
  readonly request: Frame
  /** The cancel, if there was one. */
  cancel: Frame | undefined
  accept: Frame | undefined
  /** The frames of the result, with their times. */
  readonly chunks: Array<{ readonly at: number; readonly length: number }>
  /** The size of the result in bytes, and the checksum `crc32`, if all of its bytes are known. */
  bytes: number
  crc32: number | undefined
  /** The message that ended the response. */
  end: Frame | undefined
}

/** A connection: its requests, and its end. */
export interface Conversation {
  readonly connection: number
  readonly openedAt: number
  readonly exchanges: Array<Exchange>
  /** The number of exchanges that have ended: they are answered in order. */
  ends: number
  /** Messages of the server that answer nothing, except for heartbeats. */
  readonly strays: Array<Frame>
  /** Whether the bytes of an end are not a sequence of frames. */
  readonly malformed: { client: boolean; server: boolean }
  /** The endings of both directions, in order. */
  readonly endings: Array<Extract<Entry, { readonly _tag: "Ended" }>>
}

/** The body as JSON, where it is an object. */
export const json = ({ content }: Frame): Readonly<Record<string, unknown>> | undefined => {
  if (content._tag === "Omitted") return undefined
  try {
    const value: unknown = JSON.parse(
      content._tag === "Exact" ? new TextDecoder().decode(content.bytes) : content.text
    )
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** The receipt after a result is not part of it (PROTOCOL.md §3). */
const isReceipt = ({ accept }: Exchange, { type }: Frame): boolean =>
  type === Message.Type.Final && accept !== undefined && json(accept)?.["receipt"] === true

/** A connection without messages. */
export const make = (connection: number, openedAt: number): Conversation => ({
  connection,
  openedAt,
  exchanges: [],
  ends: 0,
  strays: [],
  malformed: { client: false, server: false },
  endings: []
})

const chunk = (exchange: Exchange, frame: Frame): void => {
  const { at, content, length } = frame
  if (isReceipt(exchange, frame)) return
  exchange.chunks.push({ at, length })
  exchange.bytes += length
  if (content._tag === "Exact" && exchange.crc32 !== undefined) {
    exchange.crc32 = crc32(content.bytes, exchange.crc32)
  } else exchange.crc32 = undefined
}

const fromClient = (conversation: Conversation, frame: Frame): void => {
  if (frame.type === Message.Type.Request) {
    conversation.exchanges.push({
      request: frame,
      cancel: undefined,
      accept: undefined,
      chunks: [],
      bytes: 0,
      crc32: 0,
      end: undefined
    })
    return
  }
  const current = conversation.exchanges.at(-1)
  if (frame.type === Message.Type.Cancel && current !== undefined) current.cancel ??= frame
}

const fromServer = (conversation: Conversation, frame: Frame): void => {
  const { type } = frame
  if (type === Message.Type.Heartbeat) return
  const current = conversation.exchanges[conversation.ends]
  if (current === undefined || !Message.isType(type)) return void conversation.strays.push(frame)
  if (type === Message.Type.Accept) current.accept ??= frame
  if (type === Message.Type.Intermediate || type === Message.Type.Final) chunk(current, frame)
  if (Message.isTerminal(type)) {
    current.end = frame
    conversation.ends++
  }
}

/** Adds the next event of the connection. */
export const add = (conversation: Conversation, entry: Entry): void => {
  if (entry._tag === "Ended") conversation.endings.push(entry)
  if (entry._tag === "Bytes") conversation.malformed[entry.from] = true
  if (entry._tag !== "Frame") return
  if (entry.from === "client") fromClient(conversation, entry)
  else fromServer(conversation, entry)
}

/** The conversations of a recording, in the order in which their connections were opened. */
export const all = (entries: Iterable<Entry>): ReadonlyArray<Conversation> => {
  const conversations = new Map<number, Conversation>()
  for (const entry of entries) {
    const known = conversations.get(entry.connection)
    const conversation = known ?? make(entry.connection, entry.at)
    if (known === undefined) conversations.set(entry.connection, conversation)
    add(conversation, entry)
  }
  return [...conversations.values()]
}
