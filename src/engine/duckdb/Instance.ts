/**
 * A DuckDB instance that is opened again when DuckDB has given it up.
 *
 * After an error that DuckDB thinks it cannot recover from, an instance answers nothing any more.
 */
import type { DuckDBInstance } from "@duckdb/node-api"
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { type DuckDbError, type Failure, givenUp } from "./Failure.ts"

/** See {@link make}. */
export interface Instance {
  /** The open instance, kept open until the scope closes. Fails if the instance cannot be opened again. */
  readonly lease: Effect.Effect<Lease, Failure, Scope.Scope>
  /**
   * Gives up an instance that {@link isInvalidated}: its running queries are interrupted, and later
   * leases get another.
   */
  readonly discard: (lease: Lease) => Effect.Effect<void>
  /**
   * Replaces an instance that still answers: its running queries go on, and later leases get another one. Where
   * two may not have one file open to write, that begins once no query runs; where another would not have what
   * this one holds, it never does. Gives nothing if the instance is to be replaced already.
   */
  readonly retire: Effect.Effect<"replaced" | "kept" | undefined>
}

export interface Lease {
  readonly native: DuckDBInstance
  /** Run when the instance is discarded. A session removes its own when it closes. */
  readonly interrupts: Set<() => void>
  /** Whether the instance has been given up. */
  readonly discarded: () => boolean
  /** The failure of queries that did not make DuckDB give the instance up. */
  readonly gaveUp: Failure
}

interface Held extends Lease {
  isDiscarded: boolean
  isRetired: boolean
  /** The number of leases. */
  users: number
}

export interface Options {
  /**
   * The reaction to an instance that DuckDB has given up.
   *
   * - `reopen`: open another at once, beside it if need be.
   * - `reopenAlone`: open another once it is closed, because two may not have one file open to write.
   * - a function: it holds what another would not have, and nothing can be asked any more. Run once.
   */
  readonly whenInvalidated: "reopen" | "reopenAlone" | (() => void)
}

/** Opens an instance now, and again after a discard. It closes with the scope. */
export const make = Effect.fnUntraced(function* (
  open: Effect.Effect<DuckDBInstance, DuckDbError, Scope.Scope>,
  { whenInvalidated }: Options
): Effect.fn.Return<Instance, DuckDbError, Scope.Scope> {
  const alone = Semaphore.makeUnsafe(1)
  const turn =
    whenInvalidated === "reopenAlone"
      ? Effect.acquireRelease(alone.take(1), () => alone.release(1), { interruptible: true })
      : Effect.void
  let current: Held | undefined
  const reference = yield* RcRef.make({
    acquire: Effect.map(Effect.andThen(turn, open), (native): Held => {
      const lease: Held = {
        native,
        interrupts: new Set(),
        discarded: () => lease.isDiscarded,
        gaveUp: typeof whenInvalidated === "string" ? gaveUp : lost,
        isDiscarded: false,
        isRetired: false,
        users: 0
      }
      current = lease
      return lease
    }),
    idleTimeToLive: "Infinity"
  })
  yield* Effect.scoped(RcRef.get(reference))
  const invalidate = Effect.suspend(() => {
    current = undefined
    return RcRef.invalidate(reference)
  })
  /** The last user of an instance that has been retired replaces it. */
  const leave = (lease: Held) =>
    Effect.suspend(() => {
      const isOver = --lease.users === 0 && lease === current && lease.isRetired
      return isOver && whenInvalidated === "reopenAlone" ? invalidate : Effect.void
    })
  const lease = Effect.acquireRelease(
    Effect.tap(RcRef.get(reference), (lease) =>
      Effect.sync(() => {
        lease.users++
      })
    ),
    leave,
    { interruptible: true }
  )
  return {
    lease: Effect.catch(lease, (error) =>
      Effect.andThen(
        Effect.logError("The database could not be opened again", error),
        Effect.fail(fatal("The database failed, and could not be opened again"))
      )
    ),
    discard: Effect.fnUntraced(function* (lease: Lease) {
      if (current === undefined || lease !== current) return
      current.isDiscarded = true
      current = undefined
      const reopens = typeof whenInvalidated === "string"
      yield* Effect.logError(`DuckDB gave the database up${reopens ? "; it is opened again" : ""}`)
      if (reopens) yield* RcRef.invalidate(reference)
      else whenInvalidated()
      for (const interrupt of lease.interrupts) interrupt()
    }),
    retire: Effect.suspend(() => {
      if (current === undefined || current.isRetired) return Effect.undefined
      current.isRetired = true
      if (typeof whenInvalidated !== "string") return Effect.succeed("kept")
      return Effect.as(whenInvalidated === "reopen" ? invalidate : Effect.void, "replaced")
    })
  }
})

const fatal = (message: string): Failure => ({ type: "FATAL", message, offset: undefined })

/** Whether a failure means that the whole instance has been given up, not only the query. */
export const isInvalidated = (failure: Failure): boolean =>
  failure.message.includes("database has been invalidated because of a previous fatal error")

/** Whether a query has made DuckDB give its instance up. */
export const isFault = (failure: Failure): boolean =>
  (failure.type === "INTERNAL" || failure.type === "FATAL") && !isInvalidated(failure)

const ofAnother = (outcome: string): Failure => ({
  type: givenUp,
  message: `The database failed by the fault of another query${outcome}`,
  offset: undefined
})

const lost = ofAnother("")

/** Nothing is changed: a commit has failures of its own. */
const gaveUp = ofAnother(", and was opened again")
