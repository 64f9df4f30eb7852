/**
 * DuckDB's own parser, asked what a text says before anything of it is bound or run.
 *
 * It runs in an instance of its own, which is empty and sealed: `json_serialize_sql` needs no catalog, and
 * nothing that clients make can stand in for it there. A parse takes about 0.4 ms.
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

/** A text whose statements are all `SELECT`s (`FROM`, `VALUES`, `DESCRIBE`, `SHOW` and the like included). */
export interface Queries {
  readonly statements: number
  /** The names of all functions that are called, operators included, in small letters. */
  readonly functions: ReadonlyArray<string>
  /** Those of them that stand where a table does. */
  readonly tableFunctions: ReadonlyArray<string>
  /** The names of tables, without their schemas. */
  readonly tables: ReadonlyArray<string>
  /** The schemas that tables are named with. */
  readonly schemas: ReadonlyArray<string>
  /** The names of types, also inside others. */
  readonly types: ReadonlyArray<string>
  /** Why it becomes too large when it is bound, as far as macros are not known (`Expansion`). */
  readonly excess: string | undefined
}

/** See {@link open}. */
export interface Parser {
  /**
   * What the text says: `"other"` where there is no tree of it, as of statements that write, and `"broken"`
   * where it is no SQL.
   */
  readonly parse: (sql: string) => Effect.Effect<Queries | "other" | "broken", Failure.Failure>
  /** A short tree (`ShortTree`), if there is one that is not too long. */
  readonly shortTree: (sql: string) => Effect.Effect<unknown, Failure.Failure>
  /** The whole tree, as JSON. */
  readonly tree: (sql: string) => Effect.Effect<string, Failure.Failure>
  /** Whether the grammar takes a text as statements of which at least one has no tree. */
  readonly accepts: (sql: string) => Effect.Effect<boolean, Failure.Failure>
  /** Whether two texts say the same, places in the text included: one may only go on for longer. */
  readonly sameTree: (first: string, second: string) => Effect.Effect<boolean, Failure.Failure>
  /** Whether something in the text has this offset, in bytes; `true` of a text without a tree. */
  readonly hasPlace: (sql: string, offset: number) => Effect.Effect<boolean, Failure.Failure>
}

/** As many connections are kept for the next texts. */
const maxIdle = 4

/** As many texts are parsed at a time; those whose query has been given up count until their parser has ended. */
const maxBusy = 8

/** As many texts are remembered, because clients ask the same again, if they are no longer than this. */
const maxRecent = 256
const maxRecentLength = 2048

const tree = (parameter: string): string =>
  `json_serialize_sql(${parameter}::VARCHAR, skip_null := true, skip_empty := true, skip_default := true)`

/** The characters of a short tree, which is read on the event loop for what the query becomes ({@link Expansion}). */
const maxTreeLength = 2 * 1024 * 1024

/** After reading so many the event loop turns. */
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

/** A text is parsed as a whole before anything of it has no tree. */
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
  /** Of the instance that it is connected to, until its scope closes. */
  readonly lease: Instance.Lease
  readonly scope: Scope.Closeable
}

/** Opens a parser; it closes with the scope, once the texts that are being parsed have been. */
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
    // The tree in the form of this version: an older one does not have everything that can be said.
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

  /** Runs a statement of a worker; again, if it turns out that the worker's instance had been given up before. */
  ask(
    statement: Ask,
    texts: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<DuckDBValue>, Failure.Failure> {
    return Effect.catchIf(this.askOnce(statement, texts), Instance.isInvalidated, () =>
      this.askOnce(statement, texts)
    )
  }

  /**
   * Parsing cannot be interrupted: interruption leaves the worker to itself, which takes the next text when it is
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
      // A result that could not be read for want of memory looks like an empty one.
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
    // An instance that is closed while a call is still running in it never lets the process end.
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

/** Why a query becomes too large that has no short tree. */
export const treeExcess =
  "The query has too many parts; constants, parameters and plain columns do not count, so put values in place of expressions, or split the query"

/** In steps, if it is long. */
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

/** The answers that were asked for last. */
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
