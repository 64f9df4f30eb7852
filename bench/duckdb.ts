/**
 * How fast the DuckDB engine streams, to one client and to eight at once, against DuckDB's own
 * `COPY … TO '/dev/null'`.
 *
 *     npm run bench -- duckdb [--rows 5000000] [--repeats 5]
 *
 * Outputs are compared before anything is timed. Repeats are interleaved, so that a busy machine is unfair to
 * all alike; the table shows medians. `COPY` computes on all cores and hands its bytes to nobody. The eight ask
 * for an eighth of the rows each, so that a run moves as much as one client's.
 */
import { type ChildProcess, fork } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { createReadStream } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Environment from "../src/engine/duckdb/Environment.ts"
import { DuckDbEngine } from "../src/engine/duckdb/index.ts"
import * as QueryApi from "../src/engine/QueryApi.ts"
import type { QueryEngine } from "../src/engine/QueryEngine.ts"
import type { Measurement, Run } from "./support/DuckDbClients.ts"

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
    const accepted = yield* engine.init(QueryApi.encodeRequest({ query: "FROM measured", format }))
    yield* Stream.runForEach(accepted.chunks, (bytes) =>
      Effect.sync(() => {
        hash.update(edit(bytes))
      })
    )
    return hash.digest("hex")
  }).pipe(Effect.scoped)

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

/** A process that answers each message, in the environment of the command. */
const start = (script: string, database: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = fileURLToPath(new URL(`./support/${script}.ts`, import.meta.url))
      return fork(path, [database], { env: { ...process.env, ...Environment.defaults } })
    }),
    (child) => Effect.sync(() => child.kill())
  )

const ask = async <A>(child: ChildProcess, message: Run | string): Promise<A> => {
  const over = new AbortController()
  const ended = once(child, "exit", over).then(([code]) => {
    throw new Error(`a process that is measured ended with ${code}`)
  })
  child.send(message)
  try {
    const [answer] = await Promise.race([once(child, "message", over), ended])
    return answer as A
  } finally {
    over.abort()
  }
}

const round = (value: number, digits = 0): number | null =>
  Number.isNaN(value) ? null : Number(value.toFixed(digits))

const row = (run: Run, measured: ReadonlyArray<Measurement>, copies: ReadonlyArray<number>) => {
  const bytes = measured[0]?.bytes ?? 0
  const speed = bytes / 1e3 / median(measured.map(({ milliseconds }) => milliseconds))
  const copySpeed = bytes / 1e3 / median(copies)
  return {
    format: run.format,
    clients: run.clients,
    megabytes: round(bytes / 1e6),
    mbPerSecond: round(speed),
    copyMbPerSecond: round(copySpeed),
    ratio: round(speed / copySpeed, 2),
    firstByteMs: round(median(measured.map(({ firstByteMs }) => firstByteMs)), 1),
    peakRssMb: round(Math.max(...measured.map(({ peakRssMb }) => peakRssMb)))
  }
}

const measure = Effect.fnUntraced(function* (database: string) {
  const copier = yield* start("DuckDbCopy", database)
  const runs = QueryApi.Format.literals.flatMap(
    (format): ReadonlyArray<Run> => [
      { clients: 1, format, query: "FROM measured" },
      { clients: 8, format, query: "FROM eighth" }
    ]
  )
  const results: Array<ReturnType<typeof row>> = []
  for (const run of runs) {
    const server = yield* start("DuckDbClients", database)
    const measured: Array<Measurement> = []
    const options = copies[run.format]
    const copied: Array<number> = []
    const repeat = Effect.promise(async () => {
      if (options !== undefined) copied.push(await ask<number>(copier, options))
      measured.push(await ask<Measurement>(server, run))
    })
    // The first also pays for a process that has just started.
    yield* repeat
    copied.length = measured.length = 0
    yield* Effect.replicateEffect(repeat, repeats, { discard: true })
    results.push(row(run, measured, copied))
    server.disconnect()
  }
  return results
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
    await connection.run(`CREATE TABLE eighth AS FROM measured LIMIT ${Math.floor(rows / 8)}`)
    connection.disconnectSync()
    instance.closeSync()
  })
  const instance = yield* Effect.promise(() => DuckDBInstance.create(database, { access_mode: "READ_ONLY" }))
  const connection = yield* Effect.promise(() => instance.connect())
  const copy = (path: string, options: string) => connection.run(`COPY measured TO '${path}' (${options})`)
  yield* Effect.scoped(
    Effect.flatMap(DuckDbEngine.make({ database }), (engine) => verify(engine, copy, directory))
  )
  const results = yield* measure(database)
  console.table(results)
  return results
})

export const run = () => Effect.runPromise(Effect.scoped(program))
