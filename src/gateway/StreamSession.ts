/**
 * One WebSocket: several queries at a time, each in a fiber that sends no more than the client has granted.
 */
import type * as Net from "node:net"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { RequestLimits } from "../engine/Limits.ts"
import * as Chunk from "../net/Chunk.ts"
import * as Asked from "./Asked.ts"
import { stalled } from "./BodyWriter.ts"
import type { Caller } from "./Caller.ts"
import type { Dispatcher, Origin } from "./Dispatcher.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"
import type { Control, Entry } from "./Queries.ts"
import * as StreamMessages from "./StreamMessages.ts"
import * as StreamSocket from "./StreamSocket.ts"

export interface Settings {
  readonly limits: RequestLimits
  readonly maxStreamQueries: number
  readonly maxStreamCredit: number
  readonly httpMaxBodySize: number
  readonly streamHeartbeat: Duration.Duration
  /** The number of bytes buffered in the socket of a client that takes nothing. */
  readonly httpBufferSize: number
  readonly httpStallTimeout: Duration.Duration
}

export interface Dependencies {
  readonly dispatcher: Dispatcher
  /** Waits until the gateway takes no more queries. */
  readonly draining: Effect.Effect<void>
  readonly settings: Settings
  readonly origin: Omit<Origin, "caller">
  /** The caller, identified for each query, since a token may have been removed. */
  readonly identify: () => Caller | GatewayError.GatewayError
  /** The underlying connection, which shows whether the client takes pending bytes. */
  readonly connection: Net.Socket
}

/** The maximum size of a part of a result in one message, so that other queries get their turn. */
const maxPart = 256 * 1024

/**
 * The maximum number of bytes, besides parts of results, that are buffered for a client that does not read.
 */
const maxUnread = 1024 * 1024

/** A query that has not ended. */
class StreamQuery {
  readonly id: number
  readonly credit: StreamMessages.Credit
  readonly granted = Latch.makeUnsafe(false)
  fiber: Fiber.Fiber<void> | undefined
  /** The record that ends the query, if the client has ended it. */
  ending: (() => string) | undefined
  private isStopped = false
  entry: Entry | undefined
  /** The controls to end it at its back-end, once accepted. */
  control: Control | undefined

  constructor(id: number, credit: StreamMessages.Credit) {
    this.id = id
    this.credit = credit
  }

  /** Waits for credit. */
  readonly mayTake: Effect.Effect<void> = Effect.suspend(() => {
    if (this.credit.bytes > 0 || this.isStopped) return Effect.void
    this.granted.closeUnsafe()
    return this.granted.await
  })

  /** The query has ended, and its last record needs no credit. */
  stop(): void {
    this.isStopped = true
    this.granted.openUnsafe()
  }
}

/** The record that ends a cancelled query. If the query has another error, the cancel was too late. */
const cancelledRecord = ({ entry, id }: StreamQuery): string =>
  entry?.state === "failed" && entry.error !== undefined
    ? StreamMessages.failed(id, GatewayError.ofQuery(entry.error, entry.id))
    : StreamMessages.cancelled(id)

class Session {
  private readonly dependencies: Dependencies
  private readonly writer: Socket.Writer
  private readonly scope: Scope.Scope
  private readonly queries = new Map<number, StreamQuery>()
  private heardAt = 0n
  private whenIdle: (() => void) | undefined
  /**
   * Open unless the client has yet to take much of the sent bytes. A closed connection takes none any more.
   */
  private readonly room = Latch.makeUnsafe(true)

  constructor(dependencies: Dependencies, writer: Socket.Writer, scope: Scope.Scope) {
    this.dependencies = dependencies
    this.writer = writer
    this.scope = scope
    // Once for all queries, of which there may be many.
    for (const event of ["drain", "close"]) dependencies.connection.on(event, () => this.room.openUnsafe())
  }

  private send(message: string | Uint8Array): Effect.Effect<void> {
    // The reader detects a closed connection.
    return Effect.ignore(this.writer.write(message))
  }

  /** Waits until the client has taken most of the sent bytes. */
  private readonly taken: Effect.Effect<void, GatewayError.GatewayError> = Effect.suspend(() => {
    const { connection, settings } = this.dependencies
    // A closed connection has no more events.
    if (connection.closed || connection.writableLength < settings.httpBufferSize) return Effect.void
    this.room.closeUnsafe()
    return Effect.timeoutOrElse(this.room.await, {
      duration: settings.httpStallTimeout,
      orElse: () =>
        Effect.suspend(() => {
          const error = stalled(settings.httpStallTimeout)
          for (const { control } of this.queries.values())
            if (control !== undefined) control.stoppedBy ??= error
          connection.destroy()
          return Effect.fail(error)
        })
    })
  })

