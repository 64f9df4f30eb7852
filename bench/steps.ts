/**
 * How long one request keeps the server's event loop from everything else: the longest step of each of a catalogue of
 * requests (`support/StepCases.ts`), with the engine in a process of its own, as `dataconn serve` has it, and in the
 * server's.
 *
 *     npm run bench -- steps [--only TEXT]
 *
 * A timer looks every millisecond. `step ms` is the most CPU time that the thread took between two looks, which
 * other work on the machine does not change; `silence ms` is the longest time that passed between them.
 */
import { parseArgs } from "node:util"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { DuckDbEngine } from "../src/engine/duckdb/index.ts"
import * as QueryApi from "../src/engine/QueryApi.ts"
import type { QueryEngine } from "../src/engine/QueryEngine.ts"
import * as Chunk from "../src/net/Chunk.ts"
import * as ProcessEngine from "../src/process/ProcessEngine.ts"
import * as ThreadEngine from "../src/threads/ThreadEngine.ts"
import * as ThreadPool from "../src/threads/ThreadPool.ts"
import { type Row, round } from "./support/Figures.ts"
import type { Options } from "./support/Options.ts"
import * as StepCases from "./support/StepCases.ts"

const { values: flags } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { only: { type: "string" } }
})

/** A request that takes longer is cut off; its steps so far count. */
const limit = "60 seconds"

interface Look {
  readonly at: number
  readonly cpu: number
}

const look = (): Look => {
  const { system, user } = process.threadCpuUsage()
  return { at: performance.now(), cpu: (user + system) / 1000 }
}

/** Runs something and gives the longest step and silence meanwhile, in milliseconds. */
const watch = async <A>(run: () => Promise<A>) => {
  let last = look()
  let step = 0
  let silence = 0
  const see = () => {
    const now = look()
    step = Math.max(step, now.cpu - last.cpu)
    silence = Math.max(silence, now.at - last.at)
    last = now
  }
  const timer = setInterval(see, 1)
  await new Promise((resolve) => setImmediate(resolve))
  const value = await run()
  see()
  clearInterval(timer)
  return { value, step, silence }
}

/** What became of a request: `F`, or the code of its reject or error. */
const ask = (engine: QueryEngine["Service"], body: Uint8Array): Effect.Effect<string> =>
  Effect.flatMap(engine.init(body), ({ chunks }) =>
    // As a socket does that takes each chunk at once.
    Stream.runForEach(chunks, (chunk) =>
      Effect.andThen(
        Effect.yieldNow,
        Effect.sync(() => Chunk.release(chunk))
      )
    )
  ).pipe(
    Effect.scoped,
    Effect.as("F"),
    Effect.catch((error) =>
      Effect.succeed(
        error._tag === "QueryInitError" ? error.message : QueryApi.decodeError(error.payload).code
      )
    ),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(`cut off after ${limit}`) }),
    Effect.catchCause((cause) => Effect.succeed(`defect: ${Cause.pretty(cause).slice(0, 100)}`))
  )

/** The engine in a process or a thread of its own, and in this one. */
const engines = {
  isolated: ProcessEngine.make(ProcessEngine.duckDb({})),
  "in a thread": ThreadEngine.make(ThreadEngine.duckDb({})).pipe(
    Effect.provideService(ThreadPool.ThreadPool, ThreadPool.make({ threads: 1 }))
  ),
  "in process": DuckDbEngine.make({})
} as const

const measure = Effect.fnUntraced(function* (quick: boolean) {
  const only = typeof flags.only === "string" ? flags.only : ""
  const chosen = Object.entries(quick ? StepCases.quick : StepCases.cases).filter(([name]) =>
    name.includes(only)
  )
  const rows: Array<Row> = []
  for (const [name, body] of chosen) {
    const bytes = Buffer.from(body())
    for (const [where, make] of Object.entries(engines)) {
      const row = Effect.gen(function* () {
        const engine = yield* make
        yield* ask(engine, QueryApi.encodeRequest({ query: "SELECT 1", parameters: [] }))
        const start = performance.now()
        const { silence, step, value } = yield* Effect.promise(() =>
          watch(() => Effect.runPromise(ask(engine, bytes)))
        )
        return {
          request: name,
          engine: where,
          end: value,
          "step ms": round(step),
          "silence ms": round(silence),
          "total ms": round(performance.now() - start)
        }
      })
      rows.push(yield* Effect.scoped(row))
    }
  }
  return rows
})

export const run = (options: Options): Promise<ReadonlyArray<Row>> =>
  Effect.runPromise(measure(options.quick))
