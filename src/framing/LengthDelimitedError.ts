/** The errors of a decoder of length-delimited frames. */
import * as Schema from "effect/Schema"
import { LengthCounts } from "./Layout.ts"

/**
 * `maxFrameSize` is too small even for a header. Arises with the first byte received.
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
 * The length is smaller than the bytes that it always counts.
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
 * Schema of all errors of the decoder itself.
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
 * All errors of the decoder itself.
 *
 * @category errors
 * @since 0.1.0
 */
export type LengthDelimitedError = typeof LengthDelimitedError.Type
