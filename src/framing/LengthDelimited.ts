/**
 * Length-delimited frames: an incremental decoder, the encoder of headers, and the codec of both.
 *
 * A frame is a length field, then optionally one type byte, then the body. {@link Layout} says how wide the field is,
 * in which byte order, and what its value counts. Nothing here knows a clock, a socket or the meaning of a type:
 * `protocol/Message` puts DataConn's message types on top.
 *
 * **Details**
 *
 * Each byte is looked at once, however the input is split. A body that lies in one chunk is a view of that chunk; a
 * body split over chunks is gathered in a buffer that grows with the bytes received, never with the length claimed.
 */
import { Buffer } from "node:buffer"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { identity } from "effect/Function"
import * as Schema from "effect/Schema"
import * as Chunk from "../net/Chunk.ts"
import * as Limit from "../settings/Limit.ts"
import type { Codec, Decoder } from "./Codec.ts"

/**
 * What the value of the length field counts: the body, the type and the body, or the whole frame.
 *
 * @category settings
 * @since 0.1.0
 */
export const LengthCounts = Schema.Literals(["body", "typeAndBody", "frame"])

/**
 * What the value of the length field counts: the body, the type and the body, or the whole frame.
 *
 * @category settings
 * @since 0.1.0
 */
export type LengthCounts = typeof LengthCounts.Type

/**
 * How a header is laid out.
 *
 * **Details**
 *
 * `fieldWidth` is the width of the length field in bytes. `typeBytes` is the number of bytes between the length field
 * and the body; they belong to the header.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Layout {
  readonly fieldWidth: 1 | 2 | 3 | 4 | 8
  readonly byteOrder: "little" | "big"
  readonly typeBytes: 0 | 1
  readonly lengthCounts: LengthCounts
}

/**
 * A frame. The type is 0 in a layout without one.
 *
 * **Gotchas**
 *
 * The body of a decoded frame may be a view of the chunk it arrived in, and is owned if that is (`Chunk`). `skipped`
 * is the size in bytes of a frame whose body was not stored ({@link Options}).
 *
 * @category models
 * @since 0.1.0
 */
export interface Frame {
  readonly type: number
  readonly body: Uint8Array
  readonly skipped?: number
}

/**
 * What a decoder accepts.
 *
 * **Details**
 *
 * `maxFrameSize` is in bytes, header included. Lengths above `Number.MAX_SAFE_INTEGER` are too large whatever it says.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options<E = LengthDelimitedError> extends Layout {
  readonly maxFrameSize: number
  /**
   * Sees each header as soon as it is complete, before the size limit and before any byte of the body. Its result,
   * other than `undefined`, fails the decoder.
   */
  readonly checkHeader?: ((type: number, bodyLength: number) => E | undefined) | undefined
  /** The error in which the decoder's own reasons are told. */
  readonly toError: (reason: LengthDelimitedError) => E
  /**
   * For types whose bodies may be handed out in parts as they arrive, the type of a part that is not the last. Such
   * bodies are never gathered.
   */
  readonly partType?: ((type: number) => number | undefined) | undefined
  /**
   * Frames of these types that are longer than `maxFrameSize`, but not longer than `maxSkippedSize`, are read without
   * being stored, and come as frames without a body that say their size.
   */
  readonly skips?: { readonly types: (type: number) => boolean; readonly maxSkippedSize: number } | undefined
}

/**
 * `maxFrameSize` is so small that not even a header fits. Arises with the first byte received.
 *
 * @category errors
 * @since 0.1.0
 */
export class MaxSizeTooShortForHeader extends Schema.TaggedError<MaxSizeTooShortForHeader>()(
  "MaxSizeTooShortForHeader",
  { maxFrameSize: Schema.Finite, headerSize: Schema.Finite }
) {
  override get message() {
    return `maxFrameSize is ${this.maxFrameSize} bytes, but a header alone has ${this.headerSize}: raise maxFrameSize`
  }
}

