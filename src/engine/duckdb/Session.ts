/**
 * One DuckDB connection that serves one query: native calls that interruption really stops.
 */
import type { DuckDBConnection } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Failure from "./Failure.ts"
import * as Instance from "./Instance.ts"
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
  /** Waits for something that the call under way will bring; interrupted as `call` is. */
  readonly wait: <A>(promise: Promise<A>) => Effect.Effect<A>
  /** Called when the session closes and no call is under way: gives back what a result that was not read to its end holds. */
  readonly onClose: (dispose: () => void) => void
  /** Ends what runs on the connection and begins again as when it was opened. */
  readonly restart: Effect.Effect<void, Failure.Failure>
}

/**
 * How long a finalizer waits for an interrupted call, in milliseconds. DuckDB looks at the flag between
 * vectors, so only one huge scalar call (`repeat`, `list_sort`) takes longer; its connection is then closed
 * when the call ends, whenever that is.
 */
const interruptWaitMs = 10_000

/** How often the interrupt is repeated, in milliseconds: a call that has not yet begun clears the flag. */
const interruptRepeatMs = 2

/**
 * What DuckDB computes ahead of the reader, in the bytes of its own count: a row of text takes 40, and more
 * only if it is long. The first rows are handed over once 0.6 of this is full, and a thread that works on a
 * later batch of rows (122 880 of a table) stops where 0.4 is. More would be faster, but the first rows would
 * come later: after some 60 ms with 10 MB.
 */
const bufferBytes = 8_000_000

/** Beside many others a query needs no second thread, in bytes. */
const minBufferBytes = 2_500_000

/** The sessions that are open, among which the buffer is divided. */
let sessions = 0

/** See {@link open}. */
export interface Options {
  /**
   * Whether everything runs in a read-only transaction: DuckDB itself then refuses every write, also the ones
   * that hide in `EXPLAIN ANALYZE`.
   */
  readonly readOnly: boolean
  /** The schemas in which names are looked for, where they are not only the main database's. */
  readonly searchPath?: string | undefined
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
  /** Set when an interrupted call did not end in time: it has been waited for once, which is enough. */
  private abandoned = false
  private readonly lease: Instance.Lease
  private readonly instance: Instance.Instance
  private readonly options: Options

  constructor(
    connection: DuckDBConnection,
    lease: Instance.Lease,
    instance: Instance.Instance,
    options: Options
  ) {
    this.connection = connection
    this.lease = lease
    this.instance = instance
    this.options = options
    lease.interrupts.add(this.interrupt)
    sessions++
  }

  private readonly disposals: Array<() => void> = []

  onClose(dispose: () => void): void {
    this.disposals.push(dispose)
  }

  private readonly interrupt = (): void => this.connection.interrupt()

  /** As one text, because each costs a turn of the event loop. */
  readonly setUp: Effect.Effect<void, Failure.Failure> = Effect.suspend(() => {
    const buffer = Math.max(minBufferBytes, Math.floor(bufferBytes / sessions))
    const { readOnly, searchPath } = this.options
    const path = searchPath === undefined ? "" : `; SET search_path = ${Sql.literal(searchPath)}`
    const transaction = readOnly ? "; BEGIN TRANSACTION READ ONLY" : ""
    const sql = `SET streaming_buffer_size = '${buffer}B'${path}${transaction}`
    return Effect.asVoid(this.call((connection) => connection.run(sql)))
  })

  readonly restart: Effect.Effect<void, Failure.Failure> = Effect.andThen(
    Effect.ignore(this.call((connection) => connection.run("ROLLBACK"))),
    this.setUp
  )

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

  private failed(failure: Failure.Failure): Effect.Effect<never, Failure.Failure> {
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
    const giveUp = setTimeout(() => {
      this.abandoned = true
      done()
    }, interruptWaitMs)
    const done = () => {
      clearInterval(repeat)
      clearTimeout(giveUp)
      resume(Effect.void)
    }
    this.connection.interrupt()
    this.pending.then(done)
  })

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const stopped = this.running && !this.abandoned ? this.stop : Effect.void
    return Effect.andThen(
      stopped,
      Effect.promise(() => {
        const disconnected = this.pending.then(() => this.disconnect())
        return this.running ? Promise.resolve() : disconnected
      })
    )
  })

  /**
   * A result that was not read to its end keeps its transaction and its threads until the garbage collector
   * finds it; the rollback ends both now.
   */
  private async disconnect(): Promise<void> {
    sessions--
    for (const dispose of this.disposals) dispose()
    this.lease.interrupts.delete(this.interrupt)
    await this.connection.run("ROLLBACK").catch(() => {})
    this.connection.disconnectSync()
  }
}
