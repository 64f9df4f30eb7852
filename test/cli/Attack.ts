/**
 * A program that asks DuckDB, past the check of statements, for all that could change a file, from a process
 * that has given up its rights as `dataconn serve` does. Prints what each statement came to, as JSON on the last line.
 *
 * Its argument is an {@link Attack} in JSON.
 */
import * as Effect from "effect/Effect"
import * as Rights from "../../src/cli/Rights.ts"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import * as Setting from "../../src/server/Setting.ts"

export interface Attack {
  readonly config: Partial<ServeConfig.ServeConfig>
  /** Whether DuckDB's own sandbox is left out too, so that only the kernel holds. */
  readonly unsealed: boolean
  /** Each is run in a session of its own. */
  readonly sessions: ReadonlyArray<ReadonlyArray<string>>
}

/** What each statement came to: `"done"`, or an error's text. */
export type Outcome = Readonly<Record<string, string>>

const attack = Effect.fnUntraced(function* ({ config, sessions, unsealed }: Attack) {
  const whole: ServeConfig.ServeConfig = {
    ...Setting.defaults(ServeConfig.all),
    http: [],
    listen: [],
    tables: {},
    allowRoot: true,
    landlock: "require",
    ...config
  }
  const spillDirectory = yield* Rights.drop(whole)
  // Loaded only now, as by `dataconn serve`: loading DuckDB starts threads.
  const Database = yield* Effect.promise(() => import("../../src/engine/duckdb/Database.ts"))
  const Session = yield* Effect.promise(() => import("../../src/engine/duckdb/Session.ts"))
  const { database, readWrite, tables } = whole
  const opened = yield* Database.open({
    database,
    readWrite,
    tables,
    spillDirectory,
    allowExternalAccess: unsealed,
    sample: database === undefined && Object.keys(tables).length === 0
  })
  const outcome: Record<string, string> = {}
  for (const statements of sessions) {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const session = yield* Session.open(opened.instance, { ...opened.session, transaction: "none" })
        for (const sql of statements) {
          outcome[sql] = yield* Effect.match(
            session.call((connection) => connection.run(sql)),
            { onFailure: ({ message }) => message, onSuccess: () => "done" }
          )
        }
      })
    )
  }
  return outcome
}, Effect.scoped)

const outcome = await Effect.runPromise(attack(JSON.parse(process.argv[2] ?? "") as Attack))
process.stdout.write(`\n${JSON.stringify(outcome)}`)