/**
 * A header announces a frame larger than `maxFrameSize`. `frameSize` counts the header; above
 * `Number.MAX_SAFE_INTEGER` it is rounded.
 *
 * @category errors
 * @since 0.1.0
 */
export class MaxSizeTooShortForPayload extends Schema.TaggedError<MaxSizeTooShortForPayload>()(
  "MaxSizeTooShortForPayload",
  { maxFrameSize: Schema.Finite, frameSize: Schema.Finite }
) {
  override get message() {
    return (
      `The peer announced a frame of ${this.frameSize} bytes, but maxFrameSize is ${this.maxFrameSize} bytes: ` +
      "raise maxFrameSize or have the peer send smaller frames"
    )
  }
}

/**
 * The length is smaller than what it must count at least.
 *
 * @category errors
 * @since 0.1.0
 */
export class LengthTooShort extends Schema.TaggedError<LengthTooShort>()("LengthTooShort", {
  length: Schema.Finite,
  minimum: Schema.Finite,
  lengthCounts: LengthCounts
}) {
  override get message() {
    return (
      `The peer sent the length ${this.length}, but with lengthCounts "${this.lengthCounts}" it is at least ` +
      `${this.minimum}: set lengthCounts to what the peer counts`
    )
  }
}

/**
 * The input ended inside a frame. `received` is the number of bytes of that frame that arrived, header
 * included; `expected` is the size of the whole frame, known once its header is complete.
 *
 * @category errors
 * @since 0.1.0
 */
export class EndInsideFrame extends Schema.TaggedError<EndInsideFrame>()("EndInsideFrame", {
  received: Schema.Finite,
  expected: Schema.optional(Schema.Finite)
}) {
  override get message() {
    return this.expected === undefined
      ? `The input ended inside a header, ${this.received} bytes into a frame`
      : `The input ended inside a frame, ${this.received} of ${this.expected} bytes into it`
  }
}

/**
 * Schema of every reason for which a decoder fails by itself.
 *
 * @category errors
 * @since 0.1.0
 */
export const LengthDelimitedError = Schema.Union([
  MaxSizeTooShortForHeader,
  MaxSizeTooShortForPayload,
  LengthTooShort,
  EndInsideFrame
])

/**
 * Every reason for which a decoder fails by itself.
 *
 * @category errors
 * @since 0.1.0
 */
export type LengthDelimitedError = typeof LengthDelimitedError.Type

/**
 * Size of a header in bytes.
 *
 * @category encoding
 * @since 0.1.0
 */
export const headerSize = (layout: Layout): number => layout.fieldWidth + layout.typeBytes

/**
 * The smallest value that the length field can have: what it counts besides the body.
 */
const counted = (layout: Layout): number => {
  switch (layout.lengthCounts) {
    case "body":
      return 0
    case "typeAndBody":
      return layout.typeBytes
    case "frame":
      return headerSize(layout)
  }
}

// Multiplying instead of shifting keeps the top bit of 4 bytes and all of the 53 bits that a number can hold.
// Beyond those the result is rounded, but never down into the safe range.
const readLength = (layout: Layout, bytes: Uint8Array, offset: number): number => {
  const width = layout.fieldWidth
  let length = 0
  if (layout.byteOrder === "little") {
    for (let i = offset + width - 1; i >= offset; i--) length = length * 256 + (bytes[i] as number)
  } else {
    for (let i = offset; i < offset + width; i++) length = length * 256 + (bytes[i] as number)
  }
  return length
}

