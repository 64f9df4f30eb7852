/**
 * Runs a query for a client: finds its back-end, sends it, and follows it to its end. HTTP and WebSocket share it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Asked from "./Asked.ts"
import type { Backends } from "./Backends.ts"
import * as Caller from "./Caller.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Metrics from "./Metrics.ts"
import * as Negotiation from "./Negotiation.ts"
import type { Entry, Queries } from "./Queries.ts"
import type { Route, Routes } from "./Routes.ts"
import * as SqlWords from "./SqlWords.ts"

/** The body of an accept, with the fields that matter to a gateway. */
const Accepted = Schema.Struct({
  format: Schema.String,
  columns: Schema.optional(Schema.Array(QueryApi.Column)),
  receipt: Schema.optional(Schema.Boolean),
  readOnly: Schema.optional(Schema.Boolean)
})
export type Accepted = typeof Accepted.Type

const decodeAccepted = Schema.decodeUnknownOption(Schema.fromJsonString(Accepted))
const decoder = new TextDecoder()

export type Batch = readonly [Uint8Array, ...ReadonlyArray<Uint8Array>]

/** A query that a back-end has accepted. */
export interface Running {
  readonly entry: Entry
  readonly accepted: Accepted
  /** The chunks as they come; they are the consumer's. Ends only if the result is whole. */
  readonly pull: Pull.Pull<Batch, GatewayError.GatewayError>
  /** Whether all that will come is there. */
  readonly hasEnded: () => boolean
}

/** Who asks, and how the request came. */
export interface Origin {
  readonly caller: Caller.Caller
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Whether the query is the gateway's own, which no list shows. */
  readonly isInternal?: boolean
}

export interface Dispatcher {
  /**
   * Sends the query and waits until it is accepted. The scope owns it: closing the scope before the end cancels the
   * query.
   */
  readonly start: (
    asked: Asked.Asked,
    origin: Origin
  ) => Effect.Effect<Running, GatewayError.GatewayError, Scope.Scope>
  /** Cancels a query, and returns when it has ended. */
  readonly cancel: (entry: Entry) => Effect.Effect<void>
}

export interface Dependencies {
  readonly backends: Backends
  readonly queries: Queries
  readonly routes: Routes
  /** Takes a place for a query of the caller, for as long as the scope is open. */
  readonly admit: (caller: Caller.Caller) => Effect.Effect<void, GatewayError.GatewayError, Scope.Scope>
}

const cancelled = GatewayError.make("cancelled", "The query was cancelled")
const gone = GatewayError.make("cancelled", "The client cancelled the query, or went away before its end")

export const make = (dependencies: Dependencies): Dispatcher => ({
  start: (asked, origin) =>
    Effect.flatMap(Effect.scope, (outer) =>
      Effect.flatMap(Scope.fork(outer), (scope) => start(dependencies, asked, origin, scope))
    ),
  cancel: (entry) =>
    Effect.suspend(() => {
      if (entry.state !== "running") return Effect.void
      entry.cancelRequested = true
      entry.hurry()
      return Effect.andThen(entry.stop, settle(entry, "cancelled", cancelled))
    })
})

const settle = (
  entry: Entry,
  state: "complete" | "failed" | "cancelled",
  error?: GatewayError.GatewayError
): Effect.Effect<void> =>
  Effect.map(Clock.monotonicTimeNanos, (nanos) => {
    entry.settle(state, nanos, error)
  })

const start = Effect.fnUntraced(function* (
  dependencies: Dependencies,
  asked: Asked.Asked,
  origin: Origin,
  scope: Scope.Closeable
): Effect.fn.Return<Running, GatewayError.GatewayError> {
  const { backends, queries, routes } = dependencies
  const { caller } = origin
  const readOnly = asked.readOnly || caller.readOnly
  const writing = readOnly ? SqlWords.writes(asked.query) : undefined
  if (writing !== undefined) {
    return yield* GatewayError.make(
      "not_allowed",
      `${writing.toUpperCase()} may change something: ${asked.readOnly ? "use POST" : "the token is read-only"}`
    )
  }
  const route = yield* Scope.provide(routes.find(asked, origin), scope)
  const refusal = Caller.refusal(caller, { format: asked.format, target: route.target })
  if (refusal !== undefined) return yield* refusal
  yield* Scope.provide(dependencies.admit(caller), scope)
  const entry = yield* queries.open({
    id: asked.queryId ?? (yield* queries.newId(route.backend)),
    query: asked.query,
    format: asked.format,
    target: route.target,
    owner: caller.name,
    isListed: origin.isInternal !== true
  })
  entry.stop = Scope.close(scope, Exit.void)
  // It runs after the query has been cancelled at its back-end.
  yield* Scope.addFinalizer(scope, ended(queries, entry))
  const body = Asked.encode(asked, {
    queryId: entry.id,
    readOnly,
    traceparent: origin.headers["traceparent"]
  })
  return yield* running(backends, { asked, body, entry, origin, route }).pipe(
    Scope.provide(scope),
    Effect.catchCause((cause) => Effect.flatMap(failed(entry, cause), Effect.fail))
  )
})

