/**
 * CSV with LF as line break, for the reading system. RFC 4180 has CRLF.
 */

const carriageReturn = 0x0d
const lineFeed = 0x0a
const quote = 0x22

/** Takes chunks of CSV, cut anywhere, and returns them with LF for each CRLF that ends a row. */
export class LineBreaks {
  private isQuoted = false
  /** Whether a carriage return at the end of a chunk has been held back. */
  private isHeld = false

  /** The converted chunk, or the same one if there is nothing to change. */
  push(chunk: Uint8Array): Uint8Array {
    if (!this.isHeld && !chunk.includes(carriageReturn)) {
      this.countQuotes(chunk)
      return chunk
    }
    const result = new Uint8Array(chunk.length + 1)
    let length = 0
    for (const byte of chunk) {
      if (this.isHeld && byte !== lineFeed) result[length++] = carriageReturn
      this.isHeld = byte === carriageReturn && !this.isQuoted
      if (byte === quote) this.isQuoted = !this.isQuoted
      if (!this.isHeld) result[length++] = byte
    }
    return result.subarray(0, length)
  }

  /** The held-back rest. */
  end(): Uint8Array {
    const rest = this.isHeld ? Uint8Array.of(carriageReturn) : new Uint8Array(0)
    this.isHeld = false
    return rest
  }

  private countQuotes(chunk: Uint8Array): void {
    for (let at = chunk.indexOf(quote); at !== -1; at = chunk.indexOf(quote, at + 1)) {
      this.isQuoted = !this.isQuoted
    }
  }
}
