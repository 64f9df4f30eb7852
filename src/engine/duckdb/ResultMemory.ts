/**
 * What the results of an engine that are under way hold of the memory. All of it waits for readers, and most of it is
 * counted nowhere: DuckDB counts a text in its buffer as 16 bytes, and the values in its expressions not at all. So
 * it is computed from the length of the rows.
 */
import * as Slices from "./Slices.ts"

const MiB = 1024 * 1024

/**
 * What DuckDB computes ahead of the reader of a result that is alone, in the bytes of its own count: a row of text
 * takes 40, and more if it is long. The first rows are handed over once 0.6 of this is full, and a thread that works
 * on a later batch of rows (122 880 of a table) stops where 0.4 is. More would be faster, but the first rows would
 * come later: after some 60 ms with 10 MB.
 */
const bufferBytes = 8_000_000

/** Where as many results as DuckDB has threads are under way, a query needs no second thread. In bytes. */
const minBufferBytes = 256_000

const bytesOfRow = 40

/**
 * DuckDB goes on computing only once its own buffer has been emptied, so chunks are taken out of it as soon as they
 * are there. This many bytes may wait to be encoded, of a result that is alone: about what the buffer holds.
 */
const aheadBytes = 16 * MiB
const minAheadBytes = MiB / 2

/** What is encoded and waits for the socket, and what a query takes before its first row. */
const encodedBytes = 2 * MiB

/** Rows of one of DuckDB's vectors. Each thread keeps those that it has computed last, long or not. */
const vectorRows = 2048

export interface Options {
  /** Beyond this many bytes there {@link ResultMemory.isFull | is no room} for another result. */
  readonly maxResultMemory: number
  /** How many threads DuckDB has. */
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

  /** By how many bytes results have come to hold more or less since this was asked last. */
  takeChanged(): number {
    const { changed } = this
    this.changed = 0
    return changed
  }

  /** What one more result may have: the less, the more there are. It is to be closed. */
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
  /** What DuckDB may compute ahead, in the bytes of its own count. */
  readonly bufferBytes: number
  /** How many bytes may wait to be encoded. */
  readonly aheadBytes: number
  /** Counts a result of which there have been so many rows, of so many bytes in all. */
  readonly made: (rows: number, bytes: number) => void
  readonly close: () => void
}

/** The result is taken to go on as it has begun. */
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
