/**
 * One DuckDB connection that serves one query: native calls that interruption really stops.
 */
import type { DuckDBConnection, DuckDBResult } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as QueryEngine from "../QueryEngine.ts"
import * as Failure from "./Failure.ts"
import * as Instance from "./Instance.ts"
import * as Progress from "./Progress.ts"
import type * as ResultMemory from "./ResultMemory.ts"
import * as Sql from "./Sql.ts"

type Thunk<A> = (connection: DuckDBConnection) => Promise<A>

/** See {@link open}. */
export interface Session {
  /**
   * Runs a native call. Interruption interrupts DuckDB and waits until the call has really ended. Only one
   * call runs at a time.
   */
  readonly call: <A>(thunk: Thunk<A>) => Effect.Effect<A, Failure.Failure>
  /**
   * Begins a native call at once and returns the effect that waits for it; interruption works as for `call`.
   * Closing the session interrupts a call that is not awaited.
   */
  readonly begin: <A>(thunk: Thunk<A>) => Effect.Effect<A, Failure.Failure>
  /**
   * Marks a part of a call in which DuckDB prepares a statement, which cannot be interrupted. Interruption
   * waits for it only briefly and then abandons it; the call fails when the preparation is done
   * ({@link Options.unstoppable}).
   */
  readonly preparing: <A>(work: Promise<A>) => Promise<A>
  /** Waits for a promise that the running call will settle; interruption works as for `call`. */
  readonly wait: <A>(promise: Promise<A>) => Effect.Effect<A>
  /** Fails with the failure of an operation on the connection, or with the reason why it was interrupted. */
  readonly failed: (failure: Failure.Failure) => Effect.Effect<never, Failure.Failure>
  /** Makes the changes durable. Without a commit all changes are undone when the session closes. */
  readonly commit: Effect.Effect<void, Failure.Failure>
  /**
   * Writes what was committed from the log to the database file, if no other session prevents it. A file
   * without definitions in its log can be opened by every DuckDB (`Replay`).
   */
  readonly checkpoint: Effect.Effect<void>
  /**
   * Makes the session end a streamed result when it closes, read to its end or not. Until then, or until
   * garbage collection, a result keeps its connection and so the database file open.
   */
  readonly own: (result: DuckDBResult) => void
  /** DuckDB's progress of the running statement, if it is tracked ({@link Options.progress}). */
  readonly progress: () => QueryEngine.Progress | undefined
  /** The memory that its result may hold. */
  readonly share: ResultMemory.Share
  /**
   * Registers a function for the session's close, when no call is running: it releases the memory of a result
   * that was not read to its end.
   */
  readonly onClose: (dispose: () => void) => void
}

/**
 * How long a finalizer waits for an interrupted call, in milliseconds. DuckDB checks the flag between
 * vectors, so only one huge scalar call (`repeat`, `list_sort`) takes longer. Its connection is then closed
 * when the call ends.
 */
const interruptWaitMs = 10_000

/**
 * How long a finalizer waits for a call that prepares a statement, in milliseconds. Most of them end
 * within this time.
 */
const preparingWaitMs = 100

/** Most abandoned statements that may still be in preparation; each holds one of libuv's threads. */
const maxLeft = 4

/** The number of abandoned statements. */
let left = 0

/** The longest time that a timer accepts. */
const maxTimeout = 2 ** 31 - 1

/** How often the interrupt is repeated, in milliseconds: a call that has not yet begun clears the flag. */
const interruptRepeatMs = 2

/**
 * The reaction to an abandoned statement that DuckDB is still preparing. Only the end of the
 * process stops it.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Unstoppable {
  /** How long it may go on, in milliseconds. */
  readonly graceMillis: number
  readonly run: () => void
}

/** See {@link open}. */
export interface Options {
  /**
   * The transaction that everything runs in. In a read-only one DuckDB itself refuses every write, also those
   * hidden in `EXPLAIN ANALYZE`. With `none`, each statement commits by itself.
   */
  readonly transaction: "read only" | "read write" | "none"
  /** The schemas in which names are looked up, if not only the main database's. */
  readonly searchPath?: string | undefined
  readonly unstoppable?: Unstoppable | undefined
  /** Whether DuckDB tracks the progress of statements. */
  readonly progress?: boolean | undefined
  /** The memory held by the results of all sessions. */
  readonly memory: ResultMemory.ResultMemory
}

