/**
 * Length-delimited frames: an incremental decoder, the encoder of headers, and the codec of both.
 *
 * A frame is a length field, then optionally one type byte, then the body. {@link Layout} defines the field's
 * width, its byte order, and the bytes that it counts. This module has no clock and no socket, and does not
 * interpret types: `protocol/Message` adds DataConn's message types.
 *
 * **Details**
 *
 * Each byte is read once, however the input is split. A body within one chunk is a view of that chunk; a body
 * split over chunks is gathered in a buffer that grows with the bytes received, never with the length
 * claimed.
 */
import { Buffer } from "node:buffer"
import { identity } from "effect/Function"
import * as Chunk from "../net/Chunk.ts"
import * as Limit from "../settings/Limit.ts"
import type { Codec, Decoder } from "./Codec.ts"
import { check, counted, type Frame, headerSize, type Layout, layOut, readLength } from "./Layout.ts"
import {
  EndInsideFrame,
  type LengthDelimitedError,
  LengthTooShort,
  MaxSizeTooShortForHeader,
  MaxSizeTooShortForPayload
} from "./LengthDelimitedError.ts"

export {
  encodeHeader,
  encodeHeaderInto,
  type Frame,
  headerSize,
  type Layout,
  LengthCounts,
  layOut
} from "./Layout.ts"
export * from "./LengthDelimitedError.ts"

/**
 * Settings of a decoder.
 *
 * **Details**
 *
 * `maxFrameSize` is in bytes, header included. Lengths above `Number.MAX_SAFE_INTEGER` always exceed it.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options<E = LengthDelimitedError> extends Layout {
  readonly maxFrameSize: number
  /**
   * Called with each header as soon as it is complete, before the size limit and before any byte of the body.
   * A result other than `undefined` fails the decoder.
   */
  readonly checkHeader?: ((type: number, bodyLength: number) => E | undefined) | undefined
  /** Converts the decoder's own errors. */
  readonly toError: (reason: LengthDelimitedError) => E
  /**
   * For types whose bodies may be emitted in parts as they arrive: the type of a part that is not the last.
   * Such bodies are never gathered.
   */
  readonly partType?: ((type: number) => number | undefined) | undefined
  /**
   * Frames of these types that are longer than `maxFrameSize`, but not longer than `maxSkippedSize`, are read
   * without being stored. They are emitted as frames without a body that carry their size.
   */
  readonly skips?: { readonly types: (type: number) => boolean; readonly maxSkippedSize: number } | undefined
}

/**
 * A decoder at the start of an input. Throws a `RangeError` that names the option with an invalid value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeDecoder = (options: PlainOptions): Decoder<Frame, LengthDelimitedError> => plain(options)()

const plain = (options: PlainOptions) =>
  decoders({ ...Limit.members("a codec", options, names), toError: identity })

const names: ReadonlyArray<keyof PlainOptions> = [
  "fieldWidth",
  "byteOrder",
  "typeBytes",
  "lengthCounts",
  "maxFrameSize",
  "checkHeader",
  "partType",
  "skips"
]

/**
 * The options of a decoder that fails with its own reasons.
 *
 * @category settings
 * @since 0.1.0
 */
export type PlainOptions = Omit<Options<LengthDelimitedError>, "toError">

const empty = new Uint8Array(0)

/** Uninitialized memory, which is emitted only after every byte has been written. */
const uncleared = (size: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.allocUnsafeSlow(size).buffer)

/** The treatment of the body whose header is complete. */
type Body = "none" | "whole" | "parts" | "skipped"

/** Shared by all decoders of one codec: one object holds all fields that parsing a header needs. */
interface Prepared<E> extends Options<E> {
  readonly headerSize: number
  readonly counted: number
}

class FrameDecoder<E> implements Decoder<Frame, E> {
  private readonly options: Prepared<E>
  private readonly maySkip: (() => boolean) | undefined

  // A header split over chunks is gathered here; `headerFilled` is 0 between frames and while a header is
  // read straight from its chunk. Most connections never need this, so memory is allocated on first use.
  private header = empty
  private headerFilled = 0

  // The frame whose header is complete and whose body is incomplete.
  private state: Body = "none"
  private type = 0
  private bodyLength = 0
  private body = empty
  private bodyFilled = 0

  private failure: E | undefined = undefined

