/**
 * DuckDB's own parser, which analyses a text before any of it is bound or run.
 *
 * The parser runs in a separate instance, which is empty and sealed: `json_serialize_sql` needs no catalog,
 * and no object of a client can replace it there. A parse takes about 0.4 ms.
 */
import {
  type DuckDBConnection,
  DuckDBInstance,
  type DuckDBListValue,
  type DuckDBPreparedStatement,
  type DuckDBValue
} from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { RequestLimits } from "../Limits.ts"
import * as Expansion from "./Expansion.ts"
import * as Failure from "./Failure.ts"
import * as Instance from "./Instance.ts"
import * as ShortTree from "./ShortTree.ts"

/**
 * A text whose statements are all `SELECT`s (including `FROM`, `VALUES`, `DESCRIBE`, `SHOW` and the like).
 */
export interface Queries {
  readonly statements: number
  /** The lower-case names of all called functions, including operators. */
  readonly functions: ReadonlyArray<string>
  /** The functions that are used as a table. */
  readonly tableFunctions: ReadonlyArray<string>
  /** The names of tables, without their schemas. */
  readonly tables: ReadonlyArray<string>
  /** The schemas that qualify tables. */
  readonly schemas: ReadonlyArray<string>
  /** The names of types, also nested ones. */
  readonly types: ReadonlyArray<string>
  /**
   * The reason why the bound query becomes too large, as far as that is known without macros (`Expansion`).
   */
  readonly excess: string | undefined
}

/** See {@link open}. */
export interface Parser {
  /**
   * Analyses the text: `"other"` if it has no tree, as for statements that write, and `"broken"`
   * if it is no SQL.
   */
  readonly parse: (sql: string) => Effect.Effect<Queries | "other" | "broken", Failure.Failure>
  /** A short tree (`ShortTree`), if there is one and it is not too long. */
  readonly shortTree: (sql: string) => Effect.Effect<unknown, Failure.Failure>
  /** The whole tree, as JSON. */
  readonly tree: (sql: string) => Effect.Effect<string, Failure.Failure>
  /** Whether the grammar accepts a text as statements of which at least one has no tree. */
  readonly accepts: (sql: string) => Effect.Effect<boolean, Failure.Failure>
  /**
   * Whether two texts have the same tree, including places in the text: one may only be longer at its end.
   */
  readonly sameTree: (first: string, second: string) => Effect.Effect<boolean, Failure.Failure>
  /** Whether some node of the text has this offset, in bytes; `true` for a text without a tree. */
  readonly hasPlace: (sql: string, offset: number) => Effect.Effect<boolean, Failure.Failure>
}

/** Most idle connections that are kept. */
const maxIdle = 4

/** Most texts that are parsed at a time. Abandoned parses count until they have ended. */
const maxBusy = 8

/** Most answers that are cached, because clients repeat queries, and the longest text of these. */
const maxRecent = 256
const maxRecentLength = 2048

const tree = (parameter: string): string =>
  `json_serialize_sql(${parameter}::VARCHAR, skip_null := true, skip_empty := true, skip_default := true)`

/**
 * Longest short tree, in characters. It is read on the event loop for the size of the query
 * ({@link Expansion}).
 */
const maxTreeLength = 2 * 1024 * 1024

/** Trees longer than this are read in steps of the event loop. */
const longTree = 256 * 1024

/** DuckDB searches the tree, which may be tens of megabytes for one megabyte of SQL. */
const parseSql = (maxNames: number): string => `
  SELECT
    s->>'$.error_type', CASE WHEN len(short) <= ${maxTreeLength} THEN short END, len(s->'$.statements[*]'),
    ${["function_name", "function.function_name", "table_name", "schema_name", "type_name"]
      .map(
        (key) => `list_distinct(list_transform(s->>'$..${key}', lambda name: lower(name)))[:${maxNames + 1}]`
      )
      .join(", ")}
  FROM (SELECT s, ${ShortTree.sql("s::VARCHAR")} AS short FROM (SELECT ${tree("$1")} AS s))`

const treeSql = `SELECT ${ShortTree.json(`${tree("$1")}::VARCHAR`)}`

/** A text is parsed as a whole before the lack of a tree is reported. */
const shortTreeSql = `
  SELECT CASE WHEN len(short) <= ${maxTreeLength} THEN short END
  FROM (SELECT ${ShortTree.sql(`${tree("$1")}::VARCHAR`)} AS short)`

const acceptsSql = `SELECT ${tree("$1")}->>'$.error_type' = 'not implemented'`

const sameTreeSql = `SELECT ${tree("$1")} = ${tree("$2")}`

const hasPlaceSql = `
  SELECT starts_with(s, '{"error":true') OR list_bool_or([contains(s, place || mark) FOR mark IN [',', '}']])
  FROM (SELECT ${tree("$1")}::VARCHAR AS s, '"query_location":' || $2 AS place)`