  /** Takes messages until one breaks the rules; returns the violation. */
  readonly receive = (message: string | Uint8Array): Effect.Effect<string | undefined> => {
    if (typeof message !== "string") return Effect.succeed("clients send no binary messages")
    const { connection, settings } = this.dependencies
    const results = settings.httpBufferSize + settings.maxStreamQueries * maxPart
    if (connection.writableLength > results + maxUnread) return Effect.succeed("answers are not read")
    const bytes = new TextEncoder().encode(message)
    const fields = Asked.fromJson(bytes, settings.limits)
    if (fields instanceof GatewayError.GatewayError) return this.refuse(bytes, fields.message)
    const decoded = StreamMessages.decode(Asked.plain(fields), settings.maxStreamCredit)
    if (typeof decoded === "string") return this.refuse(bytes, decoded)
    switch (decoded.type) {
      case "query":
        return this.begin(decoded.id, decoded.credit, StreamMessages.requestOf(fields))
      case "credit":
        return Effect.sync(() => this.grant(decoded.id, decoded.bytes))
      case "cancel":
        return Effect.sync(() => this.end(decoded.id, cancelledRecord))
      case "pong":
        return Effect.undefined
    }
  }

  /** A message is malformed: ends only its query, if that is known. */
  private refuse(message: Uint8Array, problem: string): Effect.Effect<string | undefined> {
    const subject = StreamMessages.subjectOf(message)
    if (subject === undefined) return Effect.succeed(problem)
    const { id, type } = subject
    if (type === "credit") return Effect.sync(() => this.fail(id, problem))
    // The client would take the error for that of the other query.
    if (this.queries.has(id)) return Effect.succeed(problem)
    return Effect.as(this.send(StreamMessages.failed(id, GatewayError.badRequest(problem))), undefined)
  }

  private grant(id: number, bytes: number): undefined {
    const query = this.queries.get(id)
    // The query may have ended meanwhile.
    if (query === undefined) return
    if (query.credit.grant(bytes)) query.granted.openUnsafe()
    else
      this.fail(id, `credit: more than ${this.dependencies.settings.maxStreamCredit} bytes (maxStreamCredit)`)
  }

  private fail(id: number, problem: string): undefined {
    return this.end(id, () => StreamMessages.failed(id, GatewayError.badRequest(problem)))
  }

  /** Ends a query for its client, with a record that is made once the query has ended. */
  private end(id: number, record: (query: StreamQuery) => string): undefined {
    const query = this.queries.get(id)
    if (query?.fiber === undefined || query.ending !== undefined) return
    query.ending = () => record(query)
    query.fiber.interruptUnsafe()
  }

  private begin(
    id: number,
    credit: number,
    request: Readonly<Record<string, unknown>>
  ): Effect.Effect<string | undefined> {
    const { maxStreamCredit, maxStreamQueries } = this.dependencies.settings
    if (this.queries.has(id)) return Effect.succeed(`id: a query that runs has the id ${id}`)
    if (this.queries.size >= maxStreamQueries) {
      const message = `${maxStreamQueries} queries run on this connection (maxStreamQueries)`
      const error = GatewayError.make("overloaded", message, { retryable: true })
      return Effect.as(this.send(StreamMessages.failed(id, error)), undefined)
    }
    const query = new StreamQuery(id, new StreamMessages.Credit(maxStreamCredit, credit))
    this.queries.set(id, query)
    return Effect.map(
      Effect.forkIn(this.answered(query, request), this.scope, { startImmediately: true }),
      (fiber) => {
        query.fiber = fiber
        return undefined
      }
    )
  }

  /** Runs a query and sends the one record that ends it, once it has ended at its back-end. */
  private answered(query: StreamQuery, request: Readonly<Record<string, unknown>>): Effect.Effect<void> {
    return Effect.scoped(this.run(query, request)).pipe(
      Effect.matchEffect({
        onSuccess: (receipt) => Effect.succeed(StreamMessages.end(query.id, receipt)),
        onFailure: (error) => Effect.succeed(StreamMessages.failed(query.id, error))
      }),
      Effect.flatMap((record) => this.finish(query, record)),
      Effect.onInterrupt(() =>
        query.ending === undefined ? Effect.void : this.finish(query, query.ending())
      )
    )
  }

