/**
 * The memory that a dialled socket reads into.
 *
 * Left to itself Node takes 64 KiB for each read, however much arrives, and reads no more at a time. Here a read
 * fills what is left of a larger block, and its bytes are handed on as an owned chunk. A block is read into again
 * once all of its chunks have been released. Small reads are copied: a view would keep the whole block alive.
 */
import { Buffer } from "node:buffer"
import * as Chunk from "./Chunk.ts"

/** Bytes of one block. Much larger ones are colder in the processor's caches, and many connections hold many. */
const blockSize = 256 * 1024
/** A block with less room than this is given up for another one. */
const leastRoom = 64 * 1024
/** Reads shorter than this are copied, and small ones of them into Node's own pool. */
const leastView = 32 * 1024
/** How many released blocks are kept for the next reads. */
const maxSpare = 2

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

export class ReadMemory {
  private block: Block | undefined
  private readonly spare: Array<Block> = []

  /** Where the next read goes: it may be under way from now on, until its bytes are taken. */
  readonly room = (): Uint8Array => {
    let { block } = this
    // Not as soon as the last chunk is released: a read may be under way then.
    if (block?.chunks === 0) block.at = 0
    if (block === undefined || blockSize - block.at < leastRoom) block = this.spare.pop() ?? new Block()
    this.block = block
    return block.at === 0 ? block.memory : block.memory.subarray(block.at)
  }

  /** The bytes that a read brought. */
  take(length: number): Uint8Array {
    const { block } = this
    if (block === undefined) throw new Error("A read brought bytes into no block")
    if (length >= leastView) return block.take(length, this.released)
    return Buffer.from(block.memory.subarray(block.at, block.at + length))
  }

  private readonly released = (block: Block): void => {
    if (block === this.block || this.spare.length === maxSpare) return
    block.at = 0
    this.spare.push(block)
  }
}
