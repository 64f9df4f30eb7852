/**
 * The reason why a streaming result ended early.
 *
 * DuckDB keeps the error with the result, and its C API has a call for it (`duckdb_result_error`). The
 * bindings do not expose that call: for them a failed stream ends like a complete one. But they can read
 * memory at a pointer, so the error is read where DuckDB keeps it. Running the query again is no alternative:
 * it counts sequences twice, and may fail differently or not at all.
 *
 * Only recognised memory is followed. The bindings mark the memory behind a handle with a tag, and the place
 * of the error in a result is found with a known error. Where either fails, as with another build of the
 * bindings, the error stays unknown.
 */
import { inspect } from "node:util"
import { DuckDBInstance, type DuckDBResult } from "@duckdb/node-api"
import duckdb from "@duckdb/node-bindings"

/** Most bytes of an error that are read; `Failure.fromCause` reads no more characters. */
const maxErrorBytes = 256 * 1024

const wordBytes = 8

/** Node shows the address of a handle. */
const handlePattern = /^\[External: ([0-9a-f]+)\]$/

/** Node's wrapper of a handle is a reference, the pointer, and the two words of the tag. */
const wrapper = { words: 4, pointer: 1, tag: 2 } as const

/** `ResultTypeTag` of the bindings. */
const tag: readonly [bigint, bigint] = [0x08f7fe3ae12345e5n, 0x8733310dc29372d9n]

/** `duckdb_result` of the C API: its last word points to the holder of the result. */
const handle = { words: 6, held: 5 } as const

/** How many words of a result are searched for the error. */
const searchedWords = 40

/** The range of pointers in a process. */
const isPointer = (word: bigint): boolean => word > 0xffffn && word < 1n << 48n

const read = (pointer: bigint, bytes: number): Buffer => {
  const memory = duckdb.get_data_from_pointer(BigUint64Array.of(pointer).buffer, 0, bytes)
  const copy = Buffer.from(memory)
  ;(memory.buffer as ArrayBuffer).transfer(0)
  return copy
}

const readWords = (pointer: bigint, count: number): ReadonlyArray<bigint> => {
  const bytes = read(pointer, count * wordBytes)
  return Array.from({ length: count }, (_, index) => bytes.readBigUInt64LE(index * wordBytes))
}

/** The words of DuckDB's result, if they are at the expected place. */
const wordsOf = (result: DuckDBResult): ReadonlyArray<bigint> | undefined => {
  const { result: external } = result as unknown as { readonly result: duckdb.Result }
  const address = handlePattern.exec(inspect(external))?.[1]
  if (address === undefined) return undefined
  const wrapped = readWords(BigInt(`0x${address}`), wrapper.words)
  if (wrapped[wrapper.tag] !== tag[0] || wrapped[wrapper.tag + 1] !== tag[1]) return undefined
  const held = readWords(wrapped[wrapper.pointer] as bigint, handle.words)[handle.held] as bigint
  if (!isPointer(held)) return undefined
  const [pointer = 0n] = readWords(held, 1)
  return isPointer(pointer) ? readWords(pointer, searchedWords) : undefined
}

/** A text is a pointer and a length, in adjacent words. */
const textAt = (words: ReadonlyArray<bigint>, index: number): string | undefined => {
  const [pointer = 0n, length = 0n] = words.slice(index, index + 2)
  if (length === 0n || !isPointer(pointer)) return undefined
  return read(pointer, Math.min(Number(length), maxErrorBytes)).toString()
}

/** Long enough that no other number in a result is its length. */
const known = "x".repeat(4099)
const knownError = JSON.stringify({ exception_type: "Invalid Input", exception_message: known })

/** Fails once more rows exist than its connection's buffer holds. */
const failing = `SELECT CASE WHEN r = 200000 THEN error('${known}') END FROM range(300000) AS t(r)`

/** The place of the error in the words of a result. Determined once, with a separate instance. */
const find = async (): Promise<number | undefined> => {
  const instance = await DuckDBInstance.create(":memory:", { errors_as_json: "true", threads: "1" })
  try {
    const connection = await instance.connect()
    await connection.run("SET streaming_buffer_size = '1KB'")
    const result = await connection.stream(failing)
    for (let rows = 1; rows > 0; ) rows = (await result.fetchChunk())?.rowCount ?? 0
    const words = wordsOf(result) ?? []
    connection.disconnectSync()
    const index = words.indexOf(BigInt(knownError.length)) - 1
    return index >= 0 && textAt(words, index) === knownError ? index : undefined
  } finally {
    instance.closeSync()
  }
}

let place: Promise<number | undefined> | undefined

/**
 * DuckDB's error of a result whose rows have been fetched to their end; `undefined` if there is none
 * or none is found.
 */
export const of = async (result: DuckDBResult): Promise<string | undefined> => {
  place ??= find().catch(() => undefined)
  const index = await place
  if (index === undefined) return undefined
  const words = wordsOf(result)
  return words && textAt(words, index)
}
