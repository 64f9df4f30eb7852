/**
 * How fast the DuckDB engine streams, against DuckDB's own `COPY … TO '/dev/null'`.
 *
 *     npm run bench -- duckdb [--rows 5000000] [--repeats 5]
 *
 * Outputs are compared before anything is timed. Repeats are interleaved, so that a busy machine is unfair to
 * all alike; the table shows medians. `COPY` computes on all cores and hands its bytes to nobody.
 */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { DuckDbEngine } from "../src/engine/duckdb/index.ts"
import * as QueryApi from "../src/engine/QueryApi.ts"
import type { QueryEngine } from "../src/engine/QueryEngine.ts"

const { values: flags } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { rows: { type: "string" }, repeats: { type: "string" }, quick: { type: "boolean" } }
})
const rows = Number(flags.rows ?? (flags.quick ? 100_000 : 5_000_000))
const repeats = Number(flags.repeats ?? (flags.quick ? 1 : 5))

const table = `CREATE TABLE measured AS SELECT
  i AS id,
  TIMESTAMP '2024-01-02 09:30:00' + to_microseconds(i * 4700) AS ts,
  'SYM' || (i * 7919 % 500) AS symbol,
  round(100 + (i * 104729 % 100003) / 997.0, 4) AS price,
  (i * 31 % 10000)::INTEGER AS size,
  'order ' || (i * 15485863 % 9999991) || ' filled on venue ' || (i % 17) AS note
FROM range(${rows}) AS numbers(i)`

const copies: Partial<Record<QueryApi.Format, string>> = {
  "application/json": "FORMAT json, ARRAY true",
  "application/x-ndjson": "FORMAT json",
  "text/csv": "FORMAT csv, HEADER true",
  "application/vnd.apache.parquet": "FORMAT parquet"
}

interface Measurement {
  readonly bytes: number
  readonly milliseconds: number
  readonly firstByteMs: number
  readonly peakRssMb: number
}

const stream = (
  engine: QueryEngine["Service"],
  format: QueryApi.Format,
  each: (bytes: Uint8Array) => void
): Effect.Effect<Measurement, unknown> =>
  Effect.scoped(
    Effect.gen(function* () {
      const started = performance.now()
      const accepted = yield* engine.init(QueryApi.encodeRequest({ query: "FROM measured", format }))
      let bytes = 0
      let firstByteMs = 0
      let peakRssMb = 0
      let count = 0
      yield* Stream.runForEach(accepted.chunks, (chunk) =>
        Effect.sync(() => {
          if (bytes === 0) firstByteMs = performance.now() - started
          bytes += chunk.length
          if (count++ % 64 === 0) peakRssMb = Math.max(peakRssMb, process.memoryUsage.rss() / 1e6)
          each(chunk)
        })
      )
      return { bytes, milliseconds: performance.now() - started, firstByteMs, peakRssMb }
    })
  )

/** The hash of a file, of what `edit` makes of each piece of it. */
const hashFile = async (path: string, edit: (bytes: Buffer) => Buffer | string): Promise<string> => {
  const hash = createHash("sha256")
  for await (const bytes of createReadStream(path)) hash.update(edit(bytes as Buffer))
  return hash.digest("hex")
}

const hashStream = (
  engine: QueryEngine["Service"],
  format: QueryApi.Format,
  edit: (bytes: Uint8Array) => Uint8Array | string
) =>
  Effect.gen(function* () {
    const hash = createHash("sha256")
    yield* stream(engine, format, (bytes) => {
      hash.update(edit(bytes))
    })
    return hash.digest("hex")
  })

const same = (bytes: Buffer): Buffer => bytes
const withoutCr = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1").replaceAll("\r", "")

/** Fails unless the engine's NDJSON and CSV are COPY's, but for CSV's line ends, and its JSON is the NDJSON. */
const verify = Effect.fnUntraced(function* (
  engine: QueryEngine["Service"],
  copy: (path: string, options: string) => Promise<unknown>,
  directory: string
) {
  const path = join(directory, "expected")
  const copied = (options: string, edit: (bytes: Buffer) => Buffer | string) =>
    Effect.promise(async () => {
      await copy(path, options)
      return await hashFile(path, edit)
    })
  const expect = (what: string, expected: string, actual: string) =>
    expected === actual ? Effect.void : Effect.die(new Error(`${what} differs from COPY's`))
  yield* expect(
    "NDJSON",
    yield* copied("FORMAT json", same),
    yield* hashStream(engine, "application/x-ndjson", (bytes) => bytes)
  )
  yield* expect(
    "CSV",
    yield* copied("FORMAT csv, HEADER true", (bytes) => bytes.toString("latin1")),
    yield* hashStream(engine, "text/csv", withoutCr)
  )
  // COPY's array has line feeds and tabs between its elements.
  yield* expect(
    "JSON",
    yield* copied("FORMAT json, ARRAY true", (bytes) => bytes.toString("latin1").replaceAll(/[\n\t]/g, "")),
    yield* hashStream(engine, "application/json", (bytes) => Buffer.from(bytes).toString("latin1"))
  )
})

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const measure = Effect.fnUntraced(function* (
  engine: QueryEngine["Service"],
  copy: (path: string, options: string) => Promise<unknown>
) {
  const measured = new Map<QueryApi.Format, Array<Measurement>>()
  const baselines = new Map<QueryApi.Format, Array<number>>()
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const format of QueryApi.Format.literals) {
      const options = copies[format]
      if (options !== undefined) {
        const started = performance.now()
        yield* Effect.promise(() => copy("/dev/null", options))
        baselines.set(format, [...(baselines.get(format) ?? []), performance.now() - started])
      }
      const measurement = yield* stream(engine, format, () => {})
      measured.set(format, [...(measured.get(format) ?? []), measurement])
    }
  }
  return QueryApi.Format.literals.map((format) => {
    const runs = measured.get(format) ?? []
    const bytes = runs[0]?.bytes ?? 0
    const speed = bytes / 1e3 / median(runs.map(({ milliseconds }) => milliseconds))
    const copySpeed = bytes / 1e3 / median(baselines.get(format) ?? [])
    return {
      format,
      rows,
      megabytes: Math.round(bytes / 1e6),
      mbPerSecond: Math.round(speed),
      copyMbPerSecond: Number.isNaN(copySpeed) ? null : Math.round(copySpeed),
      ratio: Number.isNaN(copySpeed) ? null : Number((speed / copySpeed).toFixed(2)),
      firstByteMs: Number(median(runs.map(({ firstByteMs }) => firstByteMs)).toFixed(1)),
      peakRssMb: Math.round(Math.max(...runs.map(({ peakRssMb }) => peakRssMb)))
    }
  })
})

const program = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "dataconn-bench-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true }))
  )
  const database = join(directory, "bench.duckdb")
  yield* Effect.promise(async () => {
    const instance = await DuckDBInstance.create(database)
    const connection = await instance.connect()
    await connection.run(table)
    connection.disconnectSync()
    instance.closeSync()
  })
  const instance = yield* Effect.promise(() => DuckDBInstance.create(database, { access_mode: "READ_ONLY" }))
  const connection = yield* Effect.promise(() => instance.connect())
  const copy = (path: string, options: string) => connection.run(`COPY measured TO '${path}' (${options})`)
  const engine = yield* DuckDbEngine.make({ database })

  yield* verify(engine, copy, directory)
  const results = yield* measure(engine, copy)
  console.table(results)
  return results
})

export const run = () => Effect.runPromise(Effect.scoped(program))
