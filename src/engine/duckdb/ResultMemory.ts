/**
 * The memory held by the results in progress of an engine. All of it waits for readers, and most of it is
 * counted nowhere: DuckDB counts a text in its buffer as 16 bytes, and the values in its expressions not at
 * all. So the memory is estimated from the length of the rows.
 */
import * as Slices from "./Slices.ts"

const MiB = 1024 * 1024

/**
 * How much DuckDB computes ahead of the reader of a single result, in bytes of its own count: a row of text
 * takes 40, and more if it is long. The first rows are returned once 0.6 of this is full, and a thread that
 * works on a later batch of rows (122 880 of a table) stops at 0.4. A larger buffer would be faster, but the
 * first rows would come later: after some 60 ms with 10 MB.
 */
const bufferBytes = 8_000_000

/** With as many results in progress as DuckDB has threads, a query needs no second thread. In bytes. */
const minBufferBytes = 256_000

const bytesOfRow = 40

/**
 * DuckDB continues only once its own buffer has been emptied, so chunks are fetched as soon as they are
 * there. This many bytes may wait to be encoded for a single result: about as many as the buffer holds.
 */
const aheadBytes = 16 * MiB
const minAheadBytes = MiB / 2

/** Encoded bytes that wait for the socket, and the memory of a query before its first row. */
const encodedBytes = 2 * MiB

/** Rows of one DuckDB vector. Each thread keeps those that it has computed last, long or not. */
const vectorRows = 2048

export interface Options {
  /** Above this many bytes there {@link ResultMemory.isFull | is no room} for another result. */
  readonly maxResultMemory: number
  /** The number of DuckDB's threads. */
  readonly threads: number
}

export class ResultMemory {
  private readonly options: Options
  private results = 0
  private bytes = 0
  private changed = 0

  constructor(options: Options) {
    this.options = options
  }

  get isFull(): boolean {
    return this.bytes >= this.options.maxResultMemory
  }

  /** By how many bytes the results have grown or shrunk since the last call. */
  takeChanged(): number {
    const { changed } = this
    this.changed = 0
    return changed
  }

  /** The share of one more result, which is smaller the more results there are. It must be closed. */
  open(): Share {
    const { threads } = this.options
    const among = ++this.results
    const isFew = among <= threads
    let held = encodedBytes
    const hold = (bytes: number) => {
      this.bytes += bytes - held
      this.changed += Math.abs(bytes - held)
      held = bytes
    }
    const share = {
      bufferBytes: isFew ? Math.max(minBufferBytes, Math.floor(bufferBytes / among)) : minBufferBytes,
      aheadBytes: isFew ? Math.max(minAheadBytes, Math.floor(aheadBytes / among)) : minAheadBytes
    }
    this.bytes += held
    return {
      ...share,
      made: (rows, bytes) => hold(estimate(share, threads, rows, bytes)),
      close: () => {
        hold(encodedBytes)
        this.bytes -= encodedBytes
        this.results--
      }
    }
  }
}

export interface Share {
  /** How much DuckDB may compute ahead, in bytes of its own count. */
  readonly bufferBytes: number
  /** How many bytes may wait to be encoded. */
  readonly aheadBytes: number
  /** Records the rows so far of a result, and their bytes. */
  readonly made: (rows: number, bytes: number) => void
  readonly close: () => void
}

/** Assumes that the rest of the result is like the rows so far. */
const estimate = (
  share: Pick<Share, "aheadBytes" | "bufferBytes">,
  threads: number,
  rows: number,
  bytes: number
): number => {
  const rowBytes = bytes / Math.max(rows, 1)
  const buffered = (share.bufferBytes / bytesOfRow) * Math.min(rowBytes, Slices.longRow)
  return encodedBytes + share.aheadBytes + buffered + Math.min(rows, vectorRows) * rowBytes * threads
}