const begin: Readonly<Record<Options["transaction"], string>> = {
  "read only": "; BEGIN TRANSACTION READ ONLY",
  "read write": "; BEGIN TRANSACTION READ WRITE",
  none: ""
}

/**
 * Opens a connection for one query; it closes with the scope.
 *
 * **Details**
 *
 * A connection per query makes the query cancellable alone, and keeps temporary state from leaking into the
 * next one. It costs 0.05 ms, so there is no pool.
 *
 * An instance that DuckDB has given up is detected here at the latest, and discarded. The session then
 * opens on another one.
 */
export const open = (
  instance: Instance.Instance,
  options: Options
): Effect.Effect<Session, Failure.Failure, Scope.Scope> =>
  Effect.catchIf(
    openOnce(instance, options),
    (failure) => failure.type === Failure.givenUp,
    () => openOnce(instance, options)
  )

/** Holds no lease on failure: an instance is closed only when it has no leases. */
const openOnce = (instance: Instance.Instance, options: Options) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const exit = yield* Effect.exit(restore(Scope.provide(establish(instance, options), scope)))
      if (Exit.isFailure(exit)) yield* Scope.close(scope, exit)
      return yield* exit
    })
  )

const establish = (
  instance: Instance.Instance,
  options: Options
): Effect.Effect<Session, Failure.Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const lease = yield* instance.lease
    const native = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => new Native(await lease.native.connect(), lease, instance, options),
        catch: Failure.fromCause
      }),
      (native) => native.close
    )
    yield* native.setUp
    return native
  })

class Native implements Session {
  private readonly connection: DuckDBConnection
  /** The last call; settles when that call has ended. Never rejects. */
  private pending: Promise<void> = Promise.resolve()
  private running = false
  private isPreparing = false
  private isDisconnected = false
  private isAtFault = false
  /** Set when an interrupted call did not end in time: it is not waited for again. */
  private abandoned = false
  private readonly results = new Set<DuckDBResult>()
  private readonly lease: Instance.Lease
  private readonly instance: Instance.Instance
  private readonly options: Options
  readonly share: ResultMemory.Share

  constructor(
    connection: DuckDBConnection,
    lease: Instance.Lease,
    instance: Instance.Instance,
    options: Options
  ) {
    this.connection = connection
    const prepare = connection.prepare.bind(connection)
    connection.prepare = (sql) => this.preparing(prepare(sql))
    this.lease = lease
    this.instance = instance
    this.options = options
    lease.interrupts.add(this.interrupt)
    this.share = options.memory.open()
  }

  private readonly disposals: Array<() => void> = []

  onClose(dispose: () => void): void {
    this.disposals.push(dispose)
  }

  private readonly interrupt = (): void => this.connection.interrupt()

  /** One text, because each statement costs a turn of the event loop. */
  readonly setUp: Effect.Effect<void, Failure.Failure> = Effect.suspend(() => {
    const { progress, searchPath, transaction } = this.options
    const path = searchPath === undefined ? "" : `; SET search_path = ${Sql.literal(searchPath)}`
    const sql = `SET streaming_buffer_size = '${this.share.bufferBytes}B'${progress === true ? Progress.enable : ""}${path}${begin[transaction]}`
    return Effect.asVoid(this.call((connection) => connection.run(sql)))
  })

  readonly commit: Effect.Effect<void, Failure.Failure> = Effect.asVoid(
    this.call(async (connection) => {
      // A result that ends after its transaction keeps the connection for good.
      for (const result of this.results) {
        for (let more = true; more; ) more = ((await result.fetchChunk())?.rowCount ?? 0) > 0
      }
      this.results.clear()
      return connection.run("COMMIT")
    })
  )

  readonly checkpoint: Effect.Effect<void> = Effect.ignore(
    this.call((connection) => connection.run("CHECKPOINT"))
  )

  progress(): QueryEngine.Progress | undefined {
    return this.isDisconnected ? undefined : Progress.of(this.connection.progress)
  }

  own(result: DuckDBResult): void {
    this.results.add(result)
  }

