/**
 * One request's response on its way from the connection to the consumer.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import { QueryRejected } from "../engine/QueryEngine.ts"
import type { Task } from "../loop/TurnScheduler.ts"
import * as Chunk from "../net/Chunk.ts"
import type { RequestOptions } from "./Client.ts"
import type { ClientError } from "./ClientError.ts"

/** How a response ended. */
export type End =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Rejected"; readonly payload: Uint8Array }
  | { readonly _tag: "Failed"; readonly payload: Uint8Array }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Broken"; readonly cause: Cause.Cause<ClientError> }

export type ChunkBatch = readonly [Uint8Array, ...Array<Uint8Array>]

/** What an exchange asks of its holder: the queue of those that wait for a connection, then that connection. */
export interface Line {
  /** The consumer begins to wait for chunks, or wants no more of them. */
  readonly starved: () => void
  /** Wants nothing more of the response: cancels it unless it has ended, and waits until it has. */
  readonly finish: (exchange: Exchange) => Effect.Effect<void>
}

/**
 * Holds what has come until the consumer takes it. One consumer waits at a time: for the accept, then for chunks.
 */
export class Exchange implements Task {
  readonly body: Uint8Array
  /** When it was asked for, in milliseconds of the timers. */
  readonly startedAt: number
  private readonly options: RequestOptions
  line: Line
  private isSent = false
  waits = false
  behind: Task | undefined
  private payload: Uint8Array | undefined
  private chunks: Array<Uint8Array> = []
  private ending: End | undefined
  /** The body of the final message, which is the last chunk unless it is kept apart. */
  private last: Uint8Array | undefined
  private keepsLast = false
  private waiter: (() => void) | undefined
  private overLatch: Latch.Latch | undefined
  private responded = false
  private claimed = false
  private abandoned = false

  constructor(body: Uint8Array, line: Line, startedAt: number, options: RequestOptions = noOptions) {
    this.body = body
    this.options = options
    this.line = line
    this.startedAt = startedAt
  }

  /** Stands in for it on its connection, when it has been given up and its response has not ended. */
  rest(): Exchange {
    const rest = new Exchange(nothing, this.line, this.startedAt, this.options)
    rest.sent = true
    return rest
  }

  /** Whether the body of the final message has to come whole: it may be none of the chunks. */
  get holdsFinal(): boolean {
    return this.options.holdsFinal === true
  }

  /** Whether the request is on its way: from then on the server ends the response. */
  get sent(): boolean {
    return this.isSent
  }

  set sent(isSent: boolean) {
    this.isSent = isSent
    if (isSent) this.options.onSent?.()
  }

  get ended(): boolean {
    return this.ending !== undefined
  }

  get isAbandoned(): boolean {
    return this.abandoned
  }

  /** Whether the consumer is in the midst of the result: more follows as it takes what has come. */
  get isConsumed(): boolean {
    return this.responded && !this.ended
  }

  /** Whether the accepted response has to be read on: somebody waits for chunks, or it is being dropped. */
  get starved(): boolean {
    return this.abandoned || (this.isConsumed && this.waiter !== undefined && this.chunks.length === 0)
  }

  accept(payload: Uint8Array): void {
    this.payload = payload
  }

