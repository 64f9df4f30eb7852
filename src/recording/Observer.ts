/**
 * Watches a connection and tells what happens on it, frame by frame.
 */
import type { LengthCounts } from "../framing/LengthDelimited.ts"
import { type Part, Splitter } from "./Splitter.ts"

/**
 * One of the two ends of a connection.
 *
 * @category models
 * @since 0.1.0
 */
export type End = "client" | "server"

/**
 * How a direction ended: its sender has sent all it wanted to, or the connection broke.
 *
 * @category models
 * @since 0.1.0
 */
export type Ending = "closed" | "broken"

/**
 * Something that happened on a connection, `at` milliseconds after the recording began.
 *
 * **Details**
 *
 * A `Frame` is told when it is complete. `Bytes` are no frame, or the part of one that will not be complete. `length`
 * is that of the body, or of the bytes; of a long one only the beginning is there. A type need not be one of the
 * protocol's.
 *
 * **Gotchas**
 *
 * `bytes` may be a view of memory that is used again after the call.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "Opened"; readonly at: number; readonly connection: number; readonly peer: string }
  | ({ readonly at: number; readonly connection: number; readonly from: End } & Part)
  | {
      readonly _tag: "Ended"
      readonly at: number
      readonly connection: number
      readonly from: End
      readonly how: Ending
      readonly detail: string | undefined
    }

/**
 * What is watched, and who is told.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** The number of the connection. */
  readonly connection: number
  /** Which of its ends this one is, and what the other one is called. */
  readonly end: End
  readonly peer: string
  readonly lengthCounts: LengthCounts
  /** How many bytes of a body are kept. */
  readonly maxBodySize: number
  /** Milliseconds since the recording began. */
  readonly now: () => number
  readonly on: (event: Event) => void
}

/**
 * Watches one connection. Told of all bytes, it tells of frames.
 *
 * @category models
 * @since 0.1.0
 */
export class Observer {
  private readonly options: Options
  private readonly directions: Readonly<Record<"here" | "there", Splitter>>
  private readonly ended = new Set<End>()

  constructor(options: Options) {
    this.options = options
    this.directions = { here: new Splitter(options), there: new Splitter(options) }
    const { connection, now, on, peer } = options
    on({ _tag: "Opened", at: now(), connection, peer })
  }

  /** This end has sent these bytes. */
  sent(bytes: Uint8Array): void {
    this.directions.here.push(bytes, this.tell(this.options.end))
  }

  /** How many bytes of a frame this end has sent that is not complete. */
  get unfinished(): number {
    return this.directions.here.unfinished
  }

  /** The other end has. */
  received(bytes: Uint8Array): void {
    this.directions.there.push(bytes, this.tell(this.other))
  }

  /** This end sends nothing more. Says nothing the second time. */
  left(how: Ending, detail?: string): void {
    this.end(this.options.end, this.directions.here, how, detail)
  }

  /** The other end sends nothing more. Says nothing the second time. */
  lost(how: Ending, detail?: string): void {
    this.end(this.other, this.directions.there, how, detail)
  }

  private get other(): End {
    return this.options.end === "client" ? "server" : "client"
  }

  private end(from: End, direction: Splitter, how: Ending, detail: string | undefined): void {
    if (this.ended.has(from)) return
    this.ended.add(from)
    direction.end(this.tell(from))
    const { connection, now, on } = this.options
    on({ _tag: "Ended", at: now(), connection, from, how, detail })
  }

  private tell(from: End): (part: Part) => void {
    const { connection, now, on } = this.options
    return (part) => on({ at: now(), connection, from, ...part })
  }
}
