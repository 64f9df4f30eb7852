/**
 * The nine messages of DataConn, as a codec over length-delimited frames (PROTOCOL.md §1).
 *
 * This module does not interpret bodies and does not check the order of messages.
 */

import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Schema from "effect/Schema"
import type { Codec } from "../framing/Codec.ts"
import * as LengthDelimited from "../framing/LengthDelimited.ts"
import * as Limit from "../settings/Limit.ts"
import { hasBody, isType, letter, type Message, name, Type } from "./MessageType.ts"

export { hasBody, isTerminal, isType, letter, type Message, name, Type } from "./MessageType.ts"

/**
 * Settings that both peers must agree on, and the limits of this one.
 *
 * **Details**
 *
 * `lengthCounts` defines the bytes that the length field counts: `"body"` is the protocol's default, the
 * others are for peers that count the type too, or the whole frame. `maxFrameSize` is in bytes, header
 * included; it limits received frames, not sent ones.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  readonly lengthCounts: LengthDelimited.LengthCounts
  readonly maxFrameSize: number
}

/**
 * The length counts the body, and frames of at most 1 MiB are received.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaultOptions: Options = { lengthCounts: "body", maxFrameSize: 1024 * 1024 }

/**
 * Size of a frame's header in bytes: the length and the type.
 *
 * @category constants
 * @since 0.1.0
 */
export const headerSize = 5

const empty = new Uint8Array(0)

/**
 * A message; without a body unless one is given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (type: Type, body: Uint8Array = empty): Message => ({ type, body })

/**
 * Size of the message on the wire in bytes, header included.
 *
 * @category encoding
 * @since 0.1.0
 */
export const size = (message: Message): number => headerSize + message.body.length

/**
 * The type byte is none of the nine letters. `type` is that byte.
 *
 * @category errors
 * @since 0.1.0
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
 * A message of a type without a body announces one of `length` bytes.
 *
 * @category errors
 * @since 0.1.0
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
 * A message announces a body of `length` bytes, above the limit of its type.
 *
 * @category errors
 * @since 0.1.0
 */
export class BodyTooLong extends Schema.TaggedError<BodyTooLong>()("BodyTooLong", {
  type: Schema.Literals(Object.values(Type)),
  length: Schema.Finite,
  setting: Schema.String,
  maxSize: Schema.Finite
}) {
  override get message() {
    return (
      `${name(this.type)} (${letter(this.type)}) has a body of ${this.length} bytes, but ${this.setting} is ` +
      `${this.maxSize} bytes: raise ${this.setting} or have the peer send less`
    )
  }
}

/**
 * The maximum body sizes of types in bytes, and the settings that contain them. Other types are limited by
 * `maxFrameSize` only.
 *
 * @category settings
 * @since 0.1.0
 */
export type BodyLimits = {
  readonly [T in Type]?: { readonly setting: string; readonly maxSize: number }
}

/**
 * Schema of all reasons why input is not a sequence of frames.
 *
 * @category errors
 * @since 0.1.0
 */
export const FrameErrorReason = Schema.Union([
  LengthDelimited.MaxSizeTooShortForHeader,
  LengthDelimited.MaxSizeTooShortForPayload,
  LengthDelimited.LengthTooShort,
  LengthDelimited.EndInsideFrame,
  UnknownType,
  UnexpectedBody,
  BodyTooLong
])

/**
 * All reasons why input is not a sequence of frames.
 *
 * @category errors
 * @since 0.1.0
 */
export type FrameErrorReason = typeof FrameErrorReason.Type

/**
 * The input is not a sequence of frames that this peer accepts. Later bytes cannot be decoded.
 *
 * @category errors
 * @since 0.1.0
 */
export class FrameError extends Schema.TaggedError<FrameError>()("FrameError", {
  reason: FrameErrorReason
}) {
  override readonly message = this.reason.message
}

const layoutOf = (lengthCounts: LengthDelimited.LengthCounts): LengthDelimited.Layout => ({
  fieldWidth: 4,
  byteOrder: "little",
  typeBytes: 1,
  lengthCounts
})

// Made once, so that encoding allocates nothing but the bytes.
const layouts: Readonly<Record<LengthDelimited.LengthCounts, LengthDelimited.Layout>> = {
  body: layoutOf("body"),
  typeAndBody: layoutOf("typeAndBody"),
  frame: layoutOf("frame")
}

/**
 * The layout of frames (PROTOCOL.md §1).
 *
 * @category encoding
 * @since 0.1.0
 */
export const layout = (lengthCounts: LengthDelimited.LengthCounts): LengthDelimited.Layout =>
  layouts[lengthCounts]

const checkHeader =
  (limits: BodyLimits) =>
  (type: number, length: number): FrameError | undefined => {
    if (!isType(type)) return toError(new UnknownType({ type }))
    if (length > 0 && (type === Type.Cancel || type === Type.CancelAcknowledged || type === Type.Heartbeat)) {
      return toError(new UnexpectedBody({ type, length }))
    }
    const limit = limits[type]
    return limit !== undefined && length > limit.maxSize
      ? toError(new BodyTooLong({ type, length, ...limit }))
      : undefined
  }