/**
 * Writes a header at `offset` of `target` and returns the offset behind it, where the body goes.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` if the length does not fit `fieldWidth` or the header does not fit the target: both
 * are programming errors. The receiver's `maxFrameSize` is not known here.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeHeaderInto = (
  layout: Layout,
  target: Uint8Array,
  offset: number,
  type: number,
  bodyLength: number
): number => {
  const width = layout.fieldWidth
  const length = bodyLength + counted(layout)
  if (!(Number.isSafeInteger(bodyLength) && bodyLength >= 0 && length <= maxLength(width))) {
    throw new RangeError(
      `A body of ${bodyLength} bytes has no length that fits a fieldWidth of ${width} (at most ${maxLength(width)})`
    )
  }
  const end = offset + headerSize(layout)
  if (!(offset >= 0 && end <= target.length)) {
    throw new RangeError(
      `A header of ${headerSize(layout)} bytes does not fit at offset ${offset} of ${target.length} bytes`
    )
  }
  let rest = length
  for (let i = 0; i < width; i++) {
    target[layout.byteOrder === "little" ? offset + i : offset + width - 1 - i] = rest & 0xff
    rest = Math.floor(rest / 256)
  }
  if (layout.typeBytes === 1) target[offset + width] = type
  return end
}

/**
 * A header in a buffer of its own. Throws as {@link encodeHeaderInto} does.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeHeader = (layout: Layout, type: number, bodyLength: number): Uint8Array => {
  const header = new Uint8Array(headerSize(layout))
  encodeHeaderInto(layout, header, 0, type, bodyLength)
  return header
}

const maxLengths = Array.from({ length: 9 }, (_, width) =>
  Math.min(256 ** width - 1, Number.MAX_SAFE_INTEGER)
)

const maxLength = (width: number): number => maxLengths[width] ?? 0

/**
 * A decoder at the start of an input. Throws a `RangeError` that names the option whose value it cannot be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeDecoder = (options: PlainOptions): Decoder<Frame, LengthDelimitedError> =>
  new FrameDecoder({ ...checked(options), toError: identity })

/**
 * The options of a decoder that fails with its own reasons.
 *
 * @category settings
 * @since 0.1.0
 */
export type PlainOptions = Omit<Options<LengthDelimitedError>, "toError">

const widths: ReadonlyArray<number> = [1, 2, 3, 4, 8]

const oneOf = <A>(name: string, given: A, values: ReadonlyArray<A>): A => {
  if (values.includes(given)) return given
  throw new RangeError(`${name} must be one of ${values.join(", ")}, not ${String(given)}`)
}

const checked = <O extends Layout & { readonly maxFrameSize?: number }>(options: O): O => {
  oneOf<number>("fieldWidth", options.fieldWidth, widths)
  oneOf("byteOrder", options.byteOrder, ["little", "big"])
  oneOf<number>("typeBytes", options.typeBytes, [0, 1])
  oneOf("lengthCounts", options.lengthCounts, LengthCounts.literals)
  if (options.maxFrameSize !== undefined && options.maxFrameSize !== Number.POSITIVE_INFINITY) {
    Limit.size("maxFrameSize", options.maxFrameSize, 0)
  }
  return options
}

const empty = new Uint8Array(0)

/** Memory that is handed to nobody before every byte of it has been written. */
const uncleared = (size: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.allocUnsafeSlow(size).buffer)

/** What becomes of the body whose header is complete. */
type Body = "none" | "whole" | "parts" | "skipped"

// It is its own layout: all that each header is read by lies in one object.
class FrameDecoder<E> implements Decoder<Frame, E>, Layout {
  readonly fieldWidth: Layout["fieldWidth"]
  readonly byteOrder: Layout["byteOrder"]
  readonly typeBytes: Layout["typeBytes"]
  readonly lengthCounts: Layout["lengthCounts"]
  private readonly checkHeader: Options<E>["checkHeader"]
  private readonly toError: Options<E>["toError"]
  private readonly partType: Options<E>["partType"]
  private readonly skips: Options<E>["skips"]
  private readonly maxFrameSize: number
  private readonly headerSize: number
  private readonly counted: number

  // A header split over chunks is gathered here; `headerFilled` is 0 between frames and while a header is
  // read straight from its chunk. Most connections never see one, so there is no memory for it before.
  private header = empty
  private headerFilled = 0

  // The frame whose header is complete and whose body is not.
  private state: Body = "none"
  private type = 0
  private bodyLength = 0
  private body = empty
  private bodyFilled = 0

  private failure: E | undefined = undefined