/** A connection with its statements. It parses one text at a time. */
interface Worker {
  readonly connection: DuckDBConnection
  readonly parse: DuckDBPreparedStatement
  readonly shortTree: DuckDBPreparedStatement
  readonly tree: DuckDBPreparedStatement
  readonly accepts: DuckDBPreparedStatement
  readonly sameTree: DuckDBPreparedStatement
  readonly hasPlace: DuckDBPreparedStatement
  /** The lease of its instance, until its scope closes. */
  readonly lease: Instance.Lease
  readonly scope: Scope.Closeable
}

/** Opens a parser. It closes with the scope, after the running parses. */
export const open = Effect.fnUntraced(function* ({
  maxNames
}: Pick<RequestLimits, "maxNames">): Effect.fn.Return<Parser, Failure.DuckDbError, Scope.Scope> {
  const instance = yield* Instance.make(openInstance, { whenInvalidated: "reopen" })
  const workers = yield* Effect.acquireRelease(
    Effect.sync(() => new Workers(instance, parseSql(maxNames))),
    (workers) => workers.close
  )
  const recent = new Recent()
  return {
    parse: (sql) =>
      Effect.suspend(() => {
        const known = recent.get(sql)
        if (known !== undefined) return Effect.succeed(known)
        return workers
          .ask(({ parse }) => parse, [sql])
          .pipe(
            Effect.flatMap((row) => queriesOf(row, maxNames)),
            Effect.tap((queries) => Effect.sync(() => recent.set(sql, queries)))
          )
      }),
    shortTree: (sql) =>
      Effect.flatMap(
        workers.ask(({ shortTree }) => shortTree, [sql]),
        ([tree]) => (tree === null ? Effect.undefined : parsed(String(tree)))
      ),
    tree: (sql) =>
      Effect.map(
        workers.ask(({ tree }) => tree, [sql]),
        ([tree]) => String(tree)
      ),
    accepts: (sql) =>
      Effect.map(
        workers.ask(({ accepts }) => accepts, [sql]),
        ([accepted]) => accepted === true
      ),
    sameTree: (first, second) =>
      Effect.map(
        workers.ask(({ sameTree }) => sameTree, [first, second]),
        ([same]) => same === true
      ),
    hasPlace: (sql, offset) =>
      Effect.map(
        workers.ask(({ hasPlace }) => hasPlace, [sql, String(offset)]),
        ([has]) => has === true
      )
  }
})

const create = async (): Promise<DuckDBInstance> => {
  const instance = await DuckDBInstance.create(":memory:", {
    errors_as_json: "true",
    threads: "1",
    // The tree in the form of this version: an older form cannot express everything.
    storage_compatibility_version: "latest"
  })
  const connection = await instance.connect()
  await connection.run("SET enable_external_access = false; SET lock_configuration = true")
  connection.disconnectSync()
  return instance
}

const openInstance: Effect.Effect<DuckDBInstance, Failure.DuckDbError, Scope.Scope> = Effect.acquireRelease(
  Effect.tryPromise({
    try: create,
    catch: (cause) =>
      new Failure.DuckDbError({ setting: "database", message: Failure.fromCause(cause).message, cause })
  }),
  (instance) => Effect.sync(() => instance.closeSync())
)

type Ask = (worker: Worker) => DuckDBPreparedStatement

class Workers {
  private readonly instance: Instance.Instance
  private readonly parseSql: string
  private readonly idle: Array<Worker> = []
  private readonly busy = new Set<Promise<unknown>>()
  private readonly turns = Semaphore.makeUnsafe(maxBusy)
  private closed = false

  constructor(instance: Instance.Instance, parseSql: string) {
    this.instance = instance
    this.parseSql = parseSql
  }

