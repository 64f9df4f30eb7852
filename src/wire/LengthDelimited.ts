/**
 * Length-delimited frames: an incremental decoder and the encoder of the header.
 *
 * A frame is a length field, then optionally one tag byte, then the body. {@link Layout} says how wide the
 * field is, in which byte order, and what its value counts. Nothing here knows a clock, a socket or what a
 * tag means: `Frame` puts DataConn's message types on top.
 *
 * **Details**
 *
 * Each byte is looked at once, however the input is split. A body that lies in one chunk is a view of that
 * chunk, or a copy if that is wanted; a body split over chunks is gathered in a buffer that grows with the bytes
 * received, never with the length claimed.
 */
import { Buffer } from "node:buffer"
import * as Schema from "effect/Schema"

/**
 * What the value of the length field counts: the body, the tag and the body, or the whole frame.
 */
export const LengthCounts = Schema.Literals(["body", "typeAndBody", "frame"])

/**
 * What the value of the length field counts: the body, the tag and the body, or the whole frame.
 */
export type LengthCounts = typeof LengthCounts.Type

/**
 * How a header is laid out.
 *
 * **Details**
 *
 * `fieldWidth` is the width of the length field in bytes. `tagBytes` is the number of bytes between the
 * length field and the body; they belong to the header.
 */
export interface Layout {
  readonly fieldWidth: 1 | 2 | 3 | 4 | 8
  readonly byteOrder: "little" | "big"
  readonly tagBytes: 0 | 1
  readonly lengthCounts: LengthCounts
}

/**
 * What a decoder accepts.
 *
 * **Details**
 *
 * `maxFrameSize` is in bytes, header included. Lengths above `Number.MAX_SAFE_INTEGER` are too large whatever
 * it says. `checkHeader` sees each header as soon as it is complete, before the size limit and before any
 * byte of the body; what it returns, other than `undefined`, fails the decoder. The tag is 0 in a layout
 * without one.
 */
export interface Options<E = never> extends Layout {
  readonly maxFrameSize: number
  readonly checkHeader?: ((tag: number, bodyLength: number) => E | undefined) | undefined
  /**
   * For tags whose bodies may be handed out in parts as they arrive, the tag of a part that is not the last. Such
   * bodies are never gathered.
   */
  readonly partTag?: ((tag: number) => number | undefined) | undefined
  /** Whether bodies are copied out of their chunks, whose memory may then be written to again. */
  readonly copyBodies?: boolean | undefined
}

/**
 * `maxFrameSize` is so small that not even a header fits. Arises with the first byte received.
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
 */
export const LengthDelimitedError = Schema.Union([
  MaxSizeTooShortForHeader,
  MaxSizeTooShortForPayload,
  LengthTooShort,
  EndInsideFrame
])

/**
 * Every reason for which a decoder fails by itself.
 */
export type LengthDelimitedError = typeof LengthDelimitedError.Type

/**
 * An incremental decoder. It holds the state of one input.
 *
 * **Details**
 *
 * `push` consumes the whole chunk and emits every frame that it completes, in order. On an error the frames
 * before it have been emitted. A failed decoder stays failed: it emits nothing more and returns the same
 * error again.
 *
 * `end` tells a clean end of the input (`undefined`) from an end inside a frame, and fails the decoder in the
 * latter case. `partial` is true while some but not all bytes of a frame have been received; a failed decoder
 * has let go of them. `bufferedCapacity` is the size in bytes of the buffer in which a split body is being
 * gathered.
 *
 * **Gotchas**
 *
 * Unless they are copied, bodies may be views of the chunk: they keep its memory alive, and the chunk must not be
 * changed afterwards.
 * `emit` must neither throw nor push into the same decoder.
 */
export interface Decoder<E = never> {
  readonly push: (
    chunk: Uint8Array,
    emit: (tag: number, body: Uint8Array) => void
  ) => E | LengthDelimitedError | undefined
  readonly end: () => E | LengthDelimitedError | undefined
  readonly partial: boolean
  readonly bufferedCapacity: number
}

/**
 * Size of a header in bytes.
 */
export const headerSize = (layout: Layout): number => layout.fieldWidth + layout.tagBytes

/**
 * The smallest value that the length field can have: what it counts besides the body.
 */
