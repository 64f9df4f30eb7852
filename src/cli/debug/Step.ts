/**
 * The steps of the debugger or of its script: one per line. Pure.
 */
import { Buffer } from "node:buffer"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as QueryApi from "../../engine/QueryApi.ts"
import type { LengthCounts } from "../../framing/LengthDelimited.ts"
import * as Message from "../../protocol/Message.ts"
import * as Setting from "../../server/Setting.ts"
import * as FrameView from "./FrameView.ts"

/** The pieces in which bytes are sent: so many at a time, with a pause between two pieces. */
export interface Pieces {
  readonly size: number
  readonly pause: Duration.Duration
}

/** The source of a body. */
export type Body =
  | { readonly _tag: "Given"; readonly bytes: Uint8Array }
  | { readonly _tag: "File"; readonly file: string }

/** The events that a step can await. */
export const awaited = ["accept", "data", "terminal", "closed"] as const

/** An event that a step can await. */
export type Awaited = (typeof awaited)[number]

/** A step of the debugger. */
export type Step =
  /** Sends a frame. `announced` is the length in its header, if that differs from the real one. */
  | {
      readonly _tag: "Frame"
      readonly type: number
      readonly body: Body
      readonly announced: number | undefined
      readonly pieces: Pieces | undefined
    }
  /** Sends bytes that need not be a frame. */
  | { readonly _tag: "Send"; readonly bytes: Uint8Array; readonly pieces: Pieces | undefined }
  | { readonly _tag: "Await"; readonly what: Awaited }
  /** Requires this to be the next message, heartbeats aside. `code` is that of a reject or an error. */
  | { readonly _tag: "Expect"; readonly type: number | "closed"; readonly code: string | undefined }
  | { readonly _tag: "Sleep"; readonly duration: Duration.Duration }
  /** Sets the form of bodies from now on, and whether heartbeats are shown. */
  | { readonly _tag: "Bodies"; readonly bodies: FrameView.Bodies }
  | { readonly _tag: "Heartbeats"; readonly shown: boolean }
  | { readonly _tag: "StopReading" | "ReadOn" | "HalfClose" | "Reset" | "Leave" | "Connect" | "Stay" }

/** A line that is no step. */
export class StepError extends Schema.TaggedError<StepError>()("StepError", { problem: Schema.String }) {
  override get message() {
    return this.problem
  }
}

/** The forms of steps, for help and the reference. */
export const forms: ReadonlyArray<readonly [form: string, meaning: string]> = [
  ["query SQL", "Sends a request of the v1 API that runs the SQL"],
  ["R [BODY]", "Sends a frame of that type: one of R C A J I F E K H"],
  ["frame TYPE[:LENGTH] [BODY]", "Sends a frame of any type, x or 0x00, whose header announces LENGTH"],
  ["send HEX", "Sends bytes, which need be no frame"],
  ["pieces SIZE [PAUSE] STEP", "Sends the same, SIZE bytes at a time"],
  ["sleep TIME", "Waits, such as 500ms"],
  ["await WHAT", "Waits for accept, data, terminal (the end of the response) or closed"],
  [
    "expect TYPE [CODE]",
    "Fails unless the next message is of this type, heartbeats aside, or the end: closed"
  ],
  ["stop-reading, read-on", "Reads nothing more from the connection; and again"],
  ["half-close", "Sends the end, and reads on"],
  ["reset", "Breaks the connection off"],
  ["leave", "Closes the connection, whatever there is to read"],
  ["connect", "Connects, once more"],
  ["stay", "Waits until the server closes"],
  ["bodies HOW", `Shows bodies as ${FrameView.bodies.join(", ")}`],
  ["heartbeats on|off", "Shows heartbeats, or not"]
]

const fail = (problem: string) => Result.fail(new StepError({ problem }))

type Parsed<A> = Result.Result<A, StepError>

const readDuration = Schema.decodeUnknownOption(Setting.duration(Duration.infinity, "").schema)

const duration = (text: string): Parsed<Duration.Duration> => {
  const read = readDuration(text)
  return Option.isSome(read) && Duration.isFinite(read.value)
    ? Result.succeed(read.value)
    : fail(`${text || "nothing"} is no time: expected 500ms, or seconds`)
}

const encoder = new TextEncoder()

const hex = (text: string): Parsed<Uint8Array> => {
  const digits = text.replace(/\s/g, "")
  return /^(?:[0-9a-f]{2})*$/i.test(digits)
    ? Result.succeed(new Uint8Array(Buffer.from(digits, "hex")))
    : fail("expected pairs of hexadecimal digits")
}

/** Verbatim text, `hex:00ff`, or `@FILE`. */
const body = (text: string): Parsed<Body> => {
  if (text.startsWith("@")) return Result.succeed({ _tag: "File", file: text.slice(1) })
  const bytes = text.startsWith("hex:") ? hex(text.slice(4)) : Result.succeed(encoder.encode(text))
  return Result.map(bytes, (bytes) => ({ _tag: "Given", bytes }))
}

const typeOf = (text: string): number | undefined => {
  if (/^[\x21-\x7e]$/.test(text)) return text.charCodeAt(0)
  return /^0x[0-9a-f]{1,2}$/i.test(text) ? Number(text) : undefined
}

/** The largest value of a header's length field. */
const maxLength = 0xffff_ffff

