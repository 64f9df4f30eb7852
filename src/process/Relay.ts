/**
 * The engine of the parent: passes each query on to a process, and its response back, unchanged and uncopied.
 *
 * A query whose process is lost is run again in another one if none of its result has been passed on and it
 * can have changed nothing. So clients do not notice that another query has ended their process or its engine.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Client from "../client/Client.ts"
import type { ClientError } from "../client/ClientError.ts"
import * as QueryApi from "../engine/QueryApi.ts"
import {
  type AcceptedQuery,
  type Engine,
  type Progress,
  QueryEngine,
  QueryFailed,
  QueryRejected
} from "../engine/QueryEngine.ts"
import { Culprits } from "./Culprits.ts"
import * as Loss from "./Loss.ts"
import * as RequestFields from "./RequestFields.ts"
import * as RowCount from "./RowCount.ts"
import type * as Slot from "./Slot.ts"
import type { Supervisor } from "./Supervisor.ts"

export interface Options {
  /** Whether queries may change something that outlives them: then none is run twice. */
  readonly changes: boolean
  /** Whether they change nothing before their commit. */
  readonly commits?: boolean
  /** How long the end of a process may stay unreported, in milliseconds. */
  readonly goneMillis: number
}

/** How often a query is run again that did not cause the loss of its process. */
const maxReruns = 3

/** A query that finds no memory after less than this is not the one that holds it, in milliseconds. */
const shortMillis = 1000

/** By then a process without memory for a query has returned unused memory, in milliseconds. */
const giveBackMillis = 200

/** How late a process may report the timeout of a query, in milliseconds. */
const lateMillis = 250

/** An attempt to run a query in a process: the response and its owner. */
interface Attempt {
  readonly response: Client.Response
  readonly incarnation: Slot.Incarnation
  readonly scope: Scope.Closeable
}

const rejected = (error: QueryApi.QueryError): QueryRejected =>
  new QueryRejected({ payload: QueryApi.encodeError(error) })

const failed = (error: QueryApi.QueryError): QueryFailed =>
  new QueryFailed({ payload: QueryApi.encodeError(error) })

/** The engine that passes queries on to the processes of the supervisor. */
export const make = (supervisor: Supervisor, options: Options): Engine => {
  const culprits = new Culprits()
  return QueryEngine.of({
    progressOf: QueryApi.progressOf,
    init: (request) =>
      Effect.flatMap(Effect.scope, (scope) =>
        culprits.has(request)
          ? Effect.fail(rejected(Loss.refused))
          : new Query({ supervisor, options, culprits, scope }, request).init
      )
  })
}

interface Dependencies {
  readonly supervisor: Supervisor
  readonly options: Options
  readonly culprits: Culprits
  /** The query's own scope. */
  readonly scope: Scope.Scope
}

class Query implements Slot.Query {
  startedAt = 0
  isSuspect = false
  isStopping = false
  incarnation: Slot.Incarnation | undefined
  avoids: number | undefined
  private readonly dependencies: Dependencies
  private readonly request: Uint8Array
  private reruns = 0
  /** `undefined` before a process has taken the request. */
  private place: number | undefined
  /** The process's id of the query. */
  private queryId: string | undefined
  /** Whether the query no longer waits for the end of its lost process. */
  private hasMovedOn = false
  /** The body of the final message: a receipt, or the number of rows. */
  private final: () => Uint8Array | undefined = () => undefined

  constructor(dependencies: Dependencies, request: Uint8Array) {
    this.dependencies = dependencies
    this.request = request
  }

  get init(): Effect.Effect<AcceptedQuery, QueryRejected, Scope.Scope> {
    const { timeoutMillis, traceparent } = RequestFields.of(this.request)
    return QueryApi.traced(this.answered(timeoutMillis), traceparent)
  }

