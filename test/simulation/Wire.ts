/**
 * The frames in a stream of bytes, read independently of the code under test.
 */
import type { LengthCounts } from "../../src/framing/LengthDelimited.ts"

export interface Message {
  /** The letter of its type (PROTOCOL.md §1). */
  readonly type: string
  readonly body: Uint8Array
}

const counted: Record<LengthCounts, number> = { body: 0, typeAndBody: 1, frame: 5 }

/** A frame's bytes. */
export const encode = (lengthCounts: LengthCounts, type: string, body: string): Uint8Array => {
  const text = new TextEncoder().encode(body)
  const bytes = new Uint8Array(5 + text.length)
  new DataView(bytes.buffer).setUint32(0, text.length + counted[lengthCounts], true)
  bytes[4] = type.charCodeAt(0)
  bytes.set(text, 5)
  return bytes
}

export class Reader {
  private readonly extra: number
  private bytes: Uint8Array = new Uint8Array(0)

  constructor(lengthCounts: LengthCounts) {
    this.extra = counted[lengthCounts]
  }

  /** Whether a frame has begun and is not complete. */
  get inside(): boolean {
    return this.bytes.length > 0
  }

  /** The messages that these bytes complete. */
  push(chunk: Uint8Array): Array<Message> {
    const bytes = new Uint8Array(this.bytes.length + chunk.length)
    bytes.set(this.bytes)
    bytes.set(chunk, this.bytes.length)
    const messages: Array<Message> = []
    let at = 0
    while (bytes.length - at >= 5) {
      const length = new DataView(bytes.buffer).getUint32(at, true) - this.extra
      if (bytes.length - at < 5 + length) break
      messages.push({
        type: String.fromCharCode(bytes[at + 4] as number),
        body: bytes.subarray(at + 5, at + 5 + length)
      })
      at += 5 + length
    }
    this.bytes = bytes.slice(at)
    return messages
  }
}

/** A message for a transcript. */
export const show = ({ body, type }: Message): string => {
  if (body.length === 0) return type
  return "IF".includes(type) ? `${type} (${body.length} bytes)` : `${type} ${new TextDecoder().decode(body)}`
}