  /**
   * Runs a statement of a worker. Repeats it if the worker's instance turns out to have been given up before.
   */
  ask(
    statement: Ask,
    texts: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<DuckDBValue>, Failure.Failure> {
    return Effect.catchIf(this.askOnce(statement, texts), Instance.isInvalidated, () =>
      this.askOnce(statement, texts)
    )
  }

  /**
   * Parsing cannot be interrupted: interruption abandons the worker, which takes the next text when it is
   * done. Interruption ends the wait for a turn at once.
   */
  private askOnce(statement: Ask, texts: ReadonlyArray<string>) {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(this.turns.take(1)), () =>
        Effect.flatMap(
          Effect.onError(this.take, () => this.turns.release(1)),
          (worker) => {
            const settled = this.run(worker, statement, texts)
            this.busy.add(settled)
            void settled.then(() => {
              this.busy.delete(settled)
              this.leave(worker)
              Effect.runSync(this.turns.release(1))
            })
            return restore(
              Effect.callback<ReadonlyArray<DuckDBValue>, Failure.Failure>((resume) => {
                settled.then(resume)
              })
            )
          }
        )
      )
    )
  }

  private run(
    worker: Worker,
    statement: Ask,
    texts: ReadonlyArray<string>
  ): Promise<Effect.Effect<ReadonlyArray<DuckDBValue>, Failure.Failure>> {
    const rows = async () => {
      const prepared = statement(worker)
      texts.forEach((text, index) => void prepared.bindVarchar(index + 1, text))
      return (await (await prepared.run()).getRows())[0]
    }
    return rows().then(
      // A result that could not be read for lack of memory looks like an empty one.
      (row) => (row === undefined ? Effect.fail(noMemory) : Effect.succeed(row)),
      (cause) => this.failed(worker.lease, Failure.fromCause(cause))
    )
  }

  private failed(lease: Instance.Lease, failure: Failure.Failure): Effect.Effect<never, Failure.Failure> {
    const failed = Effect.fail(failure)
    return Instance.isInvalidated(failure) ? Effect.andThen(this.instance.discard(lease), failed) : failed
  }

  /** A worker for one text. */
  private readonly take: Effect.Effect<Worker, Failure.Failure> = Effect.suspend(() => {
    for (let worker = this.idle.pop(); worker !== undefined; worker = this.idle.pop()) {
      if (!worker.lease.discarded()) return Effect.succeed(worker)
      close(worker)
    }
    return this.make
  })

  private leave(worker: Worker): void {
    if (this.closed || worker.lease.discarded() || this.idle.length >= maxIdle) close(worker)
    else this.idle.push(worker)
  }

  private readonly make: Effect.Effect<Worker, Failure.Failure> = Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    const worker = Effect.flatMap(Scope.provide(this.instance.lease, scope), (lease) =>
      Effect.catch(
        Effect.tryPromise({ try: () => connect(lease, scope, this.parseSql), catch: Failure.fromCause }),
        (failure) => this.failed(lease, failure)
      )
    )
    return Effect.onError(worker, () => Scope.close(scope, Exit.void))
  })

  readonly close: Effect.Effect<void> = Effect.promise(async () => {
    this.closed = true
    // If an instance is closed while a call is still running in it, the process never ends.
    await Promise.all(this.busy)
    for (const worker of this.idle.splice(0)) close(worker)
  })
}

const connect = async (lease: Instance.Lease, scope: Scope.Closeable, parseSql: string): Promise<Worker> => {
  const connection = await lease.native.connect()
  try {
    return {
      connection,
      parse: await connection.prepare(parseSql),
      shortTree: await connection.prepare(shortTreeSql),
      tree: await connection.prepare(treeSql),
      accepts: await connection.prepare(acceptsSql),
      sameTree: await connection.prepare(sameTreeSql),
      hasPlace: await connection.prepare(hasPlaceSql),
      lease,
      scope
    }
  } catch (cause) {
    connection.disconnectSync()
    throw cause
  }
}

const close = ({ connection, scope }: Worker): void => {
  connection.disconnectSync()
  Effect.runFork(Scope.close(scope, Exit.void))
}

const queriesOf = Effect.fnUntraced(function* (
  row: ReadonlyArray<DuckDBValue>,
  maxNames: number
): Effect.fn.Return<Queries | "other" | "broken", Failure.Failure> {
  const [error, tree, statements, ...lists] = row
  if (error === "out of memory") return yield* Effect.fail(noMemory)
  if (error !== null) return error === "parser" ? "broken" : "other"
  const excess = tree === null ? treeExcess : Expansion.excess(yield* parsed(String(tree)))
  const names = lists.map((list) => (list as DuckDBListValue).items as ReadonlyArray<string>)
  const [functions = [], tableFunctions = [], tables = [], schemas = [], types = []] = names
  if (names.some(({ length }) => length > maxNames)) {
    return yield* Effect.fail(
      tooLarge(`The query names more than ${maxNames} different functions, tables or types (maxNames)`)
    )
  }
  return { statements: Number(statements), functions, tableFunctions, tables, schemas, types, excess }
})

/** The error for a query that is too large to have a short tree. */
export const treeExcess =
  "The query has too many parts; constants, parameters and plain columns do not count, so put values in place of expressions, or split the query"

/** Parses a tree, in steps if it is long. */
const parsed = Effect.fnUntraced(function* (tree: string): Effect.fn.Return<unknown> {
  const pause = tree.length > longTree ? Effect.yieldNow : Effect.void
  yield* pause
  const value: unknown = JSON.parse(tree)
  yield* pause
  return value
})

const noMemory: Failure.Failure = {
  type: "Out of Memory",
  message: "The query could not be parsed (bad allocation)",
  offset: undefined
}

const tooLarge = (message: string): Failure.Failure => ({ type: "", message, offset: undefined })

/** A cache of the latest answers. */
class Recent {
  private readonly answers = new Map<string, Queries>()

  get(sql: string): Queries | undefined {
    const answer = this.answers.get(sql)
    if (answer !== undefined) this.set(sql, answer)
    return answer
  }

  set(sql: string, answer: Queries | "other" | "broken"): void {
    if (typeof answer === "string" || sql.length > maxRecentLength) return
    this.answers.delete(sql)
    this.answers.set(sql, answer)
    const oldest = this.answers.keys().next()
    if (this.answers.size > maxRecent && oldest.done !== true) this.answers.delete(oldest.value)
  }
}