  private finish(query: StreamQuery, record: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.queries.get(query.id) !== query) return Effect.void
      this.queries.delete(query.id)
      return Effect.map(this.send(record), () => {
        if (this.queries.size === 0) this.whenIdle?.()
      })
    })
  }

  /** Waits until no query runs. */
  readonly idle: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.queries.size === 0) return resume(Effect.void)
    this.whenIdle = () => resume(Effect.void)
  })

  private readonly run = Effect.fnUntraced(
    { self: this },
    function* (
      this: Session,
      query: StreamQuery,
      request: Readonly<Record<string, unknown>>
    ): Effect.fn.Return<object, GatewayError.GatewayError, Scope.Scope> {
      const { dispatcher, identify, origin, settings } = this.dependencies
      const caller = identify()
      if (caller instanceof GatewayError.GatewayError) return yield* caller
      const { formats } = caller
      const asked = Asked.make(request, {
        accept: undefined,
        formats: formats && [...formats].filter((format) => format !== Negotiation.events),
        readOnly: false,
        limits: settings.limits
      })
      if (asked instanceof GatewayError.GatewayError) return yield* asked
      if (asked.format === Negotiation.events || asked.waitsForEnd) {
        return yield* GatewayError.badRequest("format=events and wait are for HTTP alone")
      }
      const { accepted, control, entry, pull } = yield* dispatcher.start(
        asked,
        { ...origin, caller },
        (entry, control) => {
          query.entry = entry
          query.control = control
        }
      )
      control.hurry = () => query.stop()
      yield* this.send(StreamMessages.accepted(query.id, entry.id, accepted))
      for (;;) {
        yield* query.mayTake
        const batch = yield* Pull.catchDone(pull, () => Effect.undefined)
        if (batch === undefined) break
        for (const chunk of batch) yield* this.sendChunk(query, chunk)
      }
      const durationMs = entry.elapsedMillis(yield* Clock.monotonicTimeNanos)
      return { queryId: entry.id, bytes: entry.bytes, durationMs, ...entry.receipt }
    }
  )

  /** Sends a chunk in parts that the client has granted. */
  private readonly sendChunk = Effect.fnUntraced(
    { self: this },
    function* (
      this: Session,
      query: StreamQuery,
      chunk: Uint8Array
    ): Effect.fn.Return<void, GatewayError.GatewayError> {
      for (let at = 0; at < chunk.length; ) {
        yield* query.mayTake
        if (query.credit.bytes === 0) break
        yield* this.taken
        const size = Math.min(chunk.length - at, query.credit.bytes, maxPart)
        query.credit.spend(size)
        yield* this.send(StreamMessages.part(query.id, chunk.subarray(at, at + size)))
        at += size
      }
      Chunk.release(chunk)
    }
  )

  heard(nanos: bigint): void {
    this.heardAt = nanos
  }

  /** Announces the limits. */
  readonly greet = Effect.suspend(() => {
    const { settings } = this.dependencies
    return this.send(
      StreamMessages.limits({
        maxMessageSize: StreamSocket.maxMessageSize(settings),
        maxCredit: settings.maxStreamCredit,
        maxQueries: settings.maxStreamQueries
      })
    )
  })

  /** Sends pings; ends when the client has sent nothing for two intervals. */
  readonly beat = Effect.gen({ self: this }, function* () {
    const { streamHeartbeat } = this.dependencies.settings
    if (!Duration.isFinite(streamHeartbeat)) return yield* Effect.never
    const interval = Duration.toNanosUnsafe(streamHeartbeat)
    while ((yield* Clock.monotonicTimeNanos) - this.heardAt < interval * 2n + interval / 2n) {
      yield* this.send(StreamMessages.ping)
      yield* Effect.sleep(streamHeartbeat)
    }
    return "no sign of life"
  })
}

/** Serves the socket until it closes. Interruption closes it; its queries are cancelled then. */
export const serve = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  dependencies: Dependencies
): Effect.fn.Return<void, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const reader = yield* Effect.option(socket.reader)
  if (reader._tag === "None") return
  const writer = yield* socket.writer
  const session = new Session(dependencies, writer, scope)
  session.heard(yield* Clock.monotonicTimeNanos)
  yield* session.greet
  const reading = Effect.gen(function* () {
    for (;;) {
      const messages = yield* reader.value.pull
      session.heard(yield* Clock.monotonicTimeNanos)
      for (const message of messages) {
        const problem = yield* session.receive(message)
        if (problem !== undefined) return problem
      }
    }
  })
  const violation = Effect.map(Effect.raceFirst(reading, session.beat), (problem) => closing(problem))
  const leaving = Effect.as(
    Effect.andThen(dependencies.draining, session.idle),
    new Socket.CloseEvent(StreamSocket.closeCodes.goingAway, StreamSocket.shuttingDown)
  )
  const close = yield* Effect.option(Effect.raceFirst(violation, leaving))
  if (close._tag === "Some") yield* Effect.ignore(writer.write(close.value))
})

/** The close of a client that breaks the rules. A reason has at most 123 bytes. */
const closing = (problem: string): Socket.CloseEvent => {
  const reason = Buffer.from(problem)
    .subarray(0, 120)
    .toString("latin1")
    .replace(/[^ -~]/g, "?")
  return new Socket.CloseEvent(StreamSocket.closeCodes.policyViolation, reason)
}
