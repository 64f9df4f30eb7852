/**
 * How messages become bytes and bytes become messages: everything that a `FramedConnection` knows of its protocol.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"

/**
 * An incremental decoder. It holds the state of one input.
 *
 * **Details**
 *
 * `push` consumes the whole chunk, which it owns from then on (`Chunk`), and appends every message that it completes
 * to `out`. On an error the messages before it have been appended. A failed decoder stays failed: it appends nothing
 * more and returns the same error again.
 *
 * `end` tells a clean end of the input (`undefined`) from an end inside a message. `partial` is true while some but
 * not all bytes of a message have been received. `buffered` is the number of bytes that are held for it.
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
   * A decoder at the start of an input. Where messages that are too long can be read without being stored, `skips` is
   * asked when one begins: whether it is skipped, or is an error. Default: it is skipped.
   */
  readonly makeDecoder: (skips?: () => boolean) => Decoder<In, E>
  /**
   * The bytes of messages, one behind the other, for one gather write. Large bodies are sent from where they lie.
   * Throws a `RangeError` for a message that cannot be encoded, which is a programming error.
   */
  readonly layOut: (messages: NonEmptyReadonlyArray<Out>) => NonEmptyReadonlyArray<Uint8Array>
}
