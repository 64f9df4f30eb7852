/**
 * Runs one query: asks the engine, and takes its result ahead of the socket by a bounded number of bytes.
 *
 * A query is one fiber, and interrupting it is how it is cancelled. Its scope is a child of the connection's, and
 * closes before the message that ends the response is written.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type {
  AcceptedQuery,
  QueryEngine,
  QueryFailed,
  QueryInitError,
  QueryRejected
} from "../engine/QueryEngine.ts"
import type { End } from "../protocol/Response.ts"
import * as LocalReply from "./LocalReply.ts"
import type { PendingResponse } from "./PendingResponse.ts"
import type * as QueryLimit from "./QueryLimit.ts"

/** What a query runs with. */
export interface Dependencies {
  readonly engine: QueryEngine["Service"]
  readonly limit: Pick<QueryLimit.Limit, "enter" | "leave" | "overloaded">
  /** The connection's scope. */
  readonly scope: Scope.Scope
  /** The engine accepted. Runs before the accept is written. */
  readonly accepted: (query: AcceptedQuery) => Effect.Effect<void>
  /** Makes the query interruptible; its finalizers are not. */
  readonly restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** How a query ended. */
export type Outcome =
  | End
  /** It was interrupted from outside. */
  | { readonly _tag: "Interrupted" }
  /** The engine could not tell whether it accepts. */
  | { readonly _tag: "InitFailed"; readonly detail: string }

type Failure = QueryRejected | QueryFailed | QueryInitError

const interrupted: Outcome = { _tag: "Interrupted" }
const complete: Outcome = { _tag: "Complete" }

/** Runs the query of a request, and gives its outcome once its finalizers have run. Never fails; uninterruptible. */
export const run = (
  dependencies: Dependencies,
  request: Uint8Array,
  pending: PendingResponse
): Effect.Effect<Outcome> =>
  Effect.suspend(() => {
    const scope = Scope.forkUnsafe(dependencies.scope)
    const query = Effect.andThen(place(dependencies.limit, scope), fill(dependencies, request, pending, scope))
    const closed = Effect.onExit(
      dependencies.restore(query),
      (exit) => Scope.closeUnsafe(scope, exit) ?? Effect.void
    )
    return Effect.matchCauseEffect(closed, {
      onSuccess: () => Effect.succeed(complete),
      onFailure: (cause) => outcome(cause, pending)
    })
  })

/** Takes a place to run, which the scope gives back, and waits for it if need be. */
const place = (limit: Dependencies["limit"], scope: Scope.Scope): Effect.Effect<void, QueryRejected> =>
  Effect.suspend(() => {
    let resume: (() => void) | undefined
    const place: QueryLimit.Place = { call: () => resume?.() }
    const entered = limit.enter(place)
    if (entered === "full") return Effect.fail(limit.overloaded())
    const leave = Scope.addFinalizer(
      scope,
      Effect.sync(() => limit.leave(place))
    )
    if (entered === "running") return leave
    const called = Effect.callback<void>((goOn) => {
      resume = () => goOn(Effect.void)
    })
    return Effect.andThen(leave, called)
  })

/** Asks the engine, and fills the response with its result. */
const fill = (
  { accepted, engine }: Dependencies,
  request: Uint8Array,
  pending: PendingResponse,
  scope: Scope.Scope
): Effect.Effect<void, Failure> =>
  Effect.flatMap(Scope.provide(engine.init(request), scope), (query) =>
    Effect.andThen(
      accepted(query),
      Effect.suspend(() => {
        pending.accept(query.payload)
        return Stream.runForEachArray(query.chunks, (chunks) => pending.offer(chunks))
      })
    )
  )

const outcome = (cause: Cause.Cause<Failure>, pending: PendingResponse): Effect.Effect<Outcome> => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "Some") {
    switch (error.value._tag) {
      case "QueryRejected":
        return Effect.succeed({ _tag: "Rejected", payload: error.value.payload })
      case "QueryFailed":
        return Effect.succeed({ _tag: "Failed", payload: error.value.payload })
      case "QueryInitError":
        return Effect.succeed({ _tag: "InitFailed", detail: error.value.message })
    }
  }
  if (Cause.hasInterruptsOnly(cause)) return Effect.succeed(interrupted)
  return Effect.as(Effect.logError("The engine died while answering a query", cause), died(pending))
}

/** A defect of the engine. The error says nothing of the cause. */
export const died = (pending: PendingResponse): End => ({
  _tag: pending.response.isAccepted ? "Failed" : "Rejected",
  payload: LocalReply.body("internal")
})