  chunk(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.abandoned) this.chunks.push(bytes)
    else Chunk.release(bytes)
  }

  /** The response is complete, with the body of its final message: also one that nobody wants any more. */
  finished(body: Uint8Array): void {
    this.options.onComplete?.()
    if (body.length > 0 && !this.abandoned) this.last = body
    else Chunk.release(body)
    this.end({ _tag: "Complete" })
  }

  /** Others wait for its connection. Whether its owner ends it. */
  evict(): boolean {
    this.options.onEvicted?.()
    return this.options.onEvicted !== undefined
  }

  /** Keeps the body of the final message apart: it is none of the chunks. */
  keepLast(): void {
    this.keepsLast = true
  }

  /** The body of the final message that was kept apart, once the chunks have ended. */
  get final(): Uint8Array | undefined {
    return this.keepsLast ? this.last : undefined
  }

  end(end: End): void {
    this.ending ??= end
  }

  /** Ends it without a response. */
  refuse(cause: Cause.Cause<ClientError>): void {
    this.end({ _tag: "Broken", cause })
    this.resume()
  }

  /** Ends it with a server's reject. */
  reject(payload: Uint8Array): void {
    this.end({ _tag: "Rejected", payload })
    this.resume()
  }

  /** Tells whoever waits what came, once for all that one read brought. */
  resume(): void {
    if (this.ending !== undefined) this.overLatch?.openUnsafe()
    this.waiter?.()
  }

  /** Drops what still comes. Whether that is news. */
  abandon(): boolean {
    if (this.abandoned) return false
    this.abandoned = true
    for (const chunk of this.chunks.splice(0)) Chunk.release(chunk)
    if (this.last !== undefined && !this.keepsLast) this.takeLast()
    this.waiter?.()
    if (!this.ended) this.line.starved()
    return true
  }

  /** Wants nothing more of the response, and waits until it has ended. */
  finish(): Effect.Effect<void> {
    return this.line.finish(this)
  }

  /** Waits for the end of the response, whichever it is. */
  get over(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.ended) return Effect.void
      this.overLatch ??= Latch.makeUnsafe(false)
      return this.overLatch.await
    })
  }

  /** Resumes with what `respond` makes of the accept's payload, or fails if another end comes before it. */
  awaitAccept<A>(
    respond: (payload: Uint8Array, exchange: Exchange) => A,
    resume: (accepted: Effect.Effect<A, QueryRejected | ClientError>) => void
  ): void {
    this.wait(() => this.accepted(respond), resume)
  }

  /** Nobody waits any more. */
  leave(): void {
    this.waiter = undefined
  }

  private accepted<A>(
    respond: (payload: Uint8Array, exchange: Exchange) => A
  ): Effect.Effect<A, QueryRejected | ClientError> | undefined {
    if (this.payload !== undefined) {
      this.responded = true
      return Effect.succeed(respond(this.payload, this))
    }
    if (this.abandoned) return used
    switch (this.ending?._tag) {
      case undefined:
        return undefined
      case "Rejected":
        return Effect.fail(new QueryRejected({ payload: this.ending.payload }))
      case "Broken":
        return Effect.failCause(this.ending.cause)
      default:
        return used
    }
  }

  /** The one consumer of the chunks is there. Whether it is the first. */
  claim(): boolean {
    const isFirst = !this.claimed
    this.claimed = true
    return isFirst
  }

  /** Pulls the chunks that have come, all of them, and waits if there are none. `failed` makes the error of a failed query. */
  pull<E>(failed: (payload: Uint8Array) => E): Pull.Pull<ChunkBatch, E | ClientError> {
    const next = () => this.next(failed)
    return Effect.suspend(() => next() ?? this.starve(next))
  }

  /** Has the connection read on until something has come. */
  private starve<A, E>(next: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      // It may have been given up since, which wakes nobody who was not waiting yet.
      const result = next()
      if (result !== undefined) return resume(result)
      this.wait(next, resume)
      this.line.starved()
      return Effect.sync(() => this.leave())
    })
  }

  /** The last chunk belongs to the consumer, or is released. */
  private takeLast(): void {
    const { last } = this
    this.last = undefined
    if (last === undefined) return
    if (this.abandoned) Chunk.release(last)
    else this.chunks.push(last)
  }

  private next<E>(failed: (payload: Uint8Array) => E): Pull.Pull<ChunkBatch, E | ClientError> | undefined {
    if (this.last !== undefined && !this.keepsLast) this.takeLast()
    const batch = this.chunks
    if (batch.length > 0) {
      this.chunks = []
      return Effect.succeed(batch as unknown as ChunkBatch)
    }
    if (this.abandoned) return used
    switch (this.ending?._tag) {
      case undefined:
        return undefined
      case "Complete":
        return done
      case "Failed":
        return Effect.fail(failed(this.ending.payload))
      case "Broken":
        return Effect.failCause(this.ending.cause)
      default:
        return used
    }
  }

  private wait<A>(poll: () => A | undefined, resume: (result: A) => void): void {
    // A closure written straight into a property is of V8's old generation, and what it refers to follows it.
    const waiter = () => {
      const result = poll()
      if (result === undefined) return
      this.waiter = undefined
      resume(result)
    }
    this.waiter = waiter
  }
}

const nothing = new Uint8Array(0)
const noOptions: RequestOptions = {}

const done = Cause.done()

// An empty result in its place would pass for a whole one.
export const used = Effect.die(new Error("The response is used once, and only while its scope is open"))
