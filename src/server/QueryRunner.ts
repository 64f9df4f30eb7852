/**
 * Runs one query: calls the engine, and takes its result ahead of the socket up to a bounded number of bytes.
 *
 * A query with a commit commits when the socket has taken its whole result, before the message that ends the
 * response: from then on that message is fixed.
 *
 * A query is one fiber; interrupting it cancels the query. Its scope is a child of the connection's, and
 * closes before the message that ends the response is written.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Given from "../engine/Given.ts"
import type {
  AcceptedQuery,
  Engine,
  QueryFailed,
  QueryInitError,
  QueryRejected
} from "../engine/QueryEngine.ts"
import type { Timers } from "../loop/Timers.ts"
import type { End } from "../protocol/Response.ts"
import * as Limit from "../settings/Limit.ts"
import * as LocalReply from "./LocalReply.ts"
import type { PendingResponse, Runner } from "./PendingResponse.ts"
import * as QueryLimit from "./QueryLimit.ts"
import { ReaderWait } from "./ReaderWait.ts"
import * as RequestQuota from "./RequestQuota.ts"
import type * as RunningQueries from "./RunningQueries.ts"

/** Dependencies of a query. */
export interface Dependencies {
  readonly engine: Engine
  readonly limit: QueryLimit.Places
  /** The queries of all connections whose progress may be asked for. */
  readonly running: RunningQueries.Registry
  /** The memory of waiting requests. */
  readonly quota: RequestQuota.Quota
  readonly timers: Timers
  /** How long a query may wait for a place. */
  readonly queueTimeoutMillis: number
  /** How long a query keeps its place while it waits for its reader. */
  readonly stallMillis: number
  /** The connection's scope. */
  readonly scope: Scope.Scope
  /** The engine accepted. The effect, if there is one, runs before the accept is written. */
  readonly accepted: (query: AcceptedQuery) => Effect.Effect<void> | undefined
  /** Whether the query may commit now: it has not been stopped. */
  readonly mayCommit: () => boolean
  /** Whether the query has not been stopped. */
  readonly isRunning: boolean
  /** The query has ended, and its finalizers run. */
  readonly finalizing: () => void
  /** The query has ended, and its finalizers have run. */
  readonly ended: (outcome: Outcome, pending: PendingResponse) => void
}

/** The outcome of a query. */
export type Outcome =
  | End
  /** The query was interrupted. */
  | { readonly _tag: "Interrupted" }
  /** The engine failed to decide whether it accepts. */
  | { readonly _tag: "InitFailed"; readonly detail: string }

type Failure = QueryRejected | QueryFailed | QueryInitError | Cause.Done

const waitedTooLong = "The query has waited for its turn for as long as it may (queueTimeout)"
const evicted: Outcome = {
  _tag: "Failed",
  payload: LocalReply.body(
    "overloaded",
    false,
    "The client read nothing while other queries waited, and too many clients did the same (stallTimeout, maxQueuedQueries)"
  )
}
const interrupted: Outcome = { _tag: "Interrupted" }
const complete: Outcome = { _tag: "Complete" }
const completeWith = (final: Uint8Array | undefined): Outcome =>
  final === undefined ? complete : { _tag: "Complete", final }

/**
 * Runs the query of a request. Never fails; only the query itself is interruptible, and its outcome is
 * reported once its finalizers have run.
 */
export const run = (
  dependencies: Dependencies,
  request: Uint8Array,
  pending: PendingResponse
): Effect.Effect<void> => {
  const query = new Query(dependencies, request, pending)
  const running = Effect.interruptible(Effect.withFiber((fiber) => query.run(fiber)))
  return Effect.matchCauseEffect(Scope.provide(running, query.scope), {
    onSuccess: (_) => query.ended(Exit.void),
    onFailure: (cause) => query.ended(Exit.failCause(cause))
  })
}

class Query implements QueryLimit.Place, Runner {
  readonly scope: Scope.Closeable
  address: string | undefined
  isCounted = false
  private readonly dependencies: Dependencies
  private readonly request: Uint8Array
  private readonly pending: PendingResponse
  pause: QueryLimit.Place["pause"]
  private hasPlace = false
  private hasCommitBegun = false
  /** Made at the first wait for the reader. */
  private reader: ReaderWait | undefined
  /** The place, or the reason why there is none; it may be set before it is awaited. */
  private turn: Effect.Effect<void, QueryRejected> | undefined
  private final: AcceptedQuery["final"]
  private fiber: Fiber.Fiber<unknown, unknown> | undefined
  private isEvicted = false
  /** The entry in the registry of queries whose progress may be asked for. */
  private running: RunningQueries.RunningQuery | undefined
  private resume: ((turn: Effect.Effect<void, QueryRejected>) => void) | undefined

