/**
 * Finds the frames in one direction of a connection without interfering: every byte belongs to a part, none
 * is refused, and all parts together are the original bytes.
 */
import { Buffer } from "node:buffer"
import { counted, readLength } from "../framing/Layout.ts"
import type { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Message from "../protocol/Message.ts"

/**
 * A frame, or bytes that are none. `length` is that of the body, or of the bytes; of a long one `bytes` has
 * only the first `maxBodySize` bytes. They are valid until the next call.
 */
export type Part =
  | { readonly _tag: "Frame"; readonly type: number; readonly length: number; readonly bytes: Uint8Array }
  | { readonly _tag: "Bytes"; readonly length: number; readonly bytes: Uint8Array }

export interface Options {
  readonly lengthCounts: LengthCounts
  /** The number of bytes of a body that are kept. */
  readonly maxBodySize: number
}

const empty = new Uint8Array(0)

/**
 * Frames of any type are accepted, since debuggers send them. A header is invalid if its length is smaller
 * than the bytes that it always counts, or if its type is unknown and its body longer than the kept size: its
 * sender speaks another protocol, and no frame would ever be complete.
 */
export class Splitter {
  private readonly options: Options
  private readonly layout: ReturnType<typeof Message.layout>
  private header = new Uint8Array(Message.headerSize)
  private headerFilled = 0
  private type = 0
  private length = 0
  private seen = 0
  private kept: Array<Uint8Array> = []
  private keptSize = 0
  private isBroken = false

  constructor(options: Options) {
    this.options = options
    this.layout = Message.layout(options.lengthCounts)
  }

  /** The number of bytes of an incomplete frame. */
  get unfinished(): number {
    return this.headerFilled + this.seen
  }

  /** Calls `on` with the parts that these bytes complete. */
  push(chunk: Uint8Array, on: (part: Part) => void): void {
    let at = 0
    while (at < chunk.length && !this.isBroken) {
      at = this.headerFilled < Message.headerSize ? this.takeHeader(chunk, at) : this.takeBody(chunk, at)
      if (this.headerFilled === Message.headerSize && !this.isBroken && this.seen === this.length) {
        on({ _tag: "Frame", type: this.type, length: this.length, bytes: this.body() })
        this.next()
      }
    }
    if (!this.isBroken) return
    if (this.headerFilled > 0) on({ _tag: "Bytes", length: Message.headerSize, bytes: this.header.slice() })
    this.headerFilled = 0
    if (at < chunk.length) on({ _tag: "Bytes", length: chunk.length - at, bytes: chunk.subarray(at) })
  }

  /** Calls `on` with the part that has begun and will not be completed. */
  end(on: (part: Part) => void): void {
    if (this.headerFilled === 0) return
    const body = this.body()
    const bytes = Buffer.concat([this.header.subarray(0, this.headerFilled), body])
    on({ _tag: "Bytes", length: this.headerFilled + this.seen, bytes: new Uint8Array(bytes) })
    this.next()
  }

  private takeHeader(chunk: Uint8Array, start: number): number {
    let at = start
    while (at < chunk.length && this.headerFilled < Message.headerSize) {
      this.header[this.headerFilled++] = chunk[at++] as number
    }
    if (this.headerFilled < Message.headerSize) return at
    this.type = this.header[this.layout.fieldWidth] as number
    this.length = readLength(this.layout, this.header, 0) - counted(this.layout)
    this.isBroken = this.length < 0 || (!Message.isType(this.type) && this.length > this.options.maxBodySize)
    return at
  }

  private takeBody(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.length - this.seen)
    const room = this.options.maxBodySize - this.keptSize
    if (room > 0) {
      const part = chunk.subarray(at, Math.min(end, at + room))
      // A whole body needs no copy: it is used before the chunk is passed on.
      this.kept.push(end - at === this.length ? part : new Uint8Array(part))
      this.keptSize += part.length
    }
    this.seen += end - at
    return end
  }

  private body(): Uint8Array {
    const [first = empty, ...rest] = this.kept
    return rest.length === 0 ? first : new Uint8Array(Buffer.concat([first, ...rest]))
  }

  private next(): void {
    this.headerFilled = 0
    this.seen = 0
    this.kept = []
    this.keptSize = 0
  }
}
