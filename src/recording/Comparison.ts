/**
 * The differences between a recorded connection and another one with the same requests. Pure.
 *
 * **Details**
 *
 * Answers are compared by their meaning: the end of a response, its format and columns, and the bytes of its
 * result, however they were split into chunks. Times, heartbeats, query ids and, without values, texts of
 * messages are ignored.
 */
import * as Message from "../protocol/Message.ts"
import { type Conversation, type Exchange, json } from "./Conversation.ts"
import type { Entry, Header } from "./Recording.ts"

type Frame = Extract<Entry, { readonly _tag: "Frame" }>

/**
 * A difference and its place. `request` counts from 1; without it, the difference concerns the connection.
 */
export interface Difference {
  readonly connection: number
  readonly request: number | undefined
  readonly what: string
  readonly recorded: string
  readonly now: string
}

type Found = Pick<Difference, "what" | "recorded" | "now">

const none = "nothing"

const text = (value: unknown): string => (value === undefined ? none : JSON.stringify(value))

const compare = (what: string, recorded: unknown, now: unknown): ReadonlyArray<Found> =>
  text(recorded) === text(now) ? [] : [{ what, recorded: text(recorded), now: text(now) }]

/** Like {@link compare}, for words that are shown unchanged. */
const plainly = (what: string, recorded: string, now: string): ReadonlyArray<Found> =>
  recorded === now ? [] : [{ what, recorded, now }]

const yes = (is: boolean): string => (is ? "yes" : "no")

const name = (frame: Frame | undefined): string => {
  if (frame === undefined || !Message.isType(frame.type)) return "no end"
  return `${Message.letter(frame.type)} (${Message.name(frame.type)})`
}

/** Fields that differ each time. */
const volatile: ReadonlySet<string> = new Set(["queryId", "durationMs", "retryAfterMs"])

/** Compares the fields of two bodies; bodies that are not both JSON are compared as bytes. */
const fields = (
  where: string,
  recorded: Frame | undefined,
  now: Frame | undefined,
  ignored: (name: string) => boolean
): ReadonlyArray<Found> => {
  if (recorded === undefined || now === undefined) return []
  const [before, after] = [json(recorded), json(now)]
  if (before === undefined || after === undefined) {
    return sameBytes(recorded, now)
      ? []
      : plainly(`the body of ${where}`, `${recorded.length} bytes`, `${now.length} others`)
  }
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return names
    .filter((name) => !volatile.has(name) && !ignored(name))
    .flatMap((name) => compare(`${name} of ${where}`, before[name], after[name]))
}

const sameBytes = (recorded: Frame, now: Frame): boolean => {
  const [a, b] = [recorded.content, now.content]
  if (a._tag === "Exact" && b._tag === "Exact") return Buffer.compare(a.bytes, b.bytes) === 0
  return recorded.length === now.length
}

/** The differences between whole results: the length of a partial one depends on timing. */
const results = (recorded: Exchange, now: Exchange, isExact: boolean): ReadonlyArray<Found> => {
  if (recorded.end?.type !== Message.Type.Final || now.end?.type !== Message.Type.Final || !isExact) return []
  const sizes = compare("bytes of the result", recorded.bytes, now.bytes)
  if (sizes.length > 0 || recorded.crc32 === undefined || now.crc32 === undefined) return sizes
  return compare("checksum of the result", recorded.crc32, now.crc32)
}

const exchange = (
  recorded: Exchange,
  now: Exchange | undefined,
  { values }: Header
): ReadonlyArray<Found> => {
  if (now === undefined) return [{ what: "the request", recorded: "sent", now: "not sent" }]
  const ends = name(recorded.end) === name(now.end) ? [] : endings(recorded, now)
  if (ends.length > 0) return ends
  const isHidden = (field: string) => field === "message" && values === "redacted"
  return [
    ...fields("the accept", recorded.accept, now.accept, () => false),
    ...(isError(recorded.end) ? fields("the error", recorded.end, now.end, isHidden) : []),
    ...results(recorded, now, recorded.request.content._tag === "Exact")
  ]
}

const isError = (frame: Frame | undefined): boolean =>
  frame?.type === Message.Type.Reject || frame?.type === Message.Type.Error

const described = ({ end }: Exchange): string => {
  const code = end !== undefined && isError(end) ? json(end)?.["code"] : undefined
  return code === undefined ? name(end) : `${name(end)}, ${String(code)}`
}

const endings = (recorded: Exchange, now: Exchange): ReadonlyArray<Found> => [
  { what: "the response ends with", recorded: described(recorded), now: described(now) }
]

/** Whether the server ended the connection first. */
const serverLeft = ({ endings }: Conversation): boolean => endings[0]?.from === "server"

const letters = (frames: ReadonlyArray<Frame>): string =>
  frames.length === 0 ? "none" : frames.map(({ type }) => String.fromCharCode(type)).join(" ")

/** The differences, in the order of the requests. */
export const differences = (
  recorded: Conversation,
  now: Conversation,
  header: Header
): ReadonlyArray<Difference> => {
  const { connection } = recorded
  const at = (request: number | undefined, found: ReadonlyArray<Found>): ReadonlyArray<Difference> =>
    found.map((each) => ({ connection, request, ...each }))
  return [
    ...recorded.exchanges.flatMap((each, index) =>
      at(index + 1, exchange(each, now.exchanges[index], header))
    ),
    ...at(undefined, plainly("messages that answer nothing", letters(recorded.strays), letters(now.strays))),
    ...at(
      undefined,
      plainly("the server sends what is no frame", yes(recorded.malformed.server), yes(now.malformed.server))
    ),
    ...at(
      undefined,
      plainly("the server closes the connection", yes(serverLeft(recorded)), yes(serverLeft(now)))
    )
  ]
}
