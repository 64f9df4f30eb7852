/** Watches a connection and reports its events, frame by frame. */
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
 * The ending of a direction: its sender closed normally, or the connection broke.
 *
 * @category models
 * @since 0.1.0
 */
export type Ending = "closed" | "broken"

/**
 * An event of a connection, `at` milliseconds after the recording began.
 *
 * **Details**
 *
 * A `Frame` is reported when it is complete. `Bytes` are not a frame, or a part of a frame that will not be
 * completed. `length` is that of the body, or of the bytes; of long ones `bytes` has only the beginning. The
 * type may be unknown to the protocol.
 *
 * **Gotchas**
 *
 * `bytes` may be a view of memory that is reused after the call.
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
 * The watched connection, and the callback.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** The number of the connection. */
  readonly connection: number
  /** Which end of the connection this one is, and the name of the other. */
  readonly end: End
  readonly peer: string
  readonly lengthCounts: LengthCounts
  /** The number of bytes of a body that are kept. */
  readonly maxBodySize: number
  /** Milliseconds since the recording began. */
  readonly now: () => number
  readonly on: (event: Event) => void
}

/**
 * Watches one connection: it is given all bytes, and reports frames.
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

  /** The number of bytes of an incomplete frame that this end has sent. */
  get unfinished(): number {
    return this.directions.here.unfinished
  }

  /** The other end has sent these bytes. */
  received(bytes: Uint8Array): void {
    this.directions.there.push(bytes, this.tell(this.other))
  }

  /** This end sends nothing more. Reported once. */
  left(how: Ending, detail?: string): void {
    this.end(this.options.end, this.directions.here, how, detail)
  }

  /** The other end sends nothing more. Reported once. */
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