const counted = (layout: Layout): number => {
  switch (layout.lengthCounts) {
    case "body":
      return 0
    case "typeAndBody":
      return layout.tagBytes
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
 */
export const encodeHeaderInto = (
  layout: Layout,
  target: Uint8Array,
  offset: number,
  tag: number,
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
  if (layout.tagBytes === 1) target[offset + width] = tag
  return end
}

/**
 * A header in a buffer of its own. Throws as {@link encodeHeaderInto} does.
 */
export const encodeHeader = (layout: Layout, tag: number, bodyLength: number): Uint8Array => {
  const header = new Uint8Array(headerSize(layout))
  encodeHeaderInto(layout, header, 0, tag, bodyLength)
  return header
}

const maxLength = (width: number): number => Math.min(256 ** width - 1, Number.MAX_SAFE_INTEGER)

/**
 * A decoder at the start of an input.
 */
export const makeDecoder = <E = never>(options: Options<E>): Decoder<E> => new DecoderImpl(options)

const empty = new Uint8Array(0)

/** Memory that is handed to nobody before every byte of it has been written. */
const uncleared = (size: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.allocUnsafeSlow(size).buffer)

/** A copy, in Node's pool where its memory would otherwise cost more than its bytes. */
const copied = (view: Uint8Array): Uint8Array => {
  const { length } = view
  if (length >= Buffer.poolSize >>> 1) return view.slice()
  const pooled = Buffer.allocUnsafe(length)
  pooled.set(view)
  return new Uint8Array(pooled.buffer, pooled.byteOffset, length)
}

// It is its own layout: what each header is read by lies in one object.
class DecoderImpl<E> implements Decoder<E>, Layout {
  readonly fieldWidth: Layout["fieldWidth"]
  readonly byteOrder: Layout["byteOrder"]
  readonly tagBytes: Layout["tagBytes"]
  readonly lengthCounts: Layout["lengthCounts"]
  private readonly checkHeader: Options<E>["checkHeader"]
  private readonly partTag: Options<E>["partTag"]
  private readonly copyBodies: boolean
  private readonly maxFrameSize: number
  private readonly headerSize: number
  private readonly counted: number

  // A header split over chunks is gathered here; `headerFilled` is 0 between frames and while a header is
  // read straight from its chunk. Most connections never see one, so there is no memory for it before.
  private header = empty
  private headerFilled = 0

  // The frame whose header is complete and whose body is not.
  private inBody = false
  private tag = 0
  private bodyLength = 0
  private body = empty
  private bodyFilled = 0

  private failure: E | LengthDelimitedError | undefined = undefined

  constructor(options: Options<E>) {
    this.fieldWidth = options.fieldWidth
    this.byteOrder = options.byteOrder
    this.tagBytes = options.tagBytes
    this.lengthCounts = options.lengthCounts
    this.checkHeader = options.checkHeader
    this.partTag = options.partTag
    this.copyBodies = options.copyBodies === true
    this.maxFrameSize = Math.min(options.maxFrameSize, Number.MAX_SAFE_INTEGER)
    this.headerSize = headerSize(options)
    this.counted = counted(options)
  }

  get partial(): boolean {
    return this.inBody || this.headerFilled > 0
  }

  get bufferedCapacity(): number {
    return this.body.length
  }

  push(
    chunk: Uint8Array,
    emit: (tag: number, body: Uint8Array) => void
  ): E | LengthDelimitedError | undefined {
    if (this.failure !== undefined || chunk.length === 0) return this.failure
    if (!(this.maxFrameSize >= this.headerSize)) {
      return this.fail(
        new MaxSizeTooShortForHeader({ maxFrameSize: this.maxFrameSize, headerSize: this.headerSize })
      )
    }
    let at = 0
    while (at < chunk.length) {
      if (!this.inBody) {
        at = this.takeHeader(chunk, at)
        if (this.failure !== undefined) return this.failure
        if (!this.inBody) return undefined
      }
      at = this.takeBody(chunk, at, emit)
    }
    return undefined
  }

  end(): E | LengthDelimitedError | undefined {
    if (!this.partial) return this.failure
    return this.fail(
      this.inBody
        ? new EndInsideFrame({
            received: this.headerSize + this.bodyFilled,
            expected: this.headerSize + this.bodyLength
          })
        : new EndInsideFrame({ received: this.headerFilled })
    )
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
      this.fail(new LengthTooShort({ length, minimum: this.counted, lengthCounts: this.lengthCounts }))
      return
    }
    this.bodyLength = length - this.counted
    this.tag = this.tagBytes === 1 ? (bytes[at + this.fieldWidth] as number) : 0
    const refused = this.checkHeader?.(this.tag, this.bodyLength)
    if (refused !== undefined) {
      this.fail(refused)
      return
    }
    const frameSize = this.headerSize + this.bodyLength
    if (frameSize > this.maxFrameSize) {
      this.fail(new MaxSizeTooShortForPayload({ maxFrameSize: this.maxFrameSize, frameSize }))
      return
    }
    this.inBody = true
  }

  private takeBody(chunk: Uint8Array, at: number, emit: (tag: number, body: Uint8Array) => void): number {
    const length = this.bodyLength
    if (this.bodyFilled === 0 && chunk.length - at >= length) {
      this.inBody = false
      emit(this.tag, length === 0 ? empty : this.take(chunk, at, length))
      return at + length
    }
    const end = Math.min(chunk.length, at + length - this.bodyFilled)
    const partTag = this.partTag?.(this.tag)
    if (partTag !== undefined) {
      this.bodyFilled += end - at
      const isLast = this.bodyFilled === length
      if (isLast) this.dropBody()
      emit(isLast ? this.tag : partTag, this.take(chunk, at, end - at))
      return end
    }
    this.gather(chunk, at, end)
    if (this.bodyFilled === length) {
      const body = this.body
      this.dropBody()
      emit(this.tag, body)
    }
    return end
  }

  private take(chunk: Uint8Array, at: number, length: number): Uint8Array {
    // The constructor rather than `subarray`, which would make Buffers of what Node hands over.
    const view = new Uint8Array(chunk.buffer, chunk.byteOffset + at, length)
    return this.copyBodies ? copied(view) : view
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
    this.inBody = false
    this.body = empty
    this.bodyFilled = 0
  }

  private fail(error: E | LengthDelimitedError): E | LengthDelimitedError {
    this.dropBody()
    this.headerFilled = 0
    this.failure = error
    return error
  }
}
