/**
 * The nine message types of DataConn over length-delimited frames (PROTOCOL.md §1).
 *
 * Decodes bytes to frames and encodes frames to bytes. What a body means, and which frame may follow which,
 * is not known here.
 */
import * as Schema from "effect/Schema"
import * as LengthDelimited from "./LengthDelimited.ts"

/**
 * The message types by their letter on the wire (PROTOCOL.md §1).
 */
export const Type = {
  Request: 0x52,
  Cancel: 0x43,
  Accept: 0x41,
  Reject: 0x4a,
  Intermediate: 0x49,
  Final: 0x46,
  Error: 0x45,
  CancelAcknowledged: 0x4b,
  Heartbeat: 0x48
} as const

/**
 * One of the message types.
 */
export type Type = (typeof Type)[keyof typeof Type]

/**
 * A frame: one message as it is on the wire.
 *
 * **Gotchas**
 *
 * The body of a decoded frame may be a view of the chunk it arrived in.
 */
export interface Frame {
  readonly type: Type
  readonly body: Uint8Array
}

/**
 * What both peers must agree on, and what this one accepts.
 *
 * **Details**
 *
 * `lengthCounts` says what the length field counts: `"body"` is the protocol's default, the others are for
 * peers that count the type too, or the whole frame. `maxFrameSize` is in bytes, header included; it limits
 * what is received, not what is sent.
 */
export interface Options {
  readonly lengthCounts: LengthDelimited.LengthCounts
  readonly maxFrameSize: number
}

/**
 * The length counts the body, and frames of at most 1 MiB are received.
 */
export const defaultOptions: Options = { lengthCounts: "body", maxFrameSize: 1024 * 1024 }

/**
 * Size of a frame's header in bytes: the length and the type.
 */
export const headerSize = 5

interface Properties {
  readonly name: string
  readonly hasBody: boolean
  readonly isTerminal: boolean
}

// The table of PROTOCOL.md §1.
const properties: Readonly<Record<Type, Properties>> = {
  [Type.Request]: { name: "Request", hasBody: true, isTerminal: false },
  [Type.Cancel]: { name: "Cancel", hasBody: false, isTerminal: false },
  [Type.Accept]: { name: "Acknowledge Request", hasBody: true, isTerminal: false },
  [Type.Reject]: { name: "Reject Request", hasBody: true, isTerminal: true },
  [Type.Intermediate]: { name: "Intermediate Chunk", hasBody: true, isTerminal: false },
  [Type.Final]: { name: "Final Chunk", hasBody: true, isTerminal: true },
  [Type.Error]: { name: "Error", hasBody: true, isTerminal: true },
  [Type.CancelAcknowledged]: { name: "Acknowledge Cancel", hasBody: false, isTerminal: true },
  [Type.Heartbeat]: { name: "Heartbeat", hasBody: false, isTerminal: false }
}

/**
 * The letter that stands for the type on the wire.
 */
export const letter = (type: Type): string => String.fromCharCode(type)

/**
 * The name of the type, as PROTOCOL.md §1 has it.
 */
export const name = (type: Type): string => properties[type].name

/**
 * Whether messages of the type may have a body. It may be empty even then.
 */
export const hasBody = (type: Type): boolean => properties[type].hasBody

/**
 * Whether a message of the type ends the response.
 */
export const isTerminal = (type: Type): boolean => properties[type].isTerminal

const empty = new Uint8Array(0)

/**
 * A frame; without a body unless one is given.
 */
export const make = (type: Type, body: Uint8Array = empty): Frame => ({ type, body })

/**
 * Size of the frame on the wire in bytes, header included.
 */
export const size = (frame: Frame): number => headerSize + frame.body.length

/**
 * The byte where the type should be is none of the nine letters. `type` is that byte.
 */
export class UnknownType extends Schema.TaggedError<UnknownType>()("UnknownType", {
  type: Schema.Finite
}) {
  override get message() {
    const printable = this.type > 0x20 && this.type < 0x7f ? ` ("${String.fromCharCode(this.type)}")` : ""
    return (
      `0x${this.type.toString(16).padStart(2, "0")}${printable} is not a message type: ` +
      "the peer does not speak DataConn, or lengthCounts differs from what it counts"
    )
  }
}

/**
 * A message that may have no body announces one of `length` bytes.
 */
export class UnexpectedBody extends Schema.TaggedError<UnexpectedBody>()("UnexpectedBody", {
  type: Schema.Literals([Type.Cancel, Type.CancelAcknowledged, Type.Heartbeat]),
  length: Schema.Finite
}) {
  override get message() {
    return (
      `${name(this.type)} (${letter(this.type)}) may have no body, but one of ${this.length} bytes was announced: ` +
      "the peer is at fault, or lengthCounts differs from what it counts"
    )
  }
}

/**
 * Schema of every reason for which input is not a sequence of frames.
 */
export const FrameErrorReason = Schema.Union([
  LengthDelimited.MaxSizeTooShortForHeader,
  LengthDelimited.MaxSizeTooShortForPayload,
  LengthDelimited.LengthTooShort,
  LengthDelimited.EndInsideFrame,
  UnknownType,
  UnexpectedBody
])

/**
 * Every reason for which input is not a sequence of frames.
 */
export type FrameErrorReason = typeof FrameErrorReason.Type

/**
 * The input is not a sequence of frames that this peer accepts. Nothing after it can be understood.
 */
