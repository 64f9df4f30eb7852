/**
 * CSV with the line breaks of the system it is read on: LF. RFC 4180 has CRLF.
 */

const carriageReturn = 0x0d
const lineFeed = 0x0a
const quote = 0x22

/** Takes chunks of CSV, cut anywhere, and gives them back with LF for each CRLF that ends a row. */
export class LineBreaks {
  private isQuoted = false
  /** A carriage return at the end of a chunk, which has been kept back. */
  private isHeld = false

  /** A chunk; it may be the one that was given, if there is nothing to change. */
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

  /** What was kept back. */
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