  private answered(timeout: number | undefined): Effect.Effect<AcceptedQuery, QueryRejected> {
    const accepted = Effect.map(this.run, (attempt) => this.accepted(attempt, timeout))
    const answered = Effect.catchTag(accepted, "QueryFailed", ({ payload }) =>
      Effect.succeed(this.failure(payload))
    )
    if (timeout === undefined) return answered
    // The process reports it itself, unless it is busy with a call that cannot be stopped.
    return Effect.timeoutOrElse(answered, {
      duration: timeout + lateMillis,
      orElse: () => this.unaccepted(Loss.timedOut)
    })
  }

  private accepted(attempt: Attempt, timeout: number | undefined): AcceptedQuery {
    const { payload } = attempt.response
    const { commit, hasProgress, hasReceipt, queryId } = RequestFields.accept(payload)
    this.queryId = queryId
    const rest = {
      timeout,
      queryId,
      rows: () => RowCount.read(this.final(), hasReceipt),
      progress: hasProgress ? () => this.progress : undefined,
      final: hasReceipt ? () => this.final() ?? noBytes : undefined
    }
    return commit === undefined || !this.dependencies.options.changes
      ? { ...rest, payload, chunks: this.chunks(attempt) }
      : { ...rest, payload: RequestFields.withoutCommit(payload), ...this.committing(attempt, commit) }
  }

  private get progress(): Progress {
    return (this.queryId === undefined ? undefined : this.incarnation?.progress(this.queryId)) ?? {}
  }

  /** Ends a query that has not been accepted. A reject means that nothing was run. */
  private unaccepted(error: QueryApi.QueryError): Effect.Effect<AcceptedQuery, QueryRejected> {
    return this.dependencies.options.changes
      ? Effect.succeed(this.failure(QueryApi.encodeError(error)))
      : Effect.fail(rejected(error))
  }

  private failure(payload: Uint8Array): AcceptedQuery {
    return {
      payload: RequestFields.accepted(this.request),
      chunks: Stream.fail(new QueryFailed({ payload }))
    }
  }

  /** Runs the query until a process has accepted or rejected it. */
  private readonly run: Effect.Effect<Attempt, QueryRejected | QueryFailed> = Effect.suspend(() =>
    Effect.catch(this.once, (error) => {
      if (error._tag !== "Lost") {
        return this.moves(error) ? Effect.delay(this.run, giveBackMillis) : Effect.fail(error)
      }
      const verdict = this.verdict(error)
      if (verdict === undefined) return this.run
      const { changes } = this.dependencies.options
      return Effect.fail(changes && error.wasSent ? failed(verdict) : rejected(verdict))
    })
  )

  /**
   * Whether a query is run again although its process still runs. For lack of memory: once, in another process
   * if there is one.
   */
  private moves({ payload }: QueryRejected | QueryFailed): boolean {
    const { options, supervisor } = this.dependencies
    if (options.changes || this.place === undefined) return false
    const error = QueryApi.decodeError(payload)
    if (Loss.isByAnother(error)) return ++this.reruns <= maxReruns
    if (this.avoids !== undefined || supervisor.now() - this.startedAt >= shortMillis) return false
    if (!Loss.isStarved(error)) return false
    this.avoids = this.place
    return true
  }

  /**
   * The error of a query whose process was lost; `undefined` if the query is run again. `hasPassed`: some of
   * its result has been passed on.
   */
  private verdict(lost: Loss.Lost, hasPassed = false): QueryApi.QueryError | undefined {
    const { loss, wasSent } = lost
    const { changes, commits = false } = this.dependencies.options
    const error = Loss.ofQuery(lost, changes && !commits)
    if (wasSent && changes) return error
    const end = hasPassed || ++this.reruns > maxReruns ? error : undefined
    if (!wasSent || Loss.hasKnownCause(loss)) return end
    if (Loss.hasTakenAll(loss)) return Loss.ofTaker(loss)
    const wasSuspect = this.isSuspect
    this.isSuspect = true
    if (!wasSuspect) return end
    if (Loss.isFault(loss)) this.dependencies.culprits.add(this.request)
    return Loss.ofCulprit(loss)
  }

