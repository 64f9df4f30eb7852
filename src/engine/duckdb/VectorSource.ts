/**
 * DuckDB's vectors as readable memory.
 */
import duckdb from "@duckdb/node-bindings"
import * as Validity from "./Validity.ts"

/**
 * A vector of a chunk. The bindings copy the memory on each read, so it is read once for all
 * batches of a chunk.
 */
export class Source {
  readonly vector: duckdb.Vector
  /** How many rows it holds, valid or not. */
  readonly size: number
  private data: Uint8Array | undefined
  private validity: Validity.Validity | undefined
  private readonly children: Array<Source> = []

  constructor(vector: duckdb.Vector, size: number) {
    this.vector = vector
    this.size = size
  }

  /** The rows, of this many bytes each. */
  bytes(width: number): Uint8Array {
    this.data ??= duckdb.vector_get_data(this.vector, this.size * width)
    return this.data
  }

  get isValid(): Validity.Validity {
    this.validity ??= Validity.make(this.vector, this.size)
    return this.validity
  }

  child(index: number, vector: () => duckdb.Vector, size: number): Source {
    this.children[index] ??= new Source(vector(), size)
    return this.children[index]
  }
}
