/**
 * Rows of a result beside lines that are split and parsed by hand, from a server that has them ready.
 *
 *     npm run bench -- rows [--repeats 5]
 *
 * All contenders read the same bytes, and must have had the same rows before anything is timed. They take turns. CPU
 * time is this process's, which is the client.
 */
import { createHash } from "node:crypto"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Client from "../src/client/Client.ts"
import type * as Rows from "../src/client/Rows.ts"
import * as Chunk from "../src/net/Chunk.ts"
import { median, type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"
import type { Shape } from "./support/RowShapes.ts"

type Consume = (row: Rows.Row) => void
type Failure = Rows.Failure

interface Contender {
  readonly name: string
  readonly shapes: ReadonlyArray<Shape>
  readonly run: (
    client: Client.ClientService,
    query: string,
    consume: Consume
  ) => Effect.Effect<void, Failure>
}

const shapes: ReadonlyArray<Shape> = ["trades", "doubles", "texts", "narrow"]

/** As one writes it who wants it done. */
const byHand = (name: string, done: (chunk: Uint8Array) => void): Contender => ({
  name,
  shapes,
  run: (client, query, consume) =>
    Effect.gen(function* () {
      const { chunks } = yield* client.query({ query, format: "application/x-ndjson", numbers: "string" })
      const decoder = new TextDecoder()
      let rest = ""
      yield* Stream.runForEachArray(chunks, (batch) =>
        Effect.sync(() => {
          for (const chunk of batch) {
            const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
            done(chunk)
            rest = lines.pop() ?? ""
            for (const line of lines) consume(JSON.parse(line))
          }
        })
      )
    }).pipe(Effect.scoped)
})

const drained = <A, E>(rows: Stream.Stream<A, E>, consume: Consume): Effect.Effect<void, E> =>
  Stream.runForEachArray(rows, (batch) =>
    Effect.sync(() => {
      for (const row of batch) consume(row as Rows.Row)
    })
  )

const typed = <A>(name: string, shape: Shape, schema: Schema.ConstraintDecoder<A>): Contender => ({
  name,
  shapes: [shape],
  run: (client, query, consume) => drained(client.rows({ query }, schema), consume)
})

const Trade = Schema.Struct({
  id: Schema.BigInt,
  ts: Schema.DateTimeUtc,
  symbol: Schema.String,
  price: Schema.BigDecimal,
  size: Schema.Int,
  note: Schema.String
})

const Simple = Schema.Struct({
  id: Schema.Int,
  ts: Schema.String,
  symbol: Schema.String,
  price: Schema.Finite,
  size: Schema.Int,
  note: Schema.String
})

const Doubles = Schema.Struct({
  id: Schema.Int,
  x: Schema.Finite,
  y: Schema.Finite,
  z: Schema.Finite,
  w: Schema.Finite
})

const contenders: ReadonlyArray<Contender> = [
  byHand("by hand", () => {}),
  byHand("by hand, released", Chunk.release),
  {
    name: "rows",
    shapes,
    run: (client, query, consume) => drained(client.rows({ query }), consume)
  },
  typed("rows, numbers and texts", "trades", Simple),
  typed("rows, exact types", "trades", Trade),
  typed("rows, numbers", "doubles", Doubles)
]

/** What a value is as text, whatever it was made into. */
const printed = (value: unknown): string =>
  BigDecimal.isBigDecimal(value) ? BigDecimal.format(value) : String(value)

/** A hash of all rows, by two columns that have one text in all their types. */
const digest = Effect.fnUntraced(function* (client: Client.ClientService, { run }: Contender, query: string) {
  const hash = createHash("sha256")
  yield* run(client, query, (row) => {
    hash.update(`${printed(row["id"])} ${printed(row["note"] ?? row["x"] ?? row["title"])}\n`)
  })
  return hash.digest("hex")
})

interface Sample {
  readonly seconds: number
  readonly cpu: number
  readonly rows: number
}

const sample = Effect.fnUntraced(function* (client: Client.ClientService, { run }: Contender, query: string) {
  globalThis.gc?.()
  let rows = 0
  const cpu = process.cpuUsage()
  const started = performance.now()
  yield* run(client, query, () => {
    rows++
  })
  const used = process.cpuUsage(cpu)
  const seconds = (performance.now() - started) / 1000
  return { seconds, cpu: (used.user + used.system) / 1e6, rows } satisfies Sample
})

const measure = Effect.fnUntraced(function* (port: string, { quick, repeats }: Options) {
  const client = yield* Client.connect(`127.0.0.1:${port}`)
  const size = 4_000_000
  const repetitions = quick ? 1 : 10
  const table: Array<Row> = []
  for (const shape of shapes) {
    const own = contenders.filter((contender) => contender.shapes.includes(shape))
    const digests = yield* Effect.forEach(own, (contender) => digest(client, contender, `${shape} ${size} 1`))
    if (new Set(digests).size !== 1) return yield* Effect.die(new Error(`${shape}: rows differ`))
    const samples = new Map(own.map(({ name }) => [name, [] as Array<Sample>]))
    for (let repeat = 0; repeat <= repeats; repeat++) {
      for (const contender of repeat % 2 === 0 ? own : own.toReversed()) {
        const one = yield* sample(client, contender, `${shape} ${size} ${repetitions}`)
        // The first is for the compiler.
        if (repeat > 0) samples.get(contender.name)?.push(one)
      }
    }
    const base = samples.get("by hand") ?? []
    for (const { name } of own) {
      const all = samples.get(name) ?? []
      const of = (figure: (one: Sample) => number) => median(all.map(figure))
      const ratio = (figure: (one: Sample) => number) =>
        round(median(all.map((one, i) => figure(base[i] ?? one) / figure(one))))
      const rows = of((one) => one.rows)
      table.push({
        rows: shape,
        contender: name,
        speed: ratio((one) => one.seconds),
        "by CPU": ratio((one) => one.cpu),
        "rows/s": round(rows / of((one) => one.seconds)),
        "MB/s": round((size * repetitions) / of((one) => one.seconds) / 1e6),
        "CPU ns a row": round((of((one) => one.cpu) / rows) * 1e9)
      })
    }
  }
  return table
})

export const run = (options: Options): Promise<ReadonlyArray<Row>> =>
  Processes.using(Processes.script("servers/RowsServer"), [], async (server) =>
    Effect.runPromise(Effect.scoped(measure(await server.line("port"), options)))
  )
