/**
 * Runs a query for a client: chooses its back-end, sends it, and follows it to its end. HTTP and WebSocket
 * share it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Accepted from "./Accepted.ts"
import * as Asked from "./Asked.ts"
import type { Answer, Backends } from "./Backends.ts"
import * as Caller from "./Caller.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Metrics from "./Metrics.ts"
import * as Negotiation from "./Negotiation.ts"
import type { Control, Entry, Open, Queries } from "./Queries.ts"
import * as QueryLog from "./QueryLog.ts"
import type { Route, Routes } from "./Routes.ts"
import * as SqlWords from "./SqlWords.ts"

export type Batch = readonly [Uint8Array, ...ReadonlyArray<Uint8Array>]

/** A query that a back-end has accepted. */
export interface Running {
  readonly entry: Entry
  readonly control: Control
  readonly accepted: Accepted.Accepted
  /** The chunks as they arrive; the consumer owns them. Ends only if the result is complete. */
  readonly pull: Pull.Pull<Batch, GatewayError.GatewayError>
  /** Whether all chunks have arrived. */
  readonly hasEnded: () => boolean
}

/** The caller, and the circumstances of the request. */
export interface Origin {
  readonly caller: Caller.Caller
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The address of the client; absent on a Unix socket. */
  readonly client: string | undefined
  /** Whether the query is the gateway's own, which lists omit. */
  readonly isInternal?: boolean
}

export interface Dispatcher {
  /**
   * Sends the query and waits until it is accepted. The scope owns it: closing the scope before the end
   * cancels the query. `begun` is called with it before it is sent.
   */
  readonly start: (
    asked: Asked.Asked,
    origin: Origin,
    begun?: (entry: Entry, control: Control) => void
  ) => Effect.Effect<Running, GatewayError.GatewayError, Scope.Scope>
  /** Cancels a query on behalf of another request, and returns when the query has ended. */
  readonly cancel: (entry: Entry) => Effect.Effect<void>
  /** The same for a gateway that stops, whose clients get that reason. */
  readonly abandon: (entry: Entry) => Effect.Effect<void>
}

export interface Dependencies {
  readonly backends: Backends
  readonly queries: Queries
  readonly routes: Routes
  /** Takes a place for a query of the caller, which begins now. Returns the function that releases it. */
  readonly admit: (origin: Origin, now: bigint) => (() => void) | GatewayError.GatewayError
}

const cancelled = GatewayError.make("cancelled", "The query was cancelled")
/** The error for clients of a gateway that stops. */
export const shuttingDown = GatewayError.make("shutting_down", "The gateway is shutting down", {
  retryable: true
})
const tooLate = GatewayError.make(
  "unknown_outcome",
  "The query was complete at its back-end before the cancel came there: what it wrote is committed"
)
const unread = GatewayError.make(
  "overloaded",
  "The client read nothing while other queries waited, and too many clients did the same (backendStallTimeout, backendQueue)",
  { retryable: true }
)
const gone = GatewayError.make("cancelled", "The client cancelled the query, or went away before its end")

export const make = (dependencies: Dependencies): Dispatcher => ({
  start: (asked, origin, begun = nothing) =>
    Clock.clockWith((clock) =>
      Effect.flatMap(Effect.scope, (outer) => start(dependencies, { asked, origin, clock, begun }, outer))
    ),
  cancel: (entry) => stop(dependencies.queries, entry, cancelled),
  abandon: (entry) => stop(dependencies.queries, entry, shuttingDown)
})

/** The caller of this may be interrupted meanwhile. */
const stop = (queries: Queries, entry: Entry, reason: GatewayError.GatewayError): Effect.Effect<void> =>
  Effect.uninterruptible(
    Effect.suspend(() => {
      const control = queries.controlOf(entry)
      if (control === undefined) return Effect.void
      if (entry.state !== "running" && control.stoppedBy === undefined) return Effect.void
      control.stoppedBy ??= reason
      control.hurry()
      return Effect.andThen(control.stop, control.over)
    })
  )

const nothing = () => {}

/** The state of a query that the gateway has ended, or whose client closed or did not read. */
const stateOf = ({ code }: GatewayError.GatewayError): "cancelled" | "failed" =>
  code === "cancelled" ? "cancelled" : "failed"

const settle = (
  entry: Entry,
  state: "complete" | "failed" | "cancelled",
  error?: GatewayError.GatewayError
): Effect.Effect<void> =>
  Effect.map(Clock.monotonicTimeNanos, (nanos) => {
    entry.settle(state, nanos, error)
  })

interface Asking {
  readonly asked: Asked.Asked
  readonly origin: Origin
  readonly clock: Clock.Clock
  readonly begun: (entry: Entry, control: Control) => void
}

/** A query that has its places: in the table of queries, in its conversation, in its caller's quota. */
interface Begun extends Asking, Open {
  readonly route: Route
  readonly leave: (now: bigint) => void
}

