/**
 * A DuckDB engine and its clients, in a process of its own: each message asks for one run, and the answer is
 * its measurement. The peak of memory is that of the process so far, so each kind of run gets a process.
 */
import { once } from "node:events"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { DuckDbEngine } from "../../src/engine/duckdb/index.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"

/** So many clients that all ask for the same at once. */
export interface Run {
  readonly clients: number
  readonly format: QueryApi.Format
  readonly query: string
}

export interface Measurement {
  /** Of all clients together. */
  readonly bytes: number
  readonly milliseconds: number
  /** Of the client that waited longest. */
  readonly firstByteMs: number
  readonly peakRssMb: number
}

/** What one client received, and when it began. */
const receive = Effect.fnUntraced(function* (engine: Engine, { format, query }: Run) {
  const started = performance.now()
  const accepted = yield* engine.init(QueryApi.encodeRequest({ query, format }))
  let bytes = 0
  let firstByteMs = 0
  yield* Stream.runForEachArray(accepted.chunks, (chunks) =>
    Effect.sync(() => {
      if (bytes === 0) firstByteMs = performance.now() - started
      for (const chunk of chunks) {
        bytes += chunk.length
        // As a connection does once it has written the chunk.
        Chunk.release(chunk)
      }
    })
  )
  return { bytes, firstByteMs }
}, Effect.scoped)

const measure = Effect.fnUntraced(function* (engine: Engine, run: Run) {
  const started = performance.now()
  const received = yield* Effect.all(
    Array.from({ length: run.clients }, () => receive(engine, run)),
    { concurrency: "unbounded" }
  )
  const measurement: Measurement = {
    bytes: received.reduce((sum, { bytes }) => sum + bytes, 0),
    milliseconds: performance.now() - started,
    firstByteMs: Math.max(...received.map(({ firstByteMs }) => firstByteMs)),
    peakRssMb: process.resourceUsage().maxRSS / 1e3
  }
  return measurement
})

const [, , database = ""] = process.argv

const nextRun = Effect.promise(() => once(process, "message")).pipe(Effect.map(([run]) => run as Run))

const program = Effect.gen(function* () {
  const engine = yield* DuckDbEngine.make({ database })
  while (true) process.send?.(yield* measure(engine, yield* nextRun))
}).pipe(Effect.scoped)

process.on("disconnect", () => process.exit())
Effect.runPromise(program).catch((cause) => {
  console.error(cause)
  process.exit(1)
})
