/**
 * A program that asks an instance for everything that DuckDB offers by name, and looks after every few
 * statements at what others see. In a process of its own, because some of it may end the process.
 *
 * Its arguments are {@link How}, whether clients may write, which statement is its first, after how many it
 * looks, and of how many it asks one. It prints the number of each statement before it asks it, and ends when what others see has changed.
 */
import { writeSync } from "node:fs"
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Database from "../../src/engine/duckdb/Database.ts"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import * as Session from "../../src/engine/duckdb/Session.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Surface from "./Surface.ts"

/** `client`: through the engine. `raw`: in a session of the served instance, past the check of statements. */
export type How = "client" | "raw"

/** A line of what it prints. */
export type Line =
  | { readonly at: number; readonly sql: string }
  | { readonly changed: ReadonlyArray<string>; readonly from: number; readonly next: number }
  | { readonly done: number; readonly answered: number }

const print = (line: Line) => writeSync(1, `${JSON.stringify(line)}\n`)

const [how = "client", readWrite = "false", first = "0", every = "1", oneOf = "1"] = process.argv.slice(2)
const options = { sample: true, threads: 1, readWrite: readWrite === "true" }

/** The served instance, which the engine keeps to itself. */
let instance: DuckDBInstance | undefined
const create = DuckDBInstance.create
DuckDBInstance.create = async (...args) => {
  const created = await create.apply(DuckDBInstance, args)
  // Those that only parse have no place for secrets.
  if (args[1]?.["secret_directory"] !== undefined) instance ??= created
  return created
}

const look = <A>(use: (connection: DuckDBConnection) => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    const connection = await instance?.connect()
    if (connection === undefined) throw new Error("nothing is served")
    const seen = await use(connection)
    connection.disconnectSync()
    return seen
  })

const asClient = Effect.map(
  DuckDbEngine.make(options),
  (engine) => (sql: string) =>
    Effect.scoped(
      Effect.flatMap(engine.init(QueryApi.encodeRequest({ query: sql })), ({ chunks }) =>
        Stream.runDrain(Stream.take(chunks, 3))
      )
    )
)

const raw = Effect.map(
  Database.open(options),
  ({ instance: served, session }) =>
    (sql: string) =>
      Effect.scoped(
        Effect.flatMap(
          Session.open(served, { ...session, transaction: options.readWrite ? "none" : "read only" }),
          (open) => open.call((connection) => connection.run(sql))
        )
      )
)

const sweep = Effect.gen(function* () {
  const ask: (sql: string) => Effect.Effect<unknown, unknown> = yield* how === "client" ? asClient : raw
  const all = yield* look(Surface.all)
  const statements = all.filter((_, index) => index % Number(oneOf) === 0)
  const before = yield* look(Surface.state)
  let answered = 0
  for (let from = Number(first); from < statements.length; from += Number(every)) {
    const next = Math.min(from + Number(every), statements.length)
    for (let at = from; at < next; at++) {
      const sql = statements[at] ?? ""
      print({ at, sql })
      const exit = yield* Effect.exit(Effect.timeout(ask(sql), "5 seconds"))
      if (exit._tag === "Success") answered++
    }
    const changed = Surface.difference(before, yield* look(Surface.state))
    if (changed.length > 0) {
      print({ changed, from, next })
      return process.exit()
    }
  }
  print({ done: statements.length, answered })
}).pipe(Effect.scoped)

await Effect.runPromise(sweep)
