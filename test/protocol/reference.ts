/**
 * The obvious codec, written without regard to speed, memory or incremental input, against which the real
 * one is compared. It shares no code with it: lengths are read and written as hexadecimal text.
 */
import type * as LengthDelimited from "../../src/framing/LengthDelimited.ts"

/** Bytes of hexadecimal text; blanks are for the reader. */
export const bytes = (hex: string): Uint8Array =>
  new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ""), "hex"))

export const hex = (input: Uint8Array): string => Buffer.from(input).toString("hex")

export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** How an input ended: `undefined` when between two frames, otherwise the fields of the error. */
export type Ending = { readonly _tag: string; readonly [field: string]: unknown } | undefined

export interface Decoded {
  readonly frames: ReadonlyArray<{ readonly type: number; readonly body: string }>
  readonly ending: Ending
}

const overhead = ({ fieldWidth, lengthCounts, typeBytes }: LengthDelimited.Layout): number =>
  ({ body: 0, typeAndBody: typeBytes, frame: fieldWidth + typeBytes })[lengthCounts]

export const encode = (layout: LengthDelimited.Layout, type: number, body: Uint8Array): Uint8Array => {
  const digits = (body.length + overhead(layout)).toString(16).padStart(2 * layout.fieldWidth, "0")
  const field = bytes(digits)
  return concat([
    layout.byteOrder === "little" ? field.reverse() : field,
    new Uint8Array(layout.typeBytes).fill(type),
    body
  ])
}

/** What the reference knows of a decoder's options. */
export interface Options extends LengthDelimited.Layout {
  readonly maxFrameSize: number
  readonly checkHeader?:
    | ((type: number, bodyLength: number) => { readonly _tag: string } | undefined)
    | undefined
}

export const decode = (options: Options, input: Uint8Array, frames: Decoded["frames"] = []): Decoded => {
  const { byteOrder, fieldWidth, lengthCounts, maxFrameSize, typeBytes } = options
  const headerSize = fieldWidth + typeBytes
  const minimum = overhead(options)
  if (input.length === 0) return { frames, ending: undefined }
  if (maxFrameSize < headerSize) {
    return { frames, ending: { _tag: "MaxSizeTooShortForHeader", maxFrameSize, headerSize } }
  }
  if (input.length < headerSize) return { frames, ending: { _tag: "EndInsideFrame", received: input.length } }
  const field = input.slice(0, fieldWidth)
  const length = Number(`0x${hex(byteOrder === "little" ? field.reverse() : field)}`)
  if (length < minimum) return { frames, ending: { _tag: "LengthTooShort", length, minimum, lengthCounts } }
  const type = typeBytes === 1 ? (input[fieldWidth] as number) : 0
  const refused = options.checkHeader?.(type, length - minimum)
  if (refused !== undefined) return { frames, ending: { ...refused } }
  const frameSize = headerSize + length - minimum
  if (frameSize > maxFrameSize) {
    return { frames, ending: { _tag: "MaxSizeTooShortForPayload", maxFrameSize, frameSize } }
  }
  if (input.length < frameSize) {
    return { frames, ending: { _tag: "EndInsideFrame", received: input.length, expected: frameSize } }
  }
  const body = hex(input.slice(headerSize, frameSize))
  return decode(options, input.slice(frameSize), [...frames, { type, body }])
}

/** Cuts the input at the given offsets; they may repeat and need no order. */
export const split = (input: Uint8Array, offsets: ReadonlyArray<number>): Array<Uint8Array> => {
  const cuts = [0, ...offsets, input.length].map((at) => Math.min(at, input.length)).sort((a, b) => a - b)
  return cuts.slice(1).map((end, i) => input.subarray(cuts[i], end))
}

/** Every way to cut the input in two, and every byte by itself. */
export const allSplits = (input: Uint8Array): Array<Array<Uint8Array>> => {
  const offsets = Array.from({ length: input.length + 1 }, (_, at) => at)
  return [...offsets.map((at) => split(input, [at])), split(input, offsets)]
}