  call<A>(thunk: Thunk<A>): Effect.Effect<A, Failure.Failure> {
    return Effect.suspend(() => this.begin(thunk))
  }

  begin<A>(thunk: Thunk<A>): Effect.Effect<A, Failure.Failure> {
    this.running = true
    const outcome = thunk(this.connection).then(
      (value) => Effect.succeed(value),
      (cause) => this.failed(Failure.fromCause(cause))
    )
    const pending = outcome.then(() => {
      // The next call may have begun already, if this one had nothing more to do.
      if (this.pending === pending) this.running = false
    })
    this.pending = pending
    return Effect.callback<A, Failure.Failure>((resume) => {
      // After `pending`, so that the next call finds this one ended.
      pending.then(() => outcome.then(resume))
      return this.stop
    })
  }

  async preparing<A>(work: Promise<A>): Promise<A> {
    this.isPreparing = true
    const value = await work.finally(() => {
      this.isPreparing = false
    })
    // The rest of the call would run without a way to stop it.
    if (this.abandoned) throw new Error("The query has ended")
    return value
  }

  failed(failure: Failure.Failure): Effect.Effect<never, Failure.Failure> {
    if (Instance.isFault(failure)) this.isAtFault = true
    const told = Effect.fail(this.isAtFault ? failure : this.lease.gaveUp)
    if (Instance.isInvalidated(failure)) return Effect.andThen(this.instance.discard(this.lease), told)
    return this.lease.discarded() ? told : Effect.fail(failure)
  }

  wait<A>(promise: Promise<A>): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      promise.then((value) => resume(Effect.succeed(value)))
      return this.stop
    })
  }

  /** Interrupts the running call until it ends, or until the longest wait has passed. */
  private readonly stop: Effect.Effect<void> = Effect.callback<void>((resume) => {
    // Real timers on purpose: DuckDB's threads do not run on a test's virtual clock.
    const repeat = setInterval(() => this.connection.interrupt(), interruptRepeatMs)
    const isLeft = this.isPreparing && left < maxLeft
    if (isLeft) left++
    const ended = this.pending
    const giveUp = setTimeout(
      () => {
        this.abandoned = true
        done()
      },
      isLeft ? preparingWaitMs : interruptWaitMs
    )
    if (isLeft) this.leave(ended)
    const done = () => {
      clearInterval(repeat)
      clearTimeout(giveUp)
      resume(Effect.void)
    }
    this.connection.interrupt()
    this.pending.then(done)
  })

  /** Stops waiting for a statement in preparation. */
  private leave(prepared: Promise<void>): void {
    const { graceMillis = Number.POSITIVE_INFINITY, run = () => {} } = this.options.unstoppable ?? {}
    const timer = graceMillis <= maxTimeout ? setTimeout(run, graceMillis) : undefined
    void prepared.then(() => {
      left--
      clearTimeout(timer)
    })
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const stopped = this.running && !this.abandoned ? this.stop : Effect.void
    return Effect.andThen(
      stopped,
      Effect.promise(() => {
        const disconnected = this.pending.then(() => this.disconnect())
        return this.running ? Promise.resolve() : within(interruptWaitMs, disconnected)
      })
    )
  })

  private async disconnect(): Promise<void> {
    this.share.close()
    for (const result of this.results) await this.end(result)
    for (const dispose of this.disposals) dispose()
    this.lease.interrupts.delete(this.interrupt)
    await this.connection.run("ROLLBACK").catch(() => {})
    this.isDisconnected = true
    this.connection.disconnectSync()
  }

  /**
   * The bindings cannot destroy a result, but DuckDB releases the connection when it finds the result's end.
   * If the query is interrupted, the end comes with the next chunk; it must come before the transaction ends.
   */
  private async end(result: DuckDBResult): Promise<void> {
    const repeat = setInterval(this.interrupt, interruptRepeatMs)
    try {
      for (let more = true; more; ) {
        this.interrupt()
        more = ((await result.fetchChunk())?.rowCount ?? 0) > 0
      }
    } catch {
      // A failure ends the result too.
    } finally {
      clearInterval(repeat)
    }
  }
}

/** Waits for a promise, for at most so many milliseconds. */
const within = (millis: number, promise: Promise<void>): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, millis)
    void promise.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