const start = (
  dependencies: Dependencies,
  asking: Asking,
  outer: Scope.Scope
): Effect.Effect<Running, GatewayError.GatewayError> => {
  // Not a child of the outer scope, whose close would not wait for a scope that a cancel is already closing.
  const scope = Scope.makeUnsafe()
  let begun: Begun | GatewayError.GatewayError | undefined
  const ofBegun = (effect: (query: Begun) => Effect.Effect<void>) =>
    Effect.suspend(() =>
      begun === undefined || begun instanceof GatewayError.GatewayError ? Effect.void : effect(begun)
    )
  const close = Scope.close(scope, Exit.void)
  // This runs after the query has been cancelled at its back-end.
  const end = ofBegun((query) => ended(dependencies.queries, query))
  const over = ofBegun(({ control }) => control.over)
  return Effect.flatMap(
    Effect.andThen(Scope.addFinalizer(scope, end), Scope.addFinalizer(outer, Effect.andThen(close, over))),
    () => {
      begun = begin(dependencies, asking)
      if (begun instanceof GatewayError.GatewayError) return Effect.fail(begun)
      const query = begun
      query.control.stop = close
      asking.begun(query.entry, query.control)
      return Effect.catchCause(Scope.provide(running(dependencies, begun), scope), (cause) =>
        Effect.flatMap(failed(query, cause), Effect.fail)
      )
    }
  )
}

/** Decides whether and where a query runs, and takes its places. */
const begin = (
  { admit, queries, routes }: Dependencies,
  asking: Asking
): Begun | GatewayError.GatewayError => {
  const { asked, clock, origin } = asking
  const { caller } = origin
  const now = clock.monotonicTimeNanosUnsafe()
  const writing = asked.readOnly || caller.readOnly ? SqlWords.writes(asked.query) : undefined
  if (writing !== undefined) {
    return GatewayError.make(
      "not_allowed",
      `${writing.toUpperCase()} may change something: ${asked.readOnly ? "use POST" : "the token is read-only"}`
    )
  }
  const route = routes.find(asked, origin, now)
  if (route instanceof GatewayError.GatewayError) return route
  const { backend, target } = route
  const release = Caller.refusal(caller, { format: asked.format, target }) ?? admit(origin, now)
  if (release instanceof GatewayError.GatewayError) {
    route.leave(now)
    return release
  }
  const opened = {
    id: asked.queryId ?? queries.newId(backend),
    query: asked.query,
    format: asked.format,
    target,
    backend,
    owner: caller.name,
    isListed: origin.isInternal !== true
  }
  const open = queries.open(opened, clock)
  const leave = (nanos: bigint) => {
    release()
    route.leave(nanos)
  }
  if (!(open instanceof GatewayError.GatewayError)) return { ...asking, ...open, route, leave }
  leave(now)
  return open
}

/** The scope of a query closes: a query that had not ended before was cancelled. */
const ended = (queries: Queries, { clock, control, entry, leave, origin }: Begun): Effect.Effect<void> => {
  const nanos = clock.monotonicTimeNanosUnsafe()
  const reason = entry.isCommitted && !entry.onlyReads ? tooLate : (control.stoppedBy ?? gone)
  entry.settle(stateOf(reason), nanos, reason)
  queries.close(entry, nanos)
  leave(nanos)
  control.end()
  const logged = origin.isInternal === true ? Effect.void : QueryLog.ended(entry, origin, nanos)
  return Effect.andThen(Metrics.ended(entry, entry.elapsedMillis(nanos)), logged)
}

const running = (
  { backends, queries }: Dependencies,
  begun: Begun
): Effect.Effect<Running, GatewayError.Upstream, Scope.Scope> => {
  const { asked, entry, origin, route } = begun
  const { caller, client } = origin
  const body = Asked.encode(asked, {
    queryId: entry.id,
    readOnly: asked.readOnly || caller.readOnly,
    asker: { client, token: caller.name, tenant: caller.tenant },
    traceparent: origin.headers["traceparent"]
  })
  const { home, instances } = route
  let mayRun = false
  const asking = Effect.mapError(
    backends.request(instances, {
      body,
      receipt: asked.receipt,
      onComplete: () => {
        entry.isCommitted = true
      },
      tried: (instance) => {
        entry.asked = instance
      },
      mayRun: (now) => {
        mayRun = now
      },
      evict: stop(queries, entry, unread),
      home
    }),
    (error) => lost(route, Asked.explained(asked, error))
  )
  return Effect.flatMap(
    timed(asked, asking, () => mayRun),
    (answer) => {
      const { instance } = answer
      entry.instance = instance
      route.chosen(instance)
      const accepted = acceptedOf(begun, answer)
      if (accepted instanceof GatewayError.GatewayError) return Effect.fail(accepted)
      entry.onlyReads = accepted.readOnly === true
      entry.hasProgress = accepted.progress === true
      return Effect.succeed(relaying(backends, begun, answer, accepted))
    }
  )
}