  /** Runs the query in a process, until the process has accepted or rejected it. */
  private readonly once: Effect.Effect<Attempt, QueryRejected | Loss.Lost> = Effect.suspend(() => {
    const { scope: outer, supervisor } = this.dependencies
    const scope = Scope.forkUnsafe(outer)
    this.place = undefined
    const attempt = Effect.gen({ self: this }, function* () {
      yield* Scope.addFinalizer(scope, this.left)
      const incarnation = yield* Effect.mapError(supervisor.enter(this), rejected)
      this.place = incarnation.place
      const response = yield* Scope.provide(
        incarnation.client.request(this.request, { holdsFinal: true }),
        scope
      ).pipe(
        Effect.catchTag("ClientError", (error) => Effect.flatMap(this.lost(incarnation, error), Effect.fail))
      )
      return { response, incarnation, scope }
    })
    return Effect.onError(attempt, (cause) => Scope.close(scope, Exit.failCause(cause)))
  })

  private readonly stopping = Effect.sync(() => {
    this.isStopping = true
  })

  /** Releases the query's place. A query that was killed with its process has ended when the process has. */
  private readonly left: Effect.Effect<void> = Effect.suspend(() => {
    const leave = Effect.sync(() => {
      this.isStopping = false
      this.hasMovedOn = false
      this.dependencies.supervisor.leave(this)
    })
    const { incarnation } = this
    return incarnation?.isLost === true && !this.hasMovedOn
      ? Effect.andThen(this.within(incarnation.gone, incarnation.unknown), leave)
      : leave
  })

  private within(known: Deferred.Deferred<Loss.Loss>, unknown: Loss.Loss): Effect.Effect<Loss.Loss> {
    return Effect.timeoutOrElse(Deferred.await(known), {
      duration: this.dependencies.options.goneMillis,
      orElse: () => Effect.succeed(unknown)
    })
  }

  /** The loss of the process that an ended connection implies. */
  private lost(incarnation: Slot.Incarnation, { reason }: ClientError): Effect.Effect<Loss.Lost> {
    incarnation.giveUp()
    const wasSent = reason._tag !== "ConnectFailed" && reason._tag !== "ConnectionClosed"
    // A process with more memory takes longer to end. Queries that can have changed nothing need not wait.
    const { changes } = this.dependencies.options
    const known = changes ? incarnation.gone : incarnation.lost
    return Effect.map(this.within(known, incarnation.unknown), (loss) => {
      this.hasMovedOn = !changes
      return new Loss.Lost(loss, wasSent)
    })
  }

  /** The result, or that of another process if the first one is lost before any of it was passed on. */
  private chunks(first: Attempt): Stream.Stream<Uint8Array, QueryFailed> {
    return Stream.fromChannel(
      Channel.fromTransform((_, scope) =>
        Effect.gen({ self: this }, function* () {
          const pullOf = ({ response }: Attempt) => {
            this.final = response.separate()
            // The finalizer runs before the response's own, which waits for the query to stop.
            return Effect.tap(Channel.toPullScoped(Stream.toChannel(response.chunks), scope), () =>
              Scope.addFinalizer(scope, this.stopping)
            )
          }
          let attempt = first
          let pull = yield* pullOf(attempt)
          let hasPassed = false
          const passOn = (batch: Batch): Batch => {
            hasPassed = true
            return batch
          }
          const again = (error: ClientError | QueryFailed): Pull.Pull<Batch, QueryFailed> =>
            Effect.gen({ self: this }, function* () {
              attempt = yield* this.again(attempt, error, hasPassed)
              pull = yield* pullOf(attempt)
              return yield* next
            })
          const next: Pull.Pull<Batch, QueryFailed> = Effect.suspend(() =>
            Effect.catchTag(Effect.map(pull, passOn), ["ClientError", "QueryFailed"], again)
          )
          return next
        })
      )
    )
  }

