/**
 * The work of a load's threads, as plain data that can be sent to a thread.
 */
import * as Zlib from "node:zlib"

/** The properties of a correct result. */
export interface Expected {
  readonly bytes: number
  /** CRC-32 of the result; absent if only its length is known. */
  readonly crc32?: number | undefined
}

/** Requests of one kind. */
export interface Kind {
  readonly name: string
  /** The body of each request; `undefined` for connections that send none. */
  readonly request: Uint8Array | undefined
  readonly expected?: Expected | undefined
  /** Whether each response is cancelled once bytes of it have arrived. */
  readonly cancels?: boolean | undefined
}

/** The part of one thread. */
export interface Task {
  /** In the form of `Address.parse`. */
  readonly server: string
  readonly kinds: ReadonlyArray<Kind>
  /** For each connection the index of its kind. */
  readonly connections: ReadonlyArray<number>
  /** Requests per second of this thread, on a fixed schedule; if absent, as fast as responses come. */
  readonly rate?: number | undefined
  /** Most requests of each connection. */
  readonly requests: number
  /** How long requests are sent, in milliseconds. */
  readonly durationMillis: number
  /** How long responses may take to end after that, in milliseconds. */
  readonly graceMillis: number
  readonly connectTimeoutMillis: number
}

/** Distributes the connections of a load round-robin, so that each thread has some of every kind. */
export const split = (task: Task, threads: number): ReadonlyArray<Task> => {
  const count = Math.max(1, Math.min(threads, task.connections.length))
  return Array.from({ length: count }, (_, thread) => ({
    ...task,
    connections: task.connections.filter((_, index) => index % count === thread),
    rate: task.rate === undefined ? undefined : task.rate / count
  }))
}

/**
 * Distributes `count` connections among kinds by their weights, such as 7 to 2 to 1. Each kind
 * has at least one.
 */
export const weigh = (weights: ReadonlyArray<number>, count: number): ReadonlyArray<number> => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const taken = weights.map(() => 0)
  return Array.from({ length: count }, (_, given) => {
    // The kind that is furthest below its share.
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

/** The bytes of a line of {@link sized}, including its end. */
const lineBytes = 1000
const line = `{"v":"${"x".repeat(lineBytes - '{"v":""}\n'.length)}"}\n`

/** A query that any DuckDB server can run, with a known NDJSON result. */
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
