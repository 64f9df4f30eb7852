/**
 * The memory that a dialled socket reads into.
 *
 * Left to itself Node takes 64 KiB for each read, however much arrives, and reads no more at a time. Here a read
 * fills what is left of a larger block, and its bytes are handed on as an owned chunk. A block is read into again
 * once all of its chunks have been released. Small reads are copied: a view would keep the whole block alive. A socket
 * that brings little reads into a small buffer of its own, and keeps no block.
 */
import { Buffer } from "node:buffer"
import * as Chunk from "./Chunk.ts"

/** Bytes of one block. Much larger ones are colder in the processor's caches, and many connections hold many. */
const blockSize = 256 * 1024
/** A block with less room than this is given up for another one. */
const leastRoom = 64 * 1024
/** Reads shorter than this are copied, and small ones of them into Node's own pool. */
const leastView = 32 * 1024
/** Where a socket reads that brings little. A read that fills it is followed by one into a block. */
const smallSize = 16 * 1024
/** After so many reads in a row that were copied, a socket brings little, and after one that was as short as this. */
const fewReads = 8
const tiny = 1024
/** How many released blocks the thread keeps for the next reads. */
const maxSpare = 16

class Block {
  readonly memory = Buffer.allocUnsafeSlow(blockSize)
  /** Where the next read goes. */
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
  /** Where large reads go, if the last ones were large. */
  private block: Block | undefined
  private shortReads = 0

  /** Where the next read goes: it may be under way from now on, until its bytes are taken. */
  readonly room = (): Uint8Array => {
    let { block } = this
    if (block === undefined) {
      this.small ??= Buffer.allocUnsafeSlow(smallSize)
      return this.small
    }
    // Not as soon as the last chunk is released: a read may be under way then.
    if (block.chunks === 0) block.at = 0
    if (blockSize - block.at < leastRoom) block = spare.pop() ?? new Block()
    this.block = block
    return block.at === 0 ? block.memory : block.memory.subarray(block.at)
  }

  /** The bytes that a read brought. */
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

/** For the next reads, of whichever socket. */
const keep = (block: Block): void => {
  if (spare.length === maxSpare) return
  block.at = 0
  spare.push(block)
}