  constructor(dependencies: Dependencies, request: Uint8Array, pending: PendingResponse) {
    this.dependencies = dependencies
    this.request = request
    this.pending = pending
    this.scope = Scope.forkUnsafe(dependencies.scope)
  }

  /** A progress request takes no place. */
  run(fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<void, Failure, Scope.Scope> {
    const { engine, running } = this.dependencies
    this.fiber = fiber
    this.pending.runner = this
    const asked = engine.progressOf?.(this.request)
    return asked === undefined ? this.enter() : this.answer(running.answer(asked))
  }

  /** Takes a place in one step, so that no other query comes between. */
  private enter(): Effect.Effect<void, Failure, Scope.Scope> {
    const { limit } = this.dependencies
    const entered = limit.enter(this)
    if (entered !== "running" && entered !== "waiting") return Effect.fail(limit.overloaded(entered))
    this.hasPlace = true
    if (entered === "running") return this.ask()
    return Effect.andThen(
      this.place,
      Effect.suspend(() => this.ask())
    )
  }

  /** Waits for a place to run, up to `queueTimeout`. */
  private get place(): Effect.Effect<void, QueryRejected> {
    const { queueTimeoutMillis, quota, timers } = this.dependencies
    const hold = new RequestQuota.Hold(quota)
    if (!hold.resize(this.request.length)) {
      return Effect.fail(QueryLimit.overloaded(RequestQuota.exceeded(quota)))
    }
    const deadline = timers.deadline(() => this.take(Effect.fail(QueryLimit.overloaded(waitedTooLong))))
    const place = Effect.callback<void, QueryRejected>((resume) => {
      if (this.turn !== undefined) return resume(this.turn)
      this.resume = resume
      deadline.set(timers.now() + queueTimeoutMillis)
    })
    return Effect.ensuring(
      place,
      Effect.sync(() => {
        deadline.clear()
        hold.release()
      })
    )
  }

  private take(turn: Effect.Effect<void, QueryRejected>): void {
    this.turn ??= turn
    this.resume?.(this.turn)
  }

  call(): void {
    if (this.reader?.called() !== true) this.take(Effect.void)
  }

  displaced(): void {
    this.hasPlace = false
    this.take(Effect.fail(this.dependencies.limit.overloaded("displaced")))
  }

  evicted(): void {
    this.isEvicted = true
    this.fiber?.interruptUnsafe()
  }

  private ask(): Effect.Effect<void, Failure, Scope.Scope> {
    return this.answer(Given.effect("init", this.dependencies.engine.init(this.request)))
  }

  private answer(
    init: Effect.Effect<AcceptedQuery, QueryRejected | QueryInitError, Scope.Scope>
  ): Effect.Effect<void, Failure, Scope.Scope> {
    return Effect.flatMapEager(init, (query) => {
      assertWhole(query)
      this.announce(query)
      const told = this.dependencies.accepted(query)
      return told === undefined ? this.fill(query) : Effect.andThen(told, this.fill(query))
    })
  }

  private announce({ progress, queryId }: AcceptedQuery): void {
    if (progress === undefined || queryId === undefined) return
    this.running = { queryId, progress, elapsed: () => this.pending.elapsedMillis }
    this.dependencies.running.enter(this.running)
  }

  private fill(query: AcceptedQuery): Effect.Effect<void, Failure> {
    const { chunks, commit, final } = query
    this.final = final
    const filled = Effect.flatMapEager(Channel.toPullScoped(Stream.toChannel(chunks), this.scope), (pull) => {
      this.pending.accept(query)
      const next: Effect.Effect<never, Failure> = Effect.flatMap(pull, (chunks) => {
        const room = this.pending.offer(chunks)
        if (room === undefined) return next
        this.reader ??= new ReaderWait(this.dependencies, this)
        return Effect.andThen(this.reader.until(room), next)
      })
      return next
    })
    return commit === undefined
      ? filled
      : Pull.catchDone(filled, () => Effect.andThen(this.pending.handedOver, this.commit(commit)))
  }

  /** The machine is notified in the same step, so that neither a cancel nor a limit comes between. */
  private commit(commit: Effect.Effect<void, QueryFailed>): Effect.Effect<void, QueryFailed> {
    return Effect.uninterruptible(
      Effect.suspend(() => {
        this.hasCommitBegun = this.dependencies.mayCommit()
        return this.hasCommitBegun ? commit : Effect.interrupt
      })
    )
  }

  broke(cause: Cause.Cause<never>): Effect.Effect<void> {
    return this.ended(Exit.failCause(cause))
  }

  /** Closes the query's scope. The end of the stream is the query's success. */
  ended(exit: Exit.Exit<void, Failure>): Effect.Effect<void> {
    const ended = Exit.isFailure(exit) && Pull.isDoneCause(exit.cause) ? Exit.void : exit
    if (this.running !== undefined) this.dependencies.running.leave(this.running)
    this.dependencies.finalizing()
    const closing = Scope.closeUnsafe(this.scope, ended)
    return closing === undefined
      ? this.finish(ended)
      : Effect.flatMap(Effect.exit(closing), (closed) => this.finish(both(ended, closed)))
  }

  /** The body of the final message, if the engine provides it. */
  private finalBody(): Exit.Exit<Uint8Array | undefined> {
    if (this.final === undefined) return Exit.succeed(undefined)
    try {
      const body: unknown = this.final()
      return body instanceof Uint8Array
        ? Exit.succeed(body)
        : Exit.die(new TypeError("The engine gave a final body that is no Uint8Array"))
    } catch (defect) {
      return Exit.die(defect)
    }
  }

  private outcomeOf(cause: Cause.Cause<Failure>): Outcome | undefined {
    const outcome = outcomeOf(cause)
    return this.isEvicted && outcome === interrupted ? evicted : outcome
  }

  private finish(ended: Exit.Exit<unknown, Failure>): Effect.Effect<void> {
    const { dependencies, pending } = this
    this.reader?.clear()
    if (this.hasPlace) dependencies.limit.leave(this)
    const exit = Exit.isSuccess(ended) ? this.finalBody() : ended
    const outcome = Exit.isSuccess(exit) ? completeWith(exit.value) : this.outcomeOf(exit.cause)
    const isOwnInterrupt = outcome === interrupted && (this.hasCommitBegun || dependencies.isRunning)
    if (outcome !== undefined && !isOwnInterrupt) {
      pending.runner = undefined
      dependencies.ended(outcome, pending)
      return Effect.void
    }
    const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
    return Effect.map(Effect.logError(isOwnInterrupt ? selfInterrupted : defect, cause), () => {
      pending.runner = undefined
      dependencies.ended(this.hasCommitBegun ? unknown : died(pending), pending)
    })
  }
}

const defect = "The engine died while answering a query"
const selfInterrupted = "The engine interrupted a query that nobody had cancelled"

/** Throws if the accepted query has a member of the wrong type. */
const assertWhole = (query: AcceptedQuery): void => {
  if (typeof query !== "object" || query === null) throw Given.mismatch("init", "an accepted query", query)
  const { chunks, commit, final, progress, queryId, rows, timeout } = query
  if (!Stream.isStream(chunks)) throw Given.mismatch("chunks", "a Stream", chunks)
  if (commit !== undefined && !Effect.isEffect(commit)) throw Given.mismatch("commit", "an Effect", commit)
  if (timeout !== undefined) Limit.duration("timeout", timeout, true)
  if (queryId !== undefined && typeof queryId !== "string") throw Given.mismatch("queryId", "a text", queryId)
  Given.optional("rows", rows)
  Given.optional("progress", progress)
  Given.optional("final", final)
}

/** The bodies of rejects and errors, or the text of a failed `init`. Throws if it has another type. */
const outcomeOfFailure = (error: QueryRejected | QueryFailed | QueryInitError): Outcome => {
  if (error._tag === "QueryInitError") {
    if (typeof error.message === "string") return { _tag: "InitFailed", detail: error.message }
    throw Given.mismatch("QueryInitError.message", "a text", error.message)
  }
  const payload = Given.bytes(`${error._tag}.payload`, error.payload)
  return error._tag === "QueryRejected" ? { _tag: "Rejected", payload } : { _tag: "Failed", payload }
}

/** The outcome of a failure, unless it is a defect. */
const outcomeOf = (cause: Cause.Cause<Failure>): Outcome | undefined => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return Cause.hasInterruptsOnly(cause) ? interrupted : undefined
  switch (error.value?._tag) {
    case "QueryRejected":
    case "QueryFailed":
    case "QueryInitError":
      return outcomeOfFailure(error.value)
    case "Done":
      return complete
    default:
      return undefined
  }
}

/** The exit of a query and its finalizers. */
const both = (query: Exit.Exit<void, Failure>, closed: Exit.Exit<unknown>): Exit.Exit<unknown, Failure> => {
  if (Exit.isSuccess(closed)) return query
  return Exit.isSuccess(query) ? closed : Exit.failCause(Cause.combine(query.cause, closed.cause))
}

/** The result of a commit is unknown. */
const unknown: End = { _tag: "Failed", payload: LocalReply.body("unknown_outcome") }

/** A defect of the engine. The error omits the cause. */
export const died = (pending: PendingResponse): End => ({
  _tag: pending.response.isAccepted ? "Failed" : "Rejected",
  payload: LocalReply.body("internal")
})