/** The accept, if it matches the query. */
const acceptedOf = (
  { asked, origin }: Begun,
  { instance: { address }, payload }: Answer
): Accepted.Accepted | GatewayError.GatewayError => {
  const accepted = Accepted.decode(payload)
  const format = Negotiation.upstreamFormat(asked.format)
  if (accepted === undefined) {
    return GatewayError.make("backend_lost", `${address} sent an undecodable accept`)
  }
  if (accepted.format !== format) {
    return GatewayError.make(
      "backend_lost",
      `${address} answered with ${accepted.format}, but ${format} was asked for`
    )
  }
  if (!origin.caller.readOnly || accepted.readOnly === true) return accepted
  return GatewayError.make(
    "forbidden",
    `The token is read-only, and ${address} does not promise that its queries only read`
  )
}

const relaying = (
  backends: Backends,
  query: Begun,
  { hasEnded, instance, pull: upstream, separate }: Answer,
  accepted: Accepted.Accepted
): Running => {
  const { asked, control, entry } = query
  const final = asked.receipt && accepted.receipt === true ? separate() : undefined
  const pull: Running["pull"] = Effect.matchCauseEffect(upstream, {
    onSuccess: (batch) => {
      for (const chunk of batch) entry.bytes += chunk.length
      return Effect.succeed<Batch>(batch)
    },
    onFailure: (cause): Effect.Effect<never, GatewayError.GatewayError | Cause.Done> => {
      if (Pull.isDoneCause(cause)) return Effect.andThen(completed(entry, final), Cause.done())
      const error = Cause.findErrorOption(cause)
      if (error._tag === "Some" && error.value._tag !== "Done") backends.failed(instance, error.value)
      return Effect.flatMap(failed(query, cause as Cause.Cause<GatewayError.Upstream>), Effect.fail)
    }
  })
  return { entry, control, accepted, hasEnded, pull }
}

/** The result is complete, and its receipt matches it. */
const completed = (
  entry: Entry,
  final: (() => Uint8Array | undefined) | undefined
): Effect.Effect<void, GatewayError.GatewayError> => {
  if (final === undefined) return settledComplete(entry)
  const receipt = QueryApi.decodeReceipt(final() ?? new Uint8Array(0))
  if (Result.isSuccess(receipt) && receipt.success.bytes === entry.bytes) {
    const { bytes, crc32, durationMs, rows } = receipt.success
    entry.receipt = { bytes, crc32, durationMs, ...(rows === undefined ? {} : { rows }) }
    return settledComplete(entry)
  }
  const message = Result.isFailure(receipt)
    ? receipt.failure.message
    : `${entry.bytes} bytes have come of a result of ${receipt.success.bytes}`
  const error = GatewayError.ofQuery(GatewayError.make("backend_lost", message), entry.id)
  return Effect.andThen(settle(entry, "failed", error), Effect.fail(error))
}

/** The client gets the same outcome as the verdict shows: a cancel or a stop may have come first. */
const settledComplete = (entry: Entry): Effect.Effect<void, GatewayError.GatewayError> =>
  Effect.flatMap(settle(entry, "complete"), () =>
    entry.state === "complete"
      ? Effect.void
      : Effect.fail(GatewayError.ofQuery(entry.error ?? cancelled, entry.id))
  )

/** A conversation uses no address but its own. */
const lost = (route: Route, error: GatewayError.GatewayError): GatewayError.GatewayError =>
  route.conversation === undefined || error.code !== "backend_unavailable"
    ? error
    : GatewayError.make(
        "conversation_lost",
        `conversation: ${route.conversation} belongs to ${addressOf(route)}, which cannot be reached; ` +
          `begin another one. ${error.message}`
      )

const addressOf = ({ home, instances }: Route): string | undefined =>
  (home?.preferred() ?? instances[0])?.address

/** The time that a query waits for its accept counts too, since the back-end may not have received it yet. */
const timed = <A, E, R>(
  { body }: Asked.Asked,
  effect: Effect.Effect<A, E, R>,
  mayRun: () => boolean
): Effect.Effect<A, E | GatewayError.GatewayError, R> => {
  const timeout = body["timeoutMs"]
  return typeof timeout !== "number"
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: timeout,
        orElse: () => Effect.suspend(() => Effect.fail(mayRun() ? notStarted : notSent))
      })
}

const notStarted = GatewayError.make(
  "timeout",
  "The query was not accepted within its timeoutMs: it waited, or was being prepared, for longer"
)
const notSent = GatewayError.make(
  "timeout",
  "The query waited for a connection to its back-end for its timeoutMs. Nothing was run",
  { retryable: true }
)

/** The client's error for a failure. Interruption passes. */
const failed = (
  { control, entry }: Open,
  cause: Cause.Cause<GatewayError.Upstream>
): Effect.Effect<GatewayError.GatewayError> => {
  // The scope of a cancelled query closes, so its failing reads are no error of their own. The final error is
  // known once the query has ended at its back-end.
  const { stoppedBy } = control
  if (stoppedBy !== undefined) {
    return Effect.map(control.over, () => GatewayError.ofQuery(entry.error ?? stoppedBy, entry.id))
  }
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  const error = GatewayError.ofQuery(GatewayError.fromCause(cause), entry.id)
  const report = Cause.hasDies(cause)
    ? Effect.logError("The gateway died while relaying a query", cause)
    : Effect.void
  return Effect.as(Effect.andThen(report, settle(entry, "failed", error)), error)
}
