/**
 * The memory that a socket reads into.
 *
 * Left to itself Node takes 64 KiB for each read, however much arrives, and reads no more at a time. Here a read
 * fills what is left of a larger piece, and what it brought is handed on as a view. Only a little is copied: a
 * view would keep the whole piece alive for it.
 */
import { Buffer } from "node:buffer"

/** Bytes of one piece. Much larger ones are colder in the processor's caches, and many connections hold many. */
const pieceSize = 256 * 1024
/** A piece with less room than this is given up for a fresh one. */
const leastRoom = 64 * 1024
/** What is shorter than this is copied, and the least of it into Node's own pool. */
const leastView = 32 * 1024

export class ReadMemory {
  private free = Buffer.alloc(0)
  /** Whether somebody has been given what lies where the next read goes. */
  private lent = false
  /** Whether whoever is given a view has done with it before there is another read. */
  reused = false

  /** Where the next read goes. */
  readonly room = (): Uint8Array => {
    const least = this.reused ? pieceSize : leastRoom
    if (this.free.length < least || (this.lent && !this.reused)) {
      this.free = Buffer.allocUnsafeSlow(pieceSize)
      this.lent = false
    }
    return this.free
  }

  /** What a read brought, as bytes that nothing else will be written to, unless memory is reused. */
  take(length: number): Uint8Array {
    const read = this.free.subarray(0, length)
    if (length < leastView) return Buffer.from(read)
    if (this.reused) this.lent = true
    else this.free = this.free.subarray(length)
    return read
  }
}
