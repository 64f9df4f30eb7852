/**
 * What it costs to run DuckDB in a process or a thread of its own: `dataconn serve` as it is, and with
 * `--isolate thread`, beside `--isolate none`.
 */
import { strict as assert } from "node:assert"
import { readdirSync, readFileSync } from "node:fs"
import { performance } from "node:perf_hooks"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Client from "../src/client/Client.ts"
import * as ClientPool from "../src/client/ClientPool.ts"
import * as Chunk from "../src/net/Chunk.ts"
import * as Figures from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import type * as Processes from "./support/Processes.ts"
import * as ServeCommand from "./support/ServeCommand.ts"
import * as Usage from "./support/Usage.ts"

const contenders = [
  { name: "in the server's process", args: ["--isolate", "none"] },
  { name: "in a thread", args: ["--isolate", "thread"] },
  { name: "isolated", args: ["--isolate", "process"] }
] as const

/** The server and the processes that it has started. */
const family = (pid: number): ReadonlyArray<number> => [
  pid,
  ...readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number)
  )
]

const format = "application/x-ndjson"

interface Taken {
  readonly millis: number
  readonly firstByteMillis: number
  readonly bytes: number
}

const take = (client: Client.ClientService, query: string): Effect.Effect<Taken, unknown> =>
  Effect.gen(function* () {
    const began = performance.now()
    let first = 0
    let bytes = 0
    const { chunks } = yield* client.query({ query, format })
    yield* Stream.runForEachArray(chunks, (batch) =>
      Effect.sync(() => {
        if (first === 0) first = performance.now()
        for (const chunk of batch) {
          bytes += chunk.length
          Chunk.release(chunk)
        }
      })
    )
    return { millis: performance.now() - began, firstByteMillis: first - began, bytes }
  }).pipe(Effect.scoped)

/** A case: what one server takes for it, in milliseconds, and the bytes of its results. */
type Case = (client: Client.ClientService, quick: boolean) => Effect.Effect<Taken, unknown>

const many = (connections: number): Case =>
  Effect.fnUntraced(function* (client, quick) {
    const each = Math.ceil((quick ? 20 : 600) / connections)
    const began = performance.now()
    const loop = Effect.forEach(Array.from({ length: each }), () => take(client, "SELECT 42 AS answer"), {
      discard: true
    })
    yield* Effect.all(
      Array.from({ length: connections }, () => loop),
      { concurrency: "unbounded", discard: true }
    )
    return { millis: (performance.now() - began) / (each * connections), firstByteMillis: 0, bytes: 0 }
  })

const cases: Readonly<Record<string, Case>> = {
  "bulk, 1 connection": (client, quick) =>
    take(
      client,
      `SELECT i AS id, 'order ' || (i * 15485863 % 9999991) || ' filled on venue ' || (i % 17) AS note, i * 0.25 AS price FROM range(${quick ? 20_000 : 2_000_000}) AS r(i)`
    ),
  "small, 1 connection": many(1),
  "small, 16 connections": many(16),
  "first byte of trades": (client) =>
    Effect.map(take(client, "FROM trades"), (taken) => ({ ...taken, millis: taken.firstByteMillis }))
}

/** From the start of the command to its first answer. */
const startMillis = (args: ReadonlyArray<string>): Promise<number> => {
  const began = performance.now()
  return ServeCommand.using(args, async () => performance.now() - began)
}

const measured = (ports: ReadonlyArray<string>, { quick, repeats }: Options) =>
  Effect.gen(function* () {
    const clients = yield* Effect.forEach(ports, (port) =>
      ClientPool.connect(`127.0.0.1:${port}`, { maxConnections: 16 })
    )
    const rows: Array<{ readonly name: string; readonly samples: ReadonlyArray<ReadonlyArray<Taken>> }> = []
    for (const [name, run] of Object.entries(cases)) {
      const samples = clients.map((): Array<Taken> => [])
      // The first is for warming up.
      for (let repeat = 0; repeat <= repeats; repeat++) {
        const turns = [...clients.entries()]
        if (repeat % 2 === 1) turns.reverse()
        for (const [i, client] of turns) {
          const taken = yield* run(client, quick)
          if (repeat > 0) samples[i]?.push(taken)
        }
      }
      const bytes = new Set(samples.flat().map((taken) => taken.bytes))
      assert.equal(bytes.size, 1, `${name}: results differ`)
      rows.push({ name, samples })
    }
    return rows
  }).pipe(Effect.scoped)

export const run = async (options: Options): Promise<ReadonlyArray<Figures.Row>> => {
  ServeCommand.build()
  const starts = contenders.map((): Array<number> => [])
  for (let repeat = 0; repeat < (options.quick ? 1 : options.repeats); repeat++) {
    for (const [i, { args }] of contenders.entries()) starts[i]?.push(await startMillis(args))
  }
  return serving(async (ports, servers) => {
    const rows = await Effect.runPromise(measured(ports, options))
    const resident = servers.map(({ pid }) =>
      Figures.round(family(pid).reduce((sum, one) => sum + Usage.residentKiB(one), 0) / 1024)
    )
    const millis = [
      ...rows.map(({ name, samples }) => ({
        name,
        samples: samples.map((all) => all.map((taken) => taken.millis))
      })),
      { name: "start to first answer", samples: starts }
    ]
    return millis.flatMap(({ name, samples }) => {
      const [baseline = []] = samples
      return samples.map((all, i) => {
        const shares = all.map((own, repeat) => (baseline[repeat] ?? Number.NaN) / own)
        return {
          case: name,
          DuckDB: contenders[i]?.name ?? "",
          ratio: Figures.round(Figures.median(shares)),
          range: [Math.min(...shares), Math.max(...shares)].map((share) => share.toFixed(2)).join(" – "),
          ms: Figures.round(Figures.median(all)),
          "resident MiB": resident[i] ?? 0
        }
      })
    })
  })
}

/** Has a server of each contender run at once. */
const serving = <A>(
  use: (ports: ReadonlyArray<string>, servers: ReadonlyArray<Processes.Process>) => Promise<A>,
  ports: ReadonlyArray<string> = [],
  servers: ReadonlyArray<Processes.Process> = []
): Promise<A> => {
  const contender = contenders[servers.length]
  if (contender === undefined) return use(ports, servers)
  return ServeCommand.using(contender.args, (port, server) =>
    serving(use, [...ports, port], [...servers, server])
  )
}