export class FrameError extends Schema.TaggedError<FrameError>()("FrameError", {
  reason: FrameErrorReason
}) {
  override readonly message = this.reason.message
}

/**
 * An incremental decoder. It holds the state of one connection's input.
 *
 * **Details**
 *
 * `push` consumes the whole chunk and appends every frame that it completes to `out`. On an error the frames
 * before it have been appended. A failed decoder stays failed: it appends nothing more and returns the same
 * error again. A header is judged as soon as it is complete, before any byte of the body.
 *
 * `end` tells a clean end of the input (`undefined`) from an end inside a frame. `partial` is true while some
 * but not all bytes of a frame have been received.
 *
 * **Gotchas**
 *
 * Unless they are copied (`copyBodies`), bodies may be views of the chunk: they keep its memory alive, and the chunk
 * must not be changed afterwards.
 */
export interface Decoder {
  readonly push: (chunk: Uint8Array, out: Array<Frame>) => FrameError | undefined
  readonly end: () => FrameError | undefined
  readonly partial: boolean
  /** Bytes of memory that a frame which is not complete takes. */
  readonly bufferedCapacity: number
}

const layout = (lengthCounts: LengthDelimited.LengthCounts): LengthDelimited.Layout => ({
  fieldWidth: 4,
  byteOrder: "little",
  tagBytes: 1,
  lengthCounts
})

// Made once, so that encoding allocates nothing but the bytes.
const layouts: Readonly<Record<LengthDelimited.LengthCounts, LengthDelimited.Layout>> = {
  body: layout("body"),
  typeAndBody: layout("typeAndBody"),
  frame: layout("frame")
}

const isType = (tag: number): tag is Type => properties[tag as Type] !== undefined

const checkHeader = (tag: number, bodyLength: number): UnknownType | UnexpectedBody | undefined => {
  if (!isType(tag)) return new UnknownType({ type: tag })
  if (bodyLength > 0 && (tag === Type.Cancel || tag === Type.CancelAcknowledged || tag === Type.Heartbeat)) {
    return new UnexpectedBody({ type: tag, length: bodyLength })
  }
  return undefined
}

/** A chunk that arrives in parts says the same as several chunks, of which the last has its type. */
const partTag = (tag: number): Type | undefined =>
  tag === Type.Intermediate || tag === Type.Final ? Type.Intermediate : undefined

export interface DecoderOptions extends Options {
  /** Whether a chunk message is handed out in parts as they arrive, each as a chunk: nothing is copied. */
  readonly splitChunks?: boolean | undefined
  /** Whether bodies are copied out of the chunks, whose memory may then be written to again. */
  readonly copyBodies?: boolean | undefined
}

/**
 * A decoder at the start of a connection's input.
 */
export const makeDecoder = (options: DecoderOptions = defaultOptions): Decoder => new FrameDecoder(options)

class FrameDecoder implements Decoder {
  private readonly decoder: LengthDelimited.Decoder<UnknownType | UnexpectedBody>
  private failure: FrameError | undefined

  constructor({ copyBodies, lengthCounts, maxFrameSize, splitChunks }: DecoderOptions) {
    this.decoder = LengthDelimited.makeDecoder({
      ...layouts[lengthCounts],
      maxFrameSize,
      copyBodies,
      checkHeader,
      partTag: splitChunks === true ? partTag : undefined
    })
  }

  push(chunk: Uint8Array, out: Array<Frame>): FrameError | undefined {
    return this.fail(this.decoder.push(chunk, (tag, body) => out.push({ type: tag as Type, body })))
  }

  end(): FrameError | undefined {
    return this.fail(this.decoder.end())
  }

  get partial(): boolean {
    return this.decoder.partial
  }

  get bufferedCapacity(): number {
    return this.decoder.bufferedCapacity
  }

  private fail(reason: FrameErrorReason | undefined): FrameError | undefined {
    if (reason !== undefined) this.failure ??= new FrameError({ reason })
    return this.failure
  }
}

/**
 * The header of a frame whose body is sent from where it lies.
 *
 * **Gotchas**
 *
 * Throws a `RangeError`, as a programming error, if a length is given to a type that may have no body, or one
 * that does not fit the four bytes of the field.
 */
export const header = (options: Options, type: Type, bodyLength: number): Uint8Array => {
  const bytes = new Uint8Array(headerSize)
  headerInto(options, bytes, 0, type, bodyLength)
  return bytes
}

/**
 * A frame as one contiguous buffer. The body is copied; throws as {@link header} does.
 */
export const encode = (frame: Frame, options: Options = defaultOptions): Uint8Array => {
  const bytes = new Uint8Array(size(frame))
  headerInto(options, bytes, 0, frame.type, frame.body.length)
  bytes.set(frame.body, headerSize)
  return bytes
}

/**
 * Writes a header at `offset` of `target` and returns the offset behind it. Throws as {@link header} does.
 */
export const headerInto = (
  options: Options,
  target: Uint8Array,
  offset: number,
  type: Type,
  bodyLength: number
): number => {
  if (bodyLength > 0 && !hasBody(type)) {
    throw new RangeError(`${name(type)} (${letter(type)}) may have no body, not one of ${bodyLength} bytes`)
  }
  return LengthDelimited.encodeHeaderInto(layouts[options.lengthCounts], target, offset, type, bodyLength)
}
