/**
 * What the threads of a load are to do, as plain data that a thread can be given.
 */
import * as Zlib from "node:zlib"

/** What a complete result must be. */
export interface Expected {
  readonly bytes: number
  /** CRC-32 of the result; left out where only its length is known. */
  readonly crc32?: number | undefined
}

/** Requests of one kind. */
export interface Kind {
  readonly name: string
  /** The body of each request; `undefined` for connections that ask for nothing. */
  readonly request: Uint8Array | undefined
  readonly expected?: Expected | undefined
  /** Whether each response is cancelled once bytes of it have come. */
  readonly cancels?: boolean | undefined
}

/** The part of one thread. */
export interface Task {
  /** As `Address.parse` reads it. */
  readonly server: string
  readonly kinds: ReadonlyArray<Kind>
  /** For each connection the index of its kind. */
  readonly connections: ReadonlyArray<number>
  /** Requests a second of this thread, at times of their own; as fast as responses come where it is left out. */
  readonly rate?: number | undefined
  /** How many requests each connection makes at most. */
  readonly requests: number
  /** For how long requests are begun, in milliseconds. */
  readonly durationMillis: number
  /** How long responses may take to end after that, in milliseconds. */
  readonly graceMillis: number
  readonly connectTimeoutMillis: number
}

/** Shares the connections of a load out, one after the other, so that each thread has some of every kind. */
export const split = (task: Task, threads: number): ReadonlyArray<Task> => {
  const count = Math.max(1, Math.min(threads, task.connections.length))
  return Array.from({ length: count }, (_, thread) => ({
    ...task,
    connections: task.connections.filter((_, index) => index % count === thread),
    rate: task.rate === undefined ? undefined : task.rate / count
  }))
}

/** Shares `count` connections out among kinds by their weights, such as 7 to 2 to 1. Each kind has at least one. */
export const weigh = (weights: ReadonlyArray<number>, count: number): ReadonlyArray<number> => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const taken = weights.map(() => 0)
  return Array.from({ length: count }, (_, given) => {
    // The kind that is furthest behind its share.
    let next = 0
    let most = Number.NEGATIVE_INFINITY
    weights.forEach((weight, kind) => {
      const behind = taken[kind] === 0 ? weight + total : ((given + 1) * weight) / total - (taken[kind] ?? 0)
      if (behind > most) [next, most] = [kind, behind]
    })
    taken[next] = (taken[next] ?? 0) + 1
    return next
  })
}

/** The bytes of a line of {@link sized}, its end included. */
const lineBytes = 1000
const line = `{"v":"${"x".repeat(lineBytes - '{"v":""}\n'.length)}"}\n`

/** A query whose NDJSON result any DuckDB server makes, and is known to the byte. */
export const sized = (bytes: number): { readonly query: string; readonly expected: Expected } => {
  const rows = Math.max(1, Math.round(bytes / lineBytes))
  const block = Buffer.from(line.repeat(100))
  let crc32 = 0
  for (let left = rows; left > 0; left -= 100) {
    crc32 = Zlib.crc32(left >= 100 ? block : block.subarray(0, left * lineBytes), crc32)
  }
  return {
    query: `SELECT repeat('x', ${lineBytes - '{"v":""}\n'.length}) AS v FROM range(${rows})`,
    expected: { bytes: rows * lineBytes, crc32 }
  }
}
