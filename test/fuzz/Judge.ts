/**
 * What the server may answer to a client, whatever that one sends, after PROTOCOL.md §2 and §3: the order of
 * messages, and what is in them.
 */
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Settings from "../../src/server/Settings.ts"
import * as Reference from "../protocol/reference.ts"
import * as Bodies from "./Bodies.ts"
import { Possibilities } from "./Possibilities.ts"

/** A frame of the client's input and the offset at which it is complete. Without a letter it is a violation. */
interface Arrival {
  readonly at: number
  readonly letter: string | undefined
  readonly body: Uint8Array
}

const nothing = new Uint8Array(0)

/** Whether a frame is longer than a server takes. A request of up to `maxSkippedSize` is rejected, and no more. */
const isTooLarge = (bodyLength: number): boolean =>
  Message.headerSize + bodyLength > Settings.defaults.maxFrameSize

/** The code that a request is to be rejected with, if it is. */
const rejection = (request: Uint8Array): string | undefined =>
  isTooLarge(request.length) ? "too_large" : Bodies.rejection(request)

const layout = {
  fieldWidth: 4,
  byteOrder: "little",
  typeBytes: 1,
  lengthCounts: "body",
  maxFrameSize: Settings.defaults.maxSkippedSize,
  checkHeader: (type: number, length: number) => {
    const letter = String.fromCharCode(type)
    if (!"RCAJIFEKH".includes(letter)) return { _tag: "UnknownType" }
    if (letter !== "R" && isTooLarge(length)) return { _tag: "MaxSizeTooShortForPayload" }
    return "CKH".includes(letter) && length > 0 ? { _tag: "UnexpectedBody" } : undefined
  }
} as const

const arrivals = (input: Uint8Array): ReadonlyArray<Arrival> => {
  const { ending, frames } = Reference.decode(layout, input)
  let at = 0
  const whole = frames.map(({ body, type }): Arrival => {
    at += Message.headerSize + body.length / 2
    return { at, letter: String.fromCharCode(type), body: Reference.bytes(body) }
  })
  return ending === undefined || ending._tag === "EndInsideFrame"
    ? whole
    : [...whole, { at: at + Message.headerSize, letter: undefined, body: nothing }]
}

const rejects: ReadonlyArray<string> = [
  "not_allowed",
  "syntax_error",
  "not_found",
  "invalid_query",
  "bad_request"
]
const failures: ReadonlyArray<string> = ["execution_failed", "timeout", "out_of_memory"]

export class Judge {
  /** What the server has done wrong, in words. */
  readonly faults: Array<string> = []
  /** What it has answered: the letters of its messages, those of errors with their code. */
  readonly answers: Array<string> = []
  readonly possible = new Possibilities()
  private readonly arrivals: ReadonlyArray<Arrival>
  private readonly requests: Array<Uint8Array> = []
  private offset = 0
  private arrived = 0
  private answered = 0
  private inResponse: "" | "A" | "I" = ""

  /** `input` is all that the client is going to send. */
  constructor(input: Uint8Array) {
    this.arrivals = arrivals(input)
  }

  /** The client has sent so many bytes more. */
  sent(bytes: number): void {
    this.offset += bytes
    for (;;) {
      const arrival = this.arrivals[this.arrived]
      if (arrival === undefined || arrival.at > this.offset) return
      this.arrived++
      if (arrival.letter === "R") this.requests.push(arrival.body)
      this.possible.arrived(arrival.letter)
    }
  }

  received(frame: Message.Message): void {
    const letter = Message.letter(frame.type)
    if (letter === "H") return void this.expect(frame.body.length === 0, "H with a body")
    const request = this.requests[this.answered]
    if (request === undefined) return void this.expect(false, `${letter} without a request`)
    this.inOrder(letter)
    if (letter === "A") this.accept(frame.body, request)
    if (letter === "J" || letter === "E") this.error(letter, frame.body, request)
    else if (letter !== "I") this.answers.push(letter)
    if ("JFEK".includes(letter)) {
      this.expect(this.possible.ended(letter), `${letter}, which the protocol does not allow here`)
      this.answered++
      this.inResponse = ""
    } else {
      this.inResponse = letter === "A" ? "A" : "I"
    }
  }

  /** Whether an answer is missing, as far as the client has seen. */
  get isOwed(): boolean {
    return this.answered < this.requests.length
  }

  /** Whether a response has got so far, or is over. */
  has(what: "accept" | "data" | "terminal"): boolean {
    if (!this.isOwed) return true
    return (what === "accept" && this.inResponse !== "") || (what === "data" && this.inResponse === "I")
  }

  /** Whether the last frame has begun and is not complete: the server will not wait for it for ever. */
  get isPartial(): boolean {
    const last = this.arrivals[this.arrived - 1]
    return this.offset > (last?.at ?? 0) && !(last !== undefined && last.letter === undefined)
  }

  expect(condition: boolean, otherwise: string): void {
    if (!condition) this.faults.push(otherwise)
  }

  /** The grammar: `J`, `A I* F`, `A I* E`, `A I* K` or `K`. */
  private inOrder(letter: string): void {
    const begun = this.inResponse !== ""
    if (letter === "K") return
    if (letter === "A" || letter === "J") return void this.expect(!begun, `${letter} after A`)
    if ("IFE".includes(letter)) return void this.expect(begun, `${letter} before A`)
    this.expect(false, `${letter} from a server`)
  }

  private accept(body: Uint8Array, request: Uint8Array): void {
    const code = rejection(request)
    this.expect(code === undefined, `A for a request that is to be rejected with ${code}`)
    this.expect(QueryApi.decodeAccepted(body)._tag === "Success", `A with the body ${Reference.hex(body)}`)
  }

  private error(letter: "J" | "E", body: Uint8Array, request: Uint8Array): void {
    const { code, message } = QueryApi.decodeError(body)
    const expected = letter === "J" ? rejection(request) : undefined
    const allowed = expected !== undefined ? [expected] : letter === "J" ? rejects : failures
    this.answers.push(`${letter} ${code}`)
    this.expect(
      allowed.includes(code),
      `${letter} ${code} (${message.slice(0, 200)}), not ${allowed.join(" or ")}`
    )
  }
}