/** The scope of a query closes: whatever had no end before was cancelled. */
const ended = (queries: Queries, entry: Entry): Effect.Effect<void> =>
  Effect.flatMap(Clock.monotonicTimeNanos, (nanos) => {
    entry.settle("cancelled", nanos, entry.cancelRequested ? cancelled : gone)
    queries.close(entry, nanos)
    return Metrics.ended(entry, entry.elapsedMillis(nanos))
  })

interface Sent {
  readonly asked: Asked.Asked
  readonly origin: Origin
  readonly route: Route
  readonly entry: Entry
  /** The v1 request. */
  readonly body: Uint8Array
}

const running = Effect.fnUntraced(function* (
  backends: Backends,
  { asked, body, entry, origin, route }: Sent
): Effect.fn.Return<Running, GatewayError.Upstream, Scope.Scope> {
  const asking = backends.request(route.instances, {
    body,
    receipt: asked.receipt,
    preferred: route.preferred
  })
  const { chunks, hasEnded, instance, payload, separate } = yield* timed(
    asked,
    Effect.mapError(asking, (error) => lost(route, error))
  )
  entry.instance = instance
  route.chosen(instance)
  const accepted = decodeAccepted(decoder.decode(payload))
  if (accepted._tag === "None") {
    return yield* GatewayError.make("backend_lost", `${instance.address} sent an undecodable accept`)
  }
  if (accepted.value.format !== Negotiation.upstreamFormat(asked.format)) {
    const { address } = instance
    return yield* GatewayError.make(
      "backend_lost",
      `${address} answered with ${accepted.value.format}, but ${Negotiation.upstreamFormat(asked.format)} was asked for`
    )
  }
  if (origin.caller.readOnly && accepted.value.readOnly !== true) {
    return yield* GatewayError.make(
      "forbidden",
      `The token is read-only, and ${instance.address} does not promise that its queries only read`
    )
  }
  const final = asked.receipt && accepted.value.receipt === true ? separate() : undefined
  const upstream = yield* Stream.toPull(chunks)
  const counted = Effect.map(upstream, (batch): Batch => {
    for (const chunk of batch) entry.bytes += chunk.length
    return batch
  })
  const pull: Running["pull"] = Effect.catchCause(
    counted,
    (cause): Effect.Effect<never, GatewayError.GatewayError | Cause.Done> => {
      if (Pull.isDoneCause(cause)) return Effect.andThen(completed(entry, final), Cause.done())
      const error = Cause.findErrorOption(cause)
      if (error._tag === "Some" && error.value._tag !== "Done") backends.failed(instance, error.value)
      return Effect.flatMap(failed(entry, cause as Cause.Cause<GatewayError.Upstream>), Effect.fail)
    }
  )
  return { entry, accepted: accepted.value, hasEnded, pull }
})

/** The result is whole, and its receipt says what it should be. */
const completed = (
  entry: Entry,
  final: (() => Uint8Array | undefined) | undefined
): Effect.Effect<void, GatewayError.GatewayError> => {
  if (final === undefined) return settle(entry, "complete")
  const receipt = QueryApi.decodeReceipt(final() ?? new Uint8Array(0))
  if (Result.isSuccess(receipt) && receipt.success.bytes === entry.bytes) {
    const { bytes, crc32, durationMs, rows } = receipt.success
    entry.receipt = { bytes, crc32, durationMs, ...(rows === undefined ? {} : { rows }) }
    return settle(entry, "complete")
  }
  const message = Result.isFailure(receipt)
    ? receipt.failure.message
    : `${entry.bytes} bytes have come of a result of ${receipt.success.bytes}`
  const error = GatewayError.ofQuery(GatewayError.make("backend_lost", message), entry.id)
  return Effect.andThen(settle(entry, "failed", error), Effect.fail(error))
}

/** A conversation goes to no other address than its own. */
const lost = (route: Route, error: GatewayError.GatewayError): GatewayError.GatewayError =>
  route.conversation === undefined || error.code !== "backend_unavailable"
    ? error
    : GatewayError.make(
        "conversation_lost",
        `conversation: ${route.conversation} belongs to ${route.instances[0]?.address}, which cannot be reached; ` +
          `begin another one. ${error.message}`
      )

/** The time that a query waits for its accept counts too: the back-end may not have seen it yet. */
const timed = <A, E, R>(
  { body }: Asked.Asked,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | GatewayError.GatewayError, R> => {
  const timeout = body["timeoutMs"]
  return typeof timeout !== "number"
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: timeout,
        orElse: () =>
          Effect.fail(GatewayError.make("timeout", "The query did not start within its timeoutMs"))
      })
}

/** The error that a failure is to the client. Interruption passes. */
const failed = (
  entry: Entry,
  cause: Cause.Cause<GatewayError.Upstream>
): Effect.Effect<GatewayError.GatewayError> => {
  // The scope of a query that was cancelled is closed: that it cannot be read any more is no error of its own.
  if (entry.cancelRequested) {
    return Effect.as(settle(entry, "cancelled", cancelled), GatewayError.ofQuery(cancelled, entry.id))
  }
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  const error = GatewayError.ofQuery(GatewayError.fromCause(cause), entry.id)
  const report = Cause.hasDies(cause)
    ? Effect.logError("The gateway died while relaying a query", cause)
    : Effect.void
  return Effect.as(Effect.andThen(report, settle(entry, "failed", error)), error)
}
