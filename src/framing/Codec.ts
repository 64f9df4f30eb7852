/**
 * The conversion between messages and bytes: the only part of a `FramedConnection` that depends on the
 * protocol.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"

/**
 * An incremental decoder with the state of one input.
 *
 * **Details**
 *
 * `push` consumes the whole chunk, which the decoder then owns (`Chunk`), and appends every completed message
 * to `out`. On an error the messages before it have been appended. A failed decoder stays failed: it appends
 * nothing more and returns the same error again.
 *
 * `end` tells a clean end of the input (`undefined`) from an end inside a message. `partial` is true while
 * some but not all bytes of a message have been received. `buffered` is the number of bytes that are held for
 * it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decoder<In, E> {
  readonly push: (chunk: Uint8Array, out: Array<In>) => E | undefined
  readonly end: () => E | undefined
  readonly partial: boolean
  readonly buffered: number
}

/**
 * A protocol: reads messages of type `In`, writes those of type `Out`, and fails to read with `E`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<In, Out, E> {
  /**
   * A decoder at the start of an input. If oversized messages can be read without being stored, `skips` is
   * called when one begins, and decides whether it is skipped or is an error. Default: it is skipped.
   */
  readonly makeDecoder: (skips?: () => boolean) => Decoder<In, E>
  /**
   * The bytes of messages, in order, for one gather write. Large bodies are not copied. Throws a `RangeError`
   * for a message that cannot be encoded, which is a programming error.
   */
  readonly layOut: (messages: NonEmptyReadonlyArray<Out>) => NonEmptyReadonlyArray<Uint8Array>
}