  /**
   * The result of a query that commits, and its commit. The stream ends when all that the process has emitted
   * has been passed on. The pending pull then waits for the end of the response, which follows the commit.
   */
  private committing(attempt: Attempt, token: number): Required<Pick<AcceptedQuery, "chunks" | "commit">> {
    const { incarnation, response } = attempt
    const { scope: query } = this.dependencies
    let pending: Fiber.Fiber<Pulled> | undefined
    let passed = 0
    const chunks = Stream.fromChannel(
      Channel.fromTransform(() =>
        Effect.gen({ self: this }, function* () {
          this.final = response.separate()
          // The response outlives the stream: it ends after the commit.
          const pull = yield* Channel.toPullScoped(Stream.toChannel(response.chunks), query)
          yield* Scope.addFinalizer(query, this.stopping)
          yield* Scope.addFinalizer(
            query,
            Effect.sync(() => incarnation.handedOver.forget(token))
          )
          const whole = Effect.flatMap(Deferred.await(incarnation.handedOver.of(token)), (bytes) =>
            passed >= bytes ? Effect.undefined : Effect.never
          )
          const next: Pull.Pull<Batch, QueryFailed> = Effect.gen({ self: this }, function* () {
            pending ??= yield* Effect.forkIn(Effect.exit(pull), query)
            const pulled = yield* Effect.raceFirst(Fiber.join(pending), whole)
            if (pulled === undefined) return yield* Cause.done()
            pending = undefined
            const batch = yield* Effect.catchTag(pulled, "ClientError", (error) =>
              Effect.flatMap(this.lost(incarnation, error), ({ loss }) =>
                Effect.fail(failed(Loss.ofUncommitted(loss)))
              )
            )
            for (const chunk of batch) passed += chunk.length
            return batch
          })
          return next
        })
      )
    )
    const commit = Effect.suspend(() => {
      incarnation.commit(token)
      return pending === undefined ? Effect.void : Effect.flatMap(Fiber.join(pending), ended)
    })
    return { chunks, commit }
  }

  /** Runs an accepted query again that its process has not completed. */
  private again(
    before: Attempt,
    error: ClientError | QueryFailed,
    hasPassed: boolean
  ): Effect.Effect<Attempt, QueryFailed> {
    if (error._tag === "QueryFailed") {
      if (hasPassed || !this.moves(error)) return Effect.fail(error)
      return Effect.delay(this.anew(before, error), giveBackMillis)
    }
    return Effect.flatMap(this.lost(before.incarnation, error), (lost) => {
      const verdict = this.verdict(lost, hasPassed)
      const error = failed(verdict ?? Loss.ofQuery(lost, false))
      return verdict === undefined ? this.anew(before, error) : Effect.fail(error)
    })
  }

  /** Runs an accepted query again. It ends with the error if the new accept differs. */
  private anew(before: Attempt, error: QueryFailed): Effect.Effect<Attempt, QueryFailed> {
    return Effect.gen({ self: this }, function* () {
      yield* Scope.close(before.scope, Exit.void)
      const attempt = yield* Effect.catchTag(this.run, "QueryRejected", ({ payload }) =>
        Effect.fail(new QueryFailed({ payload }))
      )
      const { payload } = attempt.response
      this.queryId = RequestFields.accept(payload).queryId
      return RequestFields.isSameAccept(before.response.payload, payload) ? attempt : yield* error
    })
  }
}

const noBytes = new Uint8Array(0)

type Pulled = Exit.Exit<Batch, QueryFailed | ClientError | Cause.Done>

/** The end of a response after its commit. */
const ended = (pulled: Pulled): Effect.Effect<void, QueryFailed> =>
  Effect.matchCauseEffect(pulled, {
    onSuccess: () => Effect.die(new Error("A query has emitted more than it said")),
    onFailure: (cause) => {
      if (Pull.isDoneCause(cause)) return Effect.void
      const error = Cause.findErrorOption(cause)
      return Effect.fail(
        Option.isSome(error) && error.value._tag === "QueryFailed" ? error.value : failed(Loss.unknownOutcome)
      )
    }
  })

type Batch = readonly [Uint8Array, ...Array<Uint8Array>]
