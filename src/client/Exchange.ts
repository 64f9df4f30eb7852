/**
 * One request's response on its way from the reader of the connection to the consumer.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import { QueryFailed, QueryRejected } from "../engine/QueryEngine.ts"
import type { ClientError } from "./ClientError.ts"

/** How a response ended. */
export type End =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Rejected"; readonly payload: Uint8Array }
  | { readonly _tag: "Failed"; readonly payload: Uint8Array }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Broken"; readonly error: ClientError }

export type ChunkBatch = readonly [Uint8Array, ...Array<Uint8Array>]

/**
 * Holds what one read has brought until the consumer takes it. The reader reads on only while `starved`.
 */
export class Exchange {
  private readonly onStarved: () => void
  private readonly changed = Latch.makeUnsafe(false)
  private readonly overLatch = Latch.makeUnsafe(false)
  private payload: Uint8Array | undefined
  private chunks: Array<Uint8Array> = []
  private ending: End | undefined
  private waiting = false
  private abandonedOnce = false

  /** `onStarved` is called when the consumer begins to wait for chunks, or wants no more of them. */
  constructor(onStarved: () => void) {
    this.onStarved = onStarved
  }

  /** Whether nothing more is wanted: what still comes is dropped. */
  get abandoned(): boolean {
    return this.abandonedOnce
  }

  get ended(): boolean {
    return this.ending !== undefined
  }

  /** Whether the accepted response has to be read on: somebody waits for chunks, or it is being dropped. */
  get starved(): boolean {
    return this.abandonedOnce || (this.waiting && this.chunks.length === 0)
  }

  accept(payload: Uint8Array): void {
    this.payload = payload
  }

  chunk(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.abandonedOnce) this.chunks.push(bytes)
  }

  end(end: End): void {
    this.ending ??= end
  }

  /** Tells the consumer what came, once for all that one read brought. */
  notify(): void {
    if (this.ending !== undefined) this.overLatch.openUnsafe()
    if (this.ending !== undefined || this.payload !== undefined || this.chunks.length > 0) {
      this.changed.openUnsafe()
    }
  }

  abandon(): void {
    if (this.abandonedOnce) return
    this.abandonedOnce = true
    this.chunks = []
    this.changed.openUnsafe()
    this.onStarved()
  }

  /** Waits for the end of the response, whichever it is. */
  get over(): Effect.Effect<void> {
    return this.overLatch.await
  }

  /** Waits for the payload of the accept, and fails if another end comes before it. */
  readonly accepted: Effect.Effect<Uint8Array, QueryRejected | ClientError> = Effect.suspend(() => {
    if (this.payload !== undefined) return Effect.succeed(this.payload)
    if (this.abandonedOnce) return used
    if (this.ending === undefined) return this.wait(this.accepted)
    return this.ending._tag === "Rejected"
      ? Effect.fail(new QueryRejected({ payload: this.ending.payload }))
      : this.ending._tag === "Broken"
        ? Effect.fail(this.ending.error)
        : used
  })

  /** The chunks that have come, all of them; waits if there are none. */
  readonly pull: Pull.Pull<ChunkBatch, QueryFailed | ClientError> = Effect.suspend(() => {
    const batch = this.chunks
    if (batch.length > 0) {
      this.chunks = []
      this.waiting = false
      return Effect.succeed(batch as unknown as ChunkBatch)
    }
    if (this.abandonedOnce) return used
    switch (this.ending?._tag) {
      case undefined:
        this.waiting = true
        this.onStarved()
        return this.wait(this.pull)
      case "Complete":
        return Cause.done()
      case "Failed":
        return Effect.fail(new QueryFailed({ payload: this.ending.payload }))
      case "Broken":
        return Effect.fail(this.ending.error)
      default:
        return used
    }
  })

  private wait<A, E>(again: Effect.Effect<A, E>): Effect.Effect<A, E> {
    // What the reader brought while it was being woken is there already.
    if (this.chunks.length === 0 && this.ending === undefined) this.changed.closeUnsafe()
    return Effect.andThen(this.changed.await, again)
  }
}

// An empty result in its place would pass for a whole one.
const used = Effect.die(new Error("The response is used once, and only while its scope is open"))
