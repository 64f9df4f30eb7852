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
  let current: Lease | undefined
  const reference = yield* RcRef.make({
    acquire: Effect.map(Effect.andThen(turn, open), (native): Lease => {
      const lease: Lease = {
        native,
        interrupts: new Set(),
        discarded: () => current !== lease,
        gaveUp: typeof whenInvalidated === "string" ? gaveUp : lost
      }
      current = lease
      return lease
    }),
    idleTimeToLive: "Infinity"
  })
  yield* Effect.scoped(RcRef.get(reference))
  return {
    lease: Effect.catch(RcRef.get(reference), (error) =>
      Effect.andThen(
        Effect.logError("The database could not be opened again", error),
        Effect.fail(fatal("The database failed, and could not be opened again"))
      )
    ),
    discard: Effect.fnUntraced(function* (lease: Lease) {
      if (lease !== current) return
      current = undefined
      const reopens = typeof whenInvalidated === "string"
      yield* Effect.logError(`DuckDB gave the database up${reopens ? "; it is opened again" : ""}`)
      if (reopens) yield* RcRef.invalidate(reference)
      else whenInvalidated()
      for (const interrupt of lease.interrupts) interrupt()
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

const lost = fatal("The database failed by the fault of another query")

/** Nothing is changed: a commit has failures of its own. */
const gaveUp: Failure = {
  type: givenUp,
  message: "The database failed by the fault of another query, and was opened again: run the query again",
  offset: undefined
}
