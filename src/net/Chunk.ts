/**
 * Owned chunks: bytes whose memory somebody wants back.
 *
 * A chunk belongs to whoever holds it, who passes it on or releases it. Releasing is optional: memory of a chunk
 * that nobody releases is the garbage collector's. Sockets' read memory, an engine's buffers and slots of shared
 * memory are all such chunks, and a chunk may pass from one to the other without a copy.
 */
import { Buffer } from "node:buffer"

const owner: unique symbol = Symbol("dataconn/net/Chunk/owner")

/**
 * Takes back the memory of a chunk, which is the object that was given to {@link owned}.
 *
 * @category models
 * @since 0.1.0
 */
export type Release = (chunk: Uint8Array) => void

type Owned = Uint8Array & { [owner]?: Release | undefined }

/**
 * Marks a chunk as owned: `release` is called once, when its last holder has done with it.
 *
 * **Gotchas**
 *
 * Views that somebody makes of a chunk (`subarray`) are not owned. They must not be read after the chunk has been
 * released.
 *
 * @category ownership
 * @since 0.1.0
 */
export const owned = <A extends Uint8Array>(chunk: A, release: Release): A => {
  ;(chunk as Owned)[owner] = release
  return chunk
}

/**
 * Whether a chunk's memory goes back to somebody when it is released.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isOwned = (chunk: Uint8Array): boolean => (chunk as Owned)[owner] !== undefined

/**
 * Gives a chunk's memory back; the holder must not read it afterwards. Does nothing for a chunk that nobody owns, and
 * nothing the second time.
 *
 * **Example** (Counting bytes without keeping them)
 *
 * ```ts
 * import { Chunk } from "dataconn"
 * import { Effect, Stream } from "effect"
 *
 * export const countBytes = <E>(chunks: Stream.Stream<Uint8Array, E>) =>
 *   Stream.runFoldEffect(chunks, () => 0, (bytes, chunk) =>
 *     Effect.sync(() => {
 *       const length = chunk.length
 *       Chunk.release(chunk)
 *       return bytes + length
 *     })
 *   )
 * ```
 *
 * @category ownership
 * @since 0.1.0
 */
export const release = (chunk: Uint8Array): void => {
  const give = (chunk as Owned)[owner]
  if (give === undefined) return
  ;(chunk as Owned)[owner] = undefined
  give(chunk)
}

/**
 * Bytes to keep for as long as one likes: the chunk itself, or a copy of one that is owned, which is released.
 *
 * @category ownership
 * @since 0.1.0
 */
export const keep = (chunk: Uint8Array): Uint8Array => {
  if (!isOwned(chunk)) return chunk
  const copy = copied(chunk)
  release(chunk)
  return copy
}

/**
 * A copy, in Node's pool where its memory would otherwise cost more than its bytes. (`slice` of a Buffer is a view.)
 *
 * @category ownership
 * @since 0.1.0
 */
export const copied = (chunk: Uint8Array): Uint8Array => {
  const { length } = chunk
  // The slice of a Buffer would be a view of it.
  if (length >= Buffer.poolSize >>> 1) return new Uint8Array(chunk)
  const pooled = Buffer.allocUnsafe(length)
  pooled.set(chunk)
  return new Uint8Array(pooled.buffer, pooled.byteOffset, length)
}

/**
 * Divides a chunk among several holders: it is released when all parts and the divider itself have been.
 *
 * @category ownership
 * @since 0.1.0
 */
export class Divided {
  private readonly chunk: Uint8Array
  private holders = 1

  constructor(chunk: Uint8Array) {
    this.chunk = chunk
  }

  /** A part, as a chunk of its own. */
  part(start: number, length: number): Uint8Array {
    const { buffer, byteOffset } = this.chunk
    this.holders++
    return owned(new Uint8Array(buffer, byteOffset + start, length), this.leave)
  }

  /** No further part follows. */
  end(): void {
    this.leave()
  }

  private readonly leave = (): void => {
    if (--this.holders === 0) release(this.chunk)
  }
}