  constructor(options: Options<E>) {
    this.fieldWidth = options.fieldWidth
    this.byteOrder = options.byteOrder
    this.typeBytes = options.typeBytes
    this.lengthCounts = options.lengthCounts
    this.checkHeader = options.checkHeader
    this.toError = options.toError
    this.partType = options.partType
    this.skips = options.skips
    this.maxFrameSize = Math.min(options.maxFrameSize, Number.MAX_SAFE_INTEGER)
    this.headerSize = headerSize(options)
    this.counted = counted(options)
  }

  get partial(): boolean {
    return this.state !== "none" || this.headerFilled > 0
  }

  get buffered(): number {
    return this.body.length
  }

  push(chunk: Uint8Array, out: Array<Frame>): E | undefined {
    if (this.failure !== undefined || chunk.length === 0) {
      Chunk.release(chunk)
      return this.failure
    }
    const divided = Chunk.isOwned(chunk) ? new Chunk.Divided(chunk) : undefined
    this.takeFrames(chunk, divided, out)
    divided?.end()
    return this.failure
  }

  private takeFrames(chunk: Uint8Array, divided: Chunk.Divided | undefined, out: Array<Frame>): void {
    if (!(this.maxFrameSize >= this.headerSize)) {
      const { headerSize, maxFrameSize } = this
      this.fail(this.toError(new MaxSizeTooShortForHeader({ maxFrameSize, headerSize })))
      return
    }
    let at = 0
    while (at < chunk.length) {
      if (this.state === "none") {
        at = this.takeHeader(chunk, at)
        if (this.state === "none") return
      }
      at = this.takeBody(chunk, divided, at, out)
    }
  }

  end(): E | undefined {
    if (!this.partial) return this.failure
    const reason =
      this.state === "none"
        ? new EndInsideFrame({ received: this.headerFilled })
        : new EndInsideFrame({
            received: this.headerSize + this.bodyFilled,
            expected: this.headerSize + this.bodyLength
          })
    return this.fail(this.toError(reason))
  }

  private takeHeader(chunk: Uint8Array, at: number): number {
    if (this.headerFilled === 0 && chunk.length - at >= this.headerSize) {
      this.startFrame(chunk, at)
      return at + this.headerSize
    }
    if (this.headerFilled === 0) this.header = new Uint8Array(this.headerSize)
    let next = at
    while (next < chunk.length && this.headerFilled < this.headerSize) {
      this.header[this.headerFilled++] = chunk[next++] as number
    }
    if (this.headerFilled === this.headerSize) {
      this.headerFilled = 0
      this.startFrame(this.header, 0)
    }
    return next
  }

  private startFrame(bytes: Uint8Array, at: number): void {
    const length = readLength(this, bytes, at)
    if (length < this.counted) {
      const { counted, lengthCounts } = this
      this.fail(this.toError(new LengthTooShort({ length, minimum: counted, lengthCounts })))
      return
    }
    this.bodyLength = length - this.counted
    this.type = this.typeBytes === 1 ? (bytes[at + this.fieldWidth] as number) : 0
    const refused = this.checkHeader?.(this.type, this.bodyLength)
    if (refused !== undefined) {
      this.fail(refused)
      return
    }
    const frameSize = this.headerSize + this.bodyLength
    if (frameSize <= this.maxFrameSize) {
      this.state = this.partType?.(this.type) === undefined ? "whole" : "parts"
    } else if (this.skips?.types(this.type) === true && frameSize <= this.skips.maxSkippedSize) {
      this.state = "skipped"
    } else {
      this.fail(this.toError(new MaxSizeTooShortForPayload({ maxFrameSize: this.maxFrameSize, frameSize })))
    }
  }

