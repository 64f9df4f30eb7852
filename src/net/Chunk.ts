/**
 * Owned chunks: bytes whose memory is returned to an owner for reuse.
 *
 * The holder of a chunk passes it on or releases it. Releasing is optional: the garbage collector frees
 * chunks that are never released. Read memory of sockets, an engine's buffers and slots of shared memory are
 * all owned chunks. A chunk may pass from one to the other without a copy.
 *
 * **Gotchas**
 *
 * Chunks may share one `ArrayBuffer`, also with bytes that are still to be read. Transferring it to another
 * thread would empty all of them: transfer the buffer of a copy, `new Uint8Array(chunk)`.
 */
import { Buffer } from "node:buffer"
import * as Limit from "../settings/Limit.ts"

const owner: unique symbol = Symbol("dataconn/net/Chunk/owner")

/**
 * Takes back the memory of a chunk. Its argument is the object that was given to {@link owned}.
 *
 * @category models
 * @since 0.1.0
 */
export type Release = (chunk: Uint8Array) => void

type Owned = Uint8Array & { [owner]?: Release | undefined }

/**
 * Marks a chunk as owned: `release` is called once, when the last holder releases it.
 *
 * **Gotchas**
 *
 * Views of a chunk (`subarray`) are not owned. They must not be read after the chunk has been released.
 *
 * @category ownership
 * @since 0.1.0
 */
export const owned = <A extends Uint8Array>(chunk: A, release: Release): A => {
  if (!(chunk instanceof Uint8Array)) Limit.fail("The owned chunk", "a Uint8Array", chunk)
  if (typeof release !== "function") Limit.fail("release", "a function", release)
  ;(chunk as Owned)[owner] = release
  return chunk
}

/**
 * Whether a chunk has an owner, which gets its memory back on release.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isOwned = (chunk: Uint8Array): boolean => (chunk as Owned)[owner] !== undefined

/**
 * Returns a chunk's memory to its owner; the holder must not read it afterwards. Does nothing for a chunk
 * without an owner, or one that was released before.
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
 * Bytes that may be kept indefinitely: the chunk itself, or a copy of an owned chunk, which is released.
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
 * A copy, in Node's pool if memory of its own would cost more than its bytes. (`slice` of a Buffer is a
 * view.)
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
 * Divides a chunk among several holders. The chunk is released once all parts and the divider itself are
 * released.
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

  /** A part, as an owned chunk. */
  part(start: number, length: number): Uint8Array {
    const { buffer, byteOffset } = this.chunk
    this.holders++
    return owned(new Uint8Array(buffer, byteOffset + start, length), this.leave)
  }

  /** No further parts follow. */
  end(): void {
    this.leave()
  }

  private readonly leave = (): void => {
    if (--this.holders === 0) release(this.chunk)
  }
}
