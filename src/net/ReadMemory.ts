/**
 * The read memory of a dialled socket.
 *
 * By default Node allocates 64 KiB for each read, however little arrives, and reads no more at a time. Here a
 * read fills the rest of a larger block, and its bytes are passed on as an owned chunk. A block is reused
 * once all of its chunks have been released. Small reads are copied: a view would keep the whole block alive.
 * A socket with little traffic reads into a small buffer of its own and keeps no block.
 */
import { Buffer } from "node:buffer"
import * as Chunk from "./Chunk.ts"

/**
 * The size of a block in bytes. Much larger blocks are colder in the processor's caches, and many connections
 * hold many.
 */
const blockSize = 256 * 1024
/** A block with less room than this is replaced. */
const leastRoom = 64 * 1024
/** Reads shorter than this are copied, and small ones of them into Node's own pool. */
const leastView = 32 * 1024
/**
 * The size of the buffer for sockets with little traffic. A read that fills it is followed by one into a
 * block.
 */
const smallSize = 16 * 1024
/**
 * A socket has little traffic after this many copied reads in a row, or after one read of at most `tiny`
 * bytes.
 */
const fewReads = 8
const tiny = 1024
/** The number of released blocks that the thread keeps for the next reads. */
const maxSpare = 16

class Block {
  readonly memory = Buffer.allocUnsafeSlow(blockSize)
  /** The offset of the next read. */
  at = 0
  chunks = 0

  take(length: number, released: (block: Block) => void): Uint8Array {
    const { buffer, byteOffset } = this.memory
    const view = new Uint8Array(buffer, byteOffset + this.at, length)
    this.at += length
    this.chunks++
    return Chunk.owned(view, () => {
      if (--this.chunks === 0) released(this)
    })
  }
}

/** Released blocks, of all sockets. */
const spare: Array<Block> = []

export class ReadMemory {
  private small: Buffer | undefined
  /** The target of large reads, if the last ones were large. */
  private block: Block | undefined
  private shortReads = 0

  /** The target of the next read, which may be under way from now until its bytes are taken. */
  readonly room = (): Uint8Array => {
    let { block } = this
    if (block === undefined) {
      this.small ??= Buffer.allocUnsafeSlow(smallSize)
      return this.small
    }
    // Not when the last chunk is released: a read may be under way then.
    if (block.chunks === 0) block.at = 0
    if (blockSize - block.at < leastRoom) block = spare.pop() ?? new Block()
    this.block = block
    return block.at === 0 ? block.memory : block.memory.subarray(block.at)
  }

  /** The bytes of a read. */
  take(length: number): Uint8Array {
    const { block, small } = this
    if (block === undefined) {
      if (small === undefined) throw new Error("A read brought bytes into no block")
      if (length === smallSize) this.block = spare.pop() ?? new Block()
      return Buffer.from(small.subarray(0, length))
    }
    if (length >= leastView) {
      this.shortReads = 0
      return block.take(length, this.released)
    }
    const bytes = Buffer.from(block.memory.subarray(block.at, block.at + length))
    if (length <= tiny || ++this.shortReads === fewReads) this.giveUp(block)
    return bytes
  }

  private giveUp(block: Block): void {
    this.shortReads = 0
    this.block = undefined
    if (block.chunks === 0) keep(block)
  }

  private readonly released = (block: Block): void => {
    if (block !== this.block) keep(block)
  }
}

/** For the next reads of any socket. */
const keep = (block: Block): void => {
  if (spare.length === maxSpare) return
  block.at = 0
  spare.push(block)
}
