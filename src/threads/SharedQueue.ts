/**
 * A queue of bytes between two threads, in shared memory. One thread writes, the other one reads, and neither
 * waits for a lock. A thread that finds the queue full or empty records that, and the other one wakes it
 * (`ThreadTransport`).
 *
 * A header of 32-bit words precedes the bytes. The counts of bytes written and read are modulo 2^32; each
 * count is stored by one thread only.
 */

/** Words of the header. */
const written = 0
const read = 1
/** Whether to wake the reader when there are bytes or the end, and the writer when there is room. */
const readerWaits = 2
const writerWaits = 3
/** The writer's end of the queue: `open`, `ended` or `dropped`. */
const end = 4
/** Whether the reader has stopped for good. */
const abandoned = 5
const headerWords = 8
const headerSize = headerWords * Int32Array.BYTES_PER_ELEMENT

/** The ways a writer ends a queue; the header has their index. */
const ends = ["open", "ended", "dropped"] as const

export type End = (typeof ends)[number]

/**
 * Memory for a queue of `capacity` bytes, a power of two.
 */
export const allocate = (capacity: number): SharedArrayBuffer => {
  if (!Number.isInteger(Math.log2(capacity))) {
    throw new RangeError(`capacity must be a power of two, and is ${capacity}`)
  }
  return new SharedArrayBuffer(headerSize + capacity)
}

/** One thread's view of a queue, as the thread that writes or as the one that reads. */
export class SharedQueue {
  private readonly header: Int32Array
  private readonly bytes: Uint8Array
  private readonly capacity: number

  constructor(memory: SharedArrayBuffer) {
    this.header = new Int32Array(memory, 0, headerWords)
    this.bytes = new Uint8Array(memory, headerSize)
    this.capacity = this.bytes.length
  }

  /** How many bytes can be read. */
  get size(): number {
    return (Atomics.load(this.header, written) - Atomics.load(this.header, read)) >>> 0
  }

  /** How many bytes can be written. */
  get room(): number {
    return this.capacity - this.size
  }

  /** Writer: appends as many of the bytes as there is room for, and returns how many. */
  write(chunk: Uint8Array): number {
    const length = Math.min(chunk.length, this.room)
    const from = Atomics.load(this.header, written)
    const at = from & (this.capacity - 1)
    const first = Math.min(length, this.capacity - at)
    this.bytes.set(chunk.length === first ? chunk : chunk.subarray(0, first), at)
    if (length > first) this.bytes.set(chunk.subarray(first, length), 0)
    // The reader sees the count only after the bytes.
    Atomics.store(this.header, written, from + length)
    return length
  }

  /** Reader: takes as many bytes as there are and as fit, and returns how many. */
  read(into: Uint8Array): number {
    const length = Math.min(into.length, this.size)
    const from = Atomics.load(this.header, read)
    const at = from & (this.capacity - 1)
    const first = Math.min(length, this.capacity - at)
    into.set(this.bytes.subarray(at, at + first), 0)
    if (length > first) into.set(this.bytes.subarray(0, length - first), first)
    Atomics.store(this.header, read, from + length)
    return length
  }

  /** Writer: ends the queue. The first end counts. */
  end(how: "ended" | "dropped"): void {
    Atomics.compareExchange(this.header, end, 0, ends.indexOf(how))
  }

  /** Reader: stops reading for good. */
  abandon(): void {
    Atomics.store(this.header, abandoned, 1)
  }

  get ending(): End {
    return ends[Atomics.load(this.header, end)] ?? "dropped"
  }

  get isAbandoned(): boolean {
    return Atomics.load(this.header, abandoned) === 1
  }

  /** Reader: asks to be woken from now on. Bytes that came before must still be checked for. */
  awaitBytes(): void {
    Atomics.store(this.header, readerWaits, 1)
  }

  /** Writer: asks to be woken from now on. Room that came before must still be checked for. */
  awaitRoom(): void {
    Atomics.store(this.header, writerWaits, 1)
  }

  /** Writer, after a write: whether to wake the reader. Resets the request. */
  wakesReader(): boolean {
    return Atomics.exchange(this.header, readerWaits, 0) === 1
  }

  /** Reader, after a read: whether to wake the writer. Resets the request. */
  wakesWriter(): boolean {
    return Atomics.exchange(this.header, writerWaits, 0) === 1
  }
}