  constructor(options: Prepared<E>, maySkip?: () => boolean) {
    this.options = options
    this.maySkip = maySkip
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
    const { headerSize, maxFrameSize } = this.options
    if (!(maxFrameSize >= headerSize)) {
      this.fail(this.options.toError(new MaxSizeTooShortForHeader({ maxFrameSize, headerSize })))
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
    const { headerSize, toError } = this.options
    const reason =
      this.state === "none"
        ? new EndInsideFrame({ received: this.headerFilled })
        : new EndInsideFrame({
            received: headerSize + this.bodyFilled,
            expected: headerSize + this.bodyLength
          })
    return this.fail(toError(reason))
  }

  private takeHeader(chunk: Uint8Array, at: number): number {
    const { headerSize } = this.options
    if (this.headerFilled === 0 && chunk.length - at >= headerSize) {
      this.startFrame(chunk, at)
      return at + headerSize
    }
    if (this.headerFilled === 0) this.header = new Uint8Array(headerSize)
    let next = at
    while (next < chunk.length && this.headerFilled < headerSize) {
      this.header[this.headerFilled++] = chunk[next++] as number
    }
    if (this.headerFilled === headerSize) {
      this.headerFilled = 0
      this.startFrame(this.header, 0)
    }
    return next
  }

  private startFrame(bytes: Uint8Array, at: number): void {
    const { options } = this
    const { counted, headerSize, maxFrameSize, skips } = options
    const length = readLength(options, bytes, at)
    if (length < counted) {
      const { lengthCounts } = options
      this.fail(options.toError(new LengthTooShort({ length, minimum: counted, lengthCounts })))
      return
    }
    this.bodyLength = length - counted
    this.type = options.typeBytes === 1 ? (bytes[at + options.fieldWidth] as number) : 0
    const refused = options.checkHeader?.(this.type, this.bodyLength)
    if (refused !== undefined) {
      this.fail(refused)
      return
    }
    const frameSize = headerSize + this.bodyLength
    if (frameSize <= maxFrameSize) {
      this.state = options.partType?.(this.type) === undefined ? "whole" : "parts"
    } else if (skips?.types(this.type) === true && frameSize <= skips.maxSkippedSize && this.skipsNow) {
      this.state = "skipped"
    } else {
      this.fail(options.toError(new MaxSizeTooShortForPayload({ maxFrameSize, frameSize })))
    }
  }

  private get skipsNow(): boolean {
    return this.maySkip === undefined || this.maySkip()
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
      const partType = isLast ? type : (this.options.partType?.(type) ?? type)
      out.push({ type: partType, body: part(chunk, divided, at, end - at) })
    } else if (isLast) {
      out.push(
        state === "whole"
          ? { type, body: gathered }
          : { type, body: empty, skipped: this.options.headerSize + bodyLength }
      )
    }
    return end
  }

  private gather(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.bodyFilled + end - start
    if (needed > this.body.length) {
      const grown = uncleared(Math.min(this.bodyLength, Math.max(needed * 4, 256)))
      grown.set(this.body.subarray(0, this.bodyFilled))
      // At once, without waiting for the garbage collector: this buffer has no other references.
      if (this.bodyFilled > 0) this.body.buffer.transfer(0)
      this.body = grown
    }
    // A chunk that is all body, as most of a long body are, is copied without a view.
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

/** A part of a chunk. The constructor is used because `subarray` would make Buffers of Node's chunks. */
const part = (
  chunk: Uint8Array,
  divided: Chunk.Divided | undefined,
  at: number,
  length: number
): Uint8Array => divided?.part(at, length) ?? new Uint8Array(chunk.buffer, chunk.byteOffset + at, length)

/**
 * The codec of frames. Throws a `RangeError` that names the option with an invalid value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const codec = (options: PlainOptions): Codec<Frame, Frame, LengthDelimitedError> => ({
  makeDecoder: plain(options),
  layOut: (frames) => layOut(options, frames)
})

/** An infinite size is no limit. */
const checkSize = (name: string, size: number): void => {
  if (size !== Number.POSITIVE_INFINITY) Limit.size(name, size, 0)
}

/**
 * Makes decoders that fail with converted errors. Throws as {@link codec} does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decoders = <E>(options: Options<E>): Codec<Frame, never, E>["makeDecoder"] => {
  check(options)
  checkSize("maxFrameSize", options.maxFrameSize)
  if (options.skips !== undefined) checkSize("maxSkippedSize", options.skips.maxSkippedSize)
  const prepared: Prepared<E> = {
    ...options,
    maxFrameSize: Math.min(options.maxFrameSize, Number.MAX_SAFE_INTEGER),
    headerSize: headerSize(options),
    counted: counted(options)
  }
  return (skips) => new FrameDecoder(prepared, skips)
}