const noLimits: BodyLimits = {}

/** A chunk that arrives in parts is equivalent to several chunks, of which the last has its type. */
const partType = (type: number, splitsFinal: boolean): Type | undefined =>
  type === Type.Intermediate || (type === Type.Final && splitsFinal) ? Type.Intermediate : undefined

/**
 * The settings of one side for received messages, besides the {@link Options} that both agree on.
 *
 * @category settings
 * @since 0.1.0
 */
export interface CodecOptions extends Options {
  /**
   * If set, emits chunk messages in parts as they arrive, each as a chunk, without a copy. Returns whether
   * this includes final ones.
   */
  readonly splitChunks?: (() => boolean) | undefined
  /**
   * Size in bytes, header included, up to which a request longer than `maxFrameSize` is read without being
   * stored, and is emitted as `skipped`. Default: such requests are errors.
   */
  readonly maxSkippedSize?: number | undefined
  /** Limits of some types, below `maxFrameSize`. */
  readonly bodyLimits?: BodyLimits | undefined
}

const toError = (reason: FrameErrorReason): FrameError => new FrameError({ reason })

/**
 * The codec of DataConn's messages. Throws a `RangeError` that names the option with an invalid value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const codec = (options: CodecOptions = defaultOptions): Codec<Message, Message, FrameError> => {
  const { bodyLimits = noLimits, lengthCounts, maxFrameSize, maxSkippedSize, splitChunks } = options
  for (const { maxSize, setting } of Object.values(bodyLimits)) Limit.size(setting, maxSize, 0)
  const makeDecoder = LengthDelimited.decoders<FrameError>({
    ...layoutOf(lengthCounts),
    maxFrameSize,
    checkHeader: checkHeader(bodyLimits),
    toError,
    partType: splitChunks && ((type) => partType(type, splitChunks())),
    skips:
      maxSkippedSize === undefined ? undefined : { types: (type) => type === Type.Request, maxSkippedSize }
  })
  return {
    // `checkHeader` refuses all other types.
    makeDecoder: makeDecoder as Codec<Message, never, FrameError>["makeDecoder"],
    layOut: (messages) => layOut(messages, options)
  }
}

const bare: Record<Options["lengthCounts"], Array<NonEmptyReadonlyArray<Uint8Array>>> = {
  body: [],
  typeAndBody: [],
  frame: []
}

/** A message without a body, such as the heartbeats of thousands of connections: its bytes are made once. */
const bareMessage = (type: Type, options: Options): NonEmptyReadonlyArray<Uint8Array> => {
  const known = bare[options.lengthCounts]
  const parts = known[type] ?? [header(options, type, 0)]
  known[type] = parts
  return parts
}

const layOut = (
  messages: NonEmptyReadonlyArray<Message>,
  options: Options
): NonEmptyReadonlyArray<Uint8Array> => {
  if (messages.length === 1 && messages[0].body.length === 0) return bareMessage(messages[0].type, options)
  for (const { body, type } of messages) assertBody(type, body.length)
  return LengthDelimited.layOut(layouts[options.lengthCounts], messages)
}

const assertBody = (type: Type, bodyLength: number): void => {
  if (bodyLength > 0 && !hasBody(type)) {
    throw new RangeError(`${name(type)} (${letter(type)}) may have no body, not one of ${bodyLength} bytes`)
  }
}

/**
 * The header of a message whose body is sent without a copy. Throws a `RangeError`, for a programming error,
 * if a length is given to a type without a body, or the length does not fit the four bytes of the field.
 *
 * @category encoding
 * @since 0.1.0
 */
export const header = (options: Options, type: Type, bodyLength: number): Uint8Array => {
  assertBody(type, bodyLength)
  return LengthDelimited.encodeHeader(layouts[options.lengthCounts], type, bodyLength)
}

/**
 * A message as one contiguous buffer. The body is copied; throws as {@link header} does.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (message: Message, options: Options = defaultOptions): Uint8Array => {
  const bytes = new Uint8Array(size(message))
  bytes.set(header(options, message.type, message.body.length))
  bytes.set(message.body, headerSize)
  return bytes
}

/**
 * A frame that need not be a valid message, for tests and debuggers: any type, and a header that may announce
 * another length than the body has. The body is copied. Throws a `RangeError` for a length that does not fit
 * the four bytes.
 *
 * @category encoding
 * @since 0.1.0
 */
export const rawFrame = (
  lengthCounts: LengthDelimited.LengthCounts,
  type: number,
  body: Uint8Array,
  announced: number = body.length
): Uint8Array => {
  const bytes = new Uint8Array(headerSize + body.length)
  bytes.set(LengthDelimited.encodeHeader(layouts[lengthCounts], type, announced))
  bytes.set(body, headerSize)
  return bytes
}
