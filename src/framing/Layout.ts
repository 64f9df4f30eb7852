/**
 * The layout of length-delimited frames, and their bytes: the length field, then optionally one type byte,
 * then the body.
 */
import { Buffer } from "node:buffer"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Schema from "effect/Schema"
import * as Limit from "../settings/Limit.ts"

/**
 * The bytes that the length field counts: the body, the type and the body, or the whole frame.
 *
 * @category settings
 * @since 0.1.0
 */
export const LengthCounts = Schema.Literals(["body", "typeAndBody", "frame"])

/**
 * The bytes that the length field counts: the body, the type and the body, or the whole frame.
 *
 * @category settings
 * @since 0.1.0
 */
export type LengthCounts = typeof LengthCounts.Type

/**
 * The layout of a header.
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
 * Size of a header in bytes.
 *
 * @category encoding
 * @since 0.1.0
 */
export const headerSize = (layout: Layout): number => layout.fieldWidth + layout.typeBytes

/** The smallest valid value of the length field: the bytes that it counts besides the body. */
export const counted = (layout: Layout): number => {
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
export const readLength = (layout: Layout, bytes: Uint8Array, offset: number): number => {
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
 * Writes a header at `offset` of `target` and returns the offset of the body, right behind it.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` if the length does not fit `fieldWidth` or the header does not fit the target: both
 * are programming errors. The receiver's `maxFrameSize` is unknown here.
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

const widths: ReadonlyArray<number> = [1, 2, 3, 4, 8]

/** Throws a `RangeError` that names the field with an invalid value. */
export const check = (layout: Layout): void => {
  Limit.oneOf<number>("fieldWidth", layout.fieldWidth, widths)
  Limit.oneOf("byteOrder", layout.byteOrder, ["little", "big"])
  Limit.oneOf<number>("typeBytes", layout.typeBytes, [0, 1])
  Limit.oneOf("lengthCounts", layout.lengthCounts, LengthCounts.literals)
}

/**
 * Bodies of up to this many bytes are copied behind their header rather than passed to the socket separately.
 */
const inlineBodySize = 2048

/**
 * Frames laid out for one gather write: small ones are copied into a contiguous buffer, large bodies are not
 * copied, and frames of equal type and length share their header. Throws as {@link encodeHeaderInto} does.
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