const frame = (type: string, rest: string): Parsed<Step> => {
  const [, name = "", length] = /^(.[^:]*)(?::(\d+))?$/.exec(type) ?? []
  const code = typeOf(name)
  if (code === undefined)
    return fail(`${type || "nothing"} is no type: expected a character, or 0x00 to 0xff`)
  const announced = length === undefined ? undefined : Number(length)
  if (announced !== undefined && announced > maxLength - Message.headerSize) {
    return fail(`a header has no room for a length above ${maxLength - Message.headerSize}`)
  }
  return Result.map(body(rest), (body) => ({ _tag: "Frame", type: code, body, announced, pieces: undefined }))
}

const request = (query: string): Parsed<Step> => {
  if (query === "") return fail("query: expected SQL")
  const bytes = QueryApi.encodeRequest({ query })
  return Result.succeed({
    _tag: "Frame",
    type: Message.Type.Request,
    body: { _tag: "Given", bytes },
    announced: undefined,
    pieces: undefined
  })
}

/** The first word of a text, and the rest. */
const words = (text: string): readonly [string, string] => {
  const [, word = "", rest = ""] = /^\s*(\S*)(?:\s([\s\S]*))?$/.exec(text) ?? []
  return [word, rest]
}

const pieces = (text: string): Parsed<Step> => {
  const [size, behind] = words(text)
  if (!/^[1-9]\d{0,8}$/.test(size)) return fail("pieces: expected how many bytes at a time, from 1")
  const [second, last] = words(behind)
  const pause = /^\d/.test(second) ? duration(second) : Result.succeed(Duration.zero)
  if (Result.isFailure(pause)) return fail(pause.failure.problem)
  const step = parse(/^\d/.test(second) ? last : behind)
  if (Result.isFailure(step)) return fail(step.failure.problem)
  if (step.success?._tag !== "Frame" && step.success?._tag !== "Send") {
    return fail("pieces: expected a step that sends something behind it")
  }
  return Result.succeed({ ...step.success, pieces: { size: Number(size), pause: pause.success } })
}

const expect = (text: string): Parsed<Step> => {
  const [name, code] = words(text)
  const type = name === "closed" ? name : typeOf(name)
  if (type === undefined) return fail("expect: expected the type of a message, or closed")
  return Result.succeed({ _tag: "Expect", type, code: code.trim() === "" ? undefined : code.trim() })
}

/** Steps without arguments, in any spelling of their word. */
const plain: Readonly<Record<string, Step>> = {
  stopreading: { _tag: "StopReading" },
  readon: { _tag: "ReadOn" },
  halfclose: { _tag: "HalfClose" },
  reset: { _tag: "Reset" },
  leave: { _tag: "Leave" },
  close: { _tag: "Leave" },
  connect: { _tag: "Connect" },
  stay: { _tag: "Stay" }
}

/** Parses a line. A blank line, or one that begins with `#`, is no step. */
export const parse = (line: string): Parsed<Step | undefined> => {
  const [word, rest] = words(line.trimEnd())
  if (word === "" || word.startsWith("#")) return Result.succeed(undefined)
  if (/^[RCAJIFEKH]$/.test(word)) return frame(word, rest)
  const name = word.toLowerCase().replaceAll("-", "")
  const step = Object.hasOwn(plain, name) ? plain[name] : undefined
  if (step !== undefined) return rest.trim() === "" ? Result.succeed(step) : fail(`${word} stands alone`)
  switch (name) {
    case "query":
      return request(rest.trim())
    case "frame":
      return frame(...words(rest))
    case "send":
      return Result.map(hex(rest), (bytes) => ({ _tag: "Send", bytes, pieces: undefined }))
    case "pieces":
      return pieces(rest)
    case "sleep":
      return Result.map(duration(rest.trim()), (duration) => ({ _tag: "Sleep", duration }))
    case "await": {
      const what = awaited.find((each) => each === rest.trim())
      return what === undefined
        ? fail(`await: expected ${awaited.join(", ")}`)
        : Result.succeed({ _tag: "Await", what })
    }
    case "expect":
      return expect(rest)
    case "bodies": {
      const how = FrameView.bodies.find((each) => each === rest.trim())
      return how === undefined
        ? fail(`bodies: expected ${FrameView.bodies.join(", ")}`)
        : Result.succeed({ _tag: "Bodies", bodies: how })
    }
    case "heartbeats":
      return /^(on|off)$/.test(rest.trim())
        ? Result.succeed({ _tag: "Heartbeats", shown: rest.trim() === "on" })
        : fail("heartbeats: expected on or off")
    default:
      return fail(`There is no step ${word}; help shows them`)
  }
}

/** A step of a script, with the number of its line. */
export interface Line {
  readonly line: number
  readonly step: Step
}

/** The steps of a script. An error names its line. */
export const script = (text: string): Parsed<ReadonlyArray<Line>> => {
  const steps: Array<Line> = []
  for (const [index, line] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    const step = parse(line)
    if (Result.isFailure(step)) return fail(`line ${index + 1}: ${step.failure.problem}`)
    if (step.success !== undefined) steps.push({ line: index + 1, step: step.success })
  }
  return Result.succeed(steps)
}

/** The writes in which the bytes are sent. */
export const cut = (bytes: Uint8Array, pieces: Pieces | undefined): ReadonlyArray<Uint8Array> => {
  if (pieces === undefined) return [bytes]
  return Array.from({ length: Math.ceil(bytes.length / pieces.size) }, (_, i) =>
    bytes.subarray(i * pieces.size, (i + 1) * pieces.size)
  )
}

/** The bytes of a frame. */
export const frameBytes = (
  { announced, type }: Extract<Step, { readonly _tag: "Frame" }>,
  body: Uint8Array,
  lengthCounts: LengthCounts
): Uint8Array => Message.rawFrame(lengthCounts, type, body, announced)
