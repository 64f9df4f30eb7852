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
   * Runs a native call. Interruption interrupts DuckDB and waits until the call has really ended; there is
   * never more than one call under way.
   */
  readonly call: <A>(thunk: Thunk<A>) => Effect.Effect<A, Failure.Failure>
  /**
   * Begins a native call at once and gives the effect that waits for it, which is interrupted as `call` is.
   * Closing the session interrupts a call that nobody waits for.
   */
  readonly begin: <A>(thunk: Thunk<A>) => Effect.Effect<A, Failure.Failure>
  /**
   * Marks a part of a call in which DuckDB prepares a statement: it cannot be interrupted then. Interruption waits for
   * it for a moment only and leaves it to itself, and fails the call when it is done ({@link Options.unstoppable}).
   */
  readonly preparing: <A>(work: Promise<A>) => Promise<A>
  /** Waits for something that the call under way will bring; interrupted as `call` is. */
  readonly wait: <A>(promise: Promise<A>) => Effect.Effect<A>
  /** Fails with the failure of something that ran on the connection, or with the reason why it was interrupted. */
  readonly failed: (failure: Failure.Failure) => Effect.Effect<never, Failure.Failure>
  /** Makes what was written last. Without it all is undone when the session closes. */
  readonly commit: Effect.Effect<void, Failure.Failure>
  /**
   * Has the session end a streamed result when it closes, read to its end or not. Until then, or until the garbage
   * collector has found it, a result keeps its connection and so the file of the database open.
   */
  readonly own: (result: DuckDBResult) => void
  /** How far DuckDB is with the statement that runs, if it keeps account of that ({@link Options.progress}). */
  readonly progress: () => QueryEngine.Progress | undefined
  /** What its result may hold. */
  readonly share: ResultMemory.Share
  /** Called when the session closes and no call is under way: gives back what a result that was not read to its end holds. */
  readonly onClose: (dispose: () => void) => void
}

/**
 * How long a finalizer waits for an interrupted call, in milliseconds. DuckDB looks at the flag between
 * vectors, so only one huge scalar call (`repeat`, `list_sort`) takes longer; its connection is then closed
 * when the call ends, whenever that is.
 */
const interruptWaitMs = 10_000

/** How long it waits for one that prepares a statement. Most of them end within this time. */
const preparingWaitMs = 100

/** As many statements may go on being prepared for nobody; each holds one of libuv's threads. */
const maxLeft = 4

/** How many do. */
let left = 0

/** The longest time that a timer takes. */
const maxTimeout = 2 ** 31 - 1

/** How often the interrupt is repeated, in milliseconds: a call that has not yet begun clears the flag. */
const interruptRepeatMs = 2

/**
 * What is done about a statement that DuckDB goes on preparing for nobody. Nothing but the end of the process stops it.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Unstoppable {
  /** For how long it may, in milliseconds. */
  readonly graceMillis: number
  readonly run: () => void
}

/** See {@link open}. */
export interface Options {
  /**
   * The transaction that everything runs in. In a read-only one DuckDB itself refuses every write, also the ones
   * that hide in `EXPLAIN ANALYZE`. Without one each statement commits by itself.
   */
  readonly transaction: "read only" | "read write" | "none"
  /** The schemas in which names are looked for, where they are not only the main database's. */
  readonly searchPath?: string | undefined
  readonly unstoppable?: Unstoppable | undefined
  /** Whether DuckDB keeps account of the progress of statements. */
  readonly progress?: boolean | undefined
  /** What the results of all sessions hold. */
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
 * A connection of its own is what makes a query cancellable alone and keeps temporary state from leaking
 * into the next one. It costs 0.05 ms, so there is no pool.
 *
 * An instance that DuckDB gave up is found here at the latest, and discarded; the session then opens on
 * another.
 */
export const open = (
  instance: Instance.Instance,
  options: Options
): Effect.Effect<Session, Failure.Failure, Scope.Scope> =>
  Effect.catchIf(openOnce(instance, options), Instance.isInvalidated, () => openOnce(instance, options))

/** Holds no lease if it fails: an instance is closed only when nobody has one. */
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
  /** Set when an interrupted call did not end in time: it has been waited for once, which is enough. */
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

  /** As one text, because each costs a turn of the event loop. */
  readonly setUp: Effect.Effect<void, Failure.Failure> = Effect.suspend(() => {
    const { progress, searchPath, transaction } = this.options
    const path = searchPath === undefined ? "" : `; SET search_path = ${Sql.literal(searchPath)}`
    const sql = `SET streaming_buffer_size = '${this.share.bufferBytes}B'${progress === true ? Progress.enable : ""}${path}${begin[transaction]}`
    return Effect.asVoid(this.call((connection) => connection.run(sql)))
  })

  readonly commit: Effect.Effect<void, Failure.Failure> = Effect.asVoid(
    this.call(async (connection) => {
      // A result whose end comes after the transaction's keeps the connection for good.
      for (const result of this.results) {
        for (let more = true; more; ) more = ((await result.fetchChunk())?.rowCount ?? 0) > 0
      }
      this.results.clear()
      return connection.run("COMMIT")
    })
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
      // The next call may have begun already, when this one had nothing more to do.
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
    // What follows in the call would run, with nobody to stop it.
    if (this.abandoned) throw new Error("The query has ended")
    return value
  }

  failed(failure: Failure.Failure): Effect.Effect<never, Failure.Failure> {
    if (Instance.isInvalidated(failure)) {
      return Effect.andThen(this.instance.discard(this.lease), Effect.fail(failure))
    }
    return Effect.fail(this.lease.discarded() ? Instance.gaveUp : failure)
  }

  wait<A>(promise: Promise<A>): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      promise.then((value) => resume(Effect.succeed(value)))
      return this.stop
    })
  }

  /** Interrupts the call under way until it ends, or until it has been waited for long enough. */
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

  /** Nobody waits any more until a statement is prepared. */
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
   * The bindings cannot destroy a result, but DuckDB lets go of the connection when it finds the result's end. That
   * comes with the next chunk where the query is interrupted, and must come before the transaction ends.
   */
  private async end(result: DuckDBResult): Promise<void> {
    const repeat = setInterval(this.interrupt, interruptRepeatMs)
    try {
      for (let more = true; more; ) {
        this.interrupt()
        more = ((await result.fetchChunk())?.rowCount ?? 0) > 0
      }
    } catch {
      // Its failure is its end too.
    } finally {
      clearInterval(repeat)
    }
  }
}

/** Waits for a promise, but no longer than so many milliseconds. */
const within = (millis: number, promise: Promise<void>): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, millis)
    void promise.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