  private takeBody(
    chunk: Uint8Array,
    divided: Chunk.Divided | undefined,
    at: number,
    out: Array<Frame>
  ): number {
    const { bodyLength, state, type } = this
    if (state !== "skipped" && this.bodyFilled === 0 && chunk.length - at >= bodyLength) {
      this.state = "none"
      out.push({ type, body: bodyLength === 0 ? empty : part(chunk, divided, at, bodyLength) })
      return at + bodyLength
    }
    const end = Math.min(chunk.length, at + bodyLength - this.bodyFilled)
    if (state === "whole") this.gather(chunk, at, end)
    else this.bodyFilled += end - at
    const isLast = this.bodyFilled === bodyLength
    const gathered = this.body
    if (isLast) this.dropBody()
    if (state === "parts") {
      const partType = isLast ? type : (this.partType?.(type) ?? type)
      out.push({ type: partType, body: part(chunk, divided, at, end - at) })
    } else if (isLast) {
      out.push(
        state === "whole"
          ? { type, body: gathered }
          : { type, body: empty, skipped: this.headerSize + bodyLength }
      )
    }
    return end
  }

  private gather(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.bodyFilled + end - start
    if (needed > this.body.length) {
      const grown = uncleared(Math.min(this.bodyLength, Math.max(needed * 4, 256)))
      grown.set(this.body.subarray(0, this.bodyFilled))
      // At once, and not by the garbage collector: nobody else has seen it.
      if (this.bodyFilled > 0) this.body.buffer.transfer(0)
      this.body = grown
    }
    // A chunk that is all body, as those of a long body are, needs no view to be copied.
    this.body.set(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end), this.bodyFilled)
    this.bodyFilled = needed
  }

  private dropBody(): void {
    this.state = "none"
    this.body = empty
    this.bodyFilled = 0
  }

  private fail(error: E): E {
    this.dropBody()
    this.headerFilled = 0
    this.failure = error
    return error
  }
}

/** A part of a chunk. The constructor rather than `subarray`, which would make Buffers of Node's chunks. */
const part = (
  chunk: Uint8Array,
  divided: Chunk.Divided | undefined,
  at: number,
  length: number
): Uint8Array => divided?.part(at, length) ?? new Uint8Array(chunk.buffer, chunk.byteOffset + at, length)

/** Bodies of up to this many bytes are copied beside their header rather than given to the socket apart. */
const inlineBodySize = 2048

/**
 * Frames laid out for one gather write: small ones are copied into a contiguous buffer, large bodies stay where they
 * are, and those of one type and length share their header. Throws as {@link encodeHeaderInto} does.
 *
 * @category encoding
 * @since 0.1.0
 */
export const layOut = (
  layout: Layout,
  frames: NonEmptyReadonlyArray<Frame>
): NonEmptyReadonlyArray<Uint8Array> => {
  const header = headerSize(layout)
  let inline = 0
  for (const { body } of frames) inline += header + (body.length <= inlineBodySize ? body.length : 0)
  const staging = Buffer.allocUnsafe(inline)
  const parts: Array<Uint8Array> = []
  let start = 0
  let end = 0
  let alone: { readonly header: Uint8Array; readonly type: number; readonly length: number } | undefined
  for (const { body, type } of frames) {
    const { length } = body
    if (start === end && alone !== undefined && alone.type === type && alone.length === length) {
      parts.push(alone.header, body)
      continue
    }
    const headerStart = end
    end = encodeHeaderInto(layout, staging, end, type, length)
    if (length <= inlineBodySize) {
      staging.set(body, end)
      end += length
      continue
    }
    const own = staging.subarray(start, end)
    alone = start === headerStart ? { header: own, type, length } : undefined
    parts.push(own, body)
    start = end
  }
  if (start === 0) return [staging]
  if (start < end) parts.push(staging.subarray(start, end))
  return parts as unknown as NonEmptyReadonlyArray<Uint8Array>
}

/**
 * The codec of frames. Throws a `RangeError` that names the option whose value it cannot be.
 *
 * @category constructors
 * @since 0.1.0
 */
export const codec = (options: PlainOptions): Codec<Frame, Frame, LengthDelimitedError> => ({
  makeDecoder: decoders({ ...options, toError: identity }),
  layOut: (frames) => layOut(options, frames)
})

/**
 * Makes decoders that fail with errors of one's own. Throws as {@link codec} does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decoders = <E>(options: Options<E>): (() => Decoder<Frame, E>) => {
  checked(options)
  return () => new FrameDecoder(options)
}
