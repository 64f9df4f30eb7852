/**
 * A client's connection: a scope in which a framed stream of messages feeds the pure `ClientMachine`, and that owns the
 * request in flight.
 *
 * During a response the stream is not pulled unless the consumer waits. Between requests it is, so that heartbeats do
 * not pile up and a server that closes is noticed.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Scheduler as EffectScheduler } from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Socket from "effect/socket/Socket"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import { type Scheduler, TurnScheduler } from "../loop/TurnScheduler.ts"
import * as Chunk from "../net/Chunk.ts"
import type * as Transport from "../net/Transport.ts"
import * as Machine from "../protocol/ClientMachine.ts"
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"
import * as BodyLimits from "./BodyLimits.ts"
import type * as ClientError from "./ClientError.ts"
import * as ClientFailure from "./ClientFailure.ts"
import type { Exchange, Line } from "./Exchange.ts"
import type { Settings } from "./Settings.ts"

export interface Options extends Message.Options, ClientFailure.Names {
  readonly writeTimeoutMillis: number
  readonly bodyLimits?: Message.BodyLimits | undefined
}

/**
 * The settings that are a connection's. `server` is how errors call the other end. Throws a `RangeError` that names the
 * setting whose value is invalid.
 */
export const options = (settings: Settings, server: string): Options => ({
  lengthCounts: settings.lengthCounts,
  maxFrameSize: Limit.size("maxFrameSize", settings.maxFrameSize, Message.headerSize),
  bodyLimits: BodyLimits.make(settings),
  writeTimeoutMillis: Limit.millis("writeTimeout", settings.writeTimeout),
  heartbeatToleranceMillis: Limit.millis("heartbeatTolerance", settings.heartbeatTolerance),
  cancelTimeoutMillis: Limit.millis("cancelTimeout", settings.cancelTimeout),
  server
})

export interface ClientConnection {
  /** Sends a request. To be called while the connection is open and has none in flight. */
  readonly send: (exchange: Exchange) => void
  /** Why the connection has ended, if it has. */
  readonly why: Machine.Why | undefined
  /** Closes it before its scope does. */
  readonly close: Effect.Effect<void>
}

/** The owner of requests for connections. */
export interface Owner {
  /** The response in flight has ended: another request may be sent. */
  readonly freed: (connection: ClientConnection) => void
  /** The connection is of no more use; `unsent` was about to be sent on it. */
  readonly ended: (connection: ClientConnection, why: Machine.Why, unsent: Exchange | undefined) => void
}

/** Opens the transport. Closing the scope drops the connection. */
export const make = Effect.fnUntraced(function* (
  transport: Transport.Open,
  options: Options,
  owner: Owner
): Effect.fn.Return<ClientConnection, ClientError.ClientError, Scope.Scope> {
  // A scope of its own: a response in the same scope as the connection is cancelled while that one closes.
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* Scope.provide(open(transport, options, owner, scope), scope).pipe(
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
    Effect.mapError((error) => ClientFailure.connectFailed(options.server, Writer.describe(error)))
  )
})

const open = Effect.fnUntraced(function* (
  opening: Transport.Open,
  options: Options,
  owner: Owner,
  scope: Scope.Closeable
): Effect.fn.Return<ClientConnection, Socket.SocketError, Scope.Scope> {
  const transport = yield* opening
  const codec = Message.codec({ ...options, splitChunks: () => !session.holdsFinal })
  const session: Session = new Session({
    framed: yield* FramedConnection.make(transport, codec, options),
    timers: yield* Timers.use,
    scheduler: yield* TurnScheduler,
    effects: yield* EffectScheduler,
    options,
    owner,
    close: Scope.close(scope, Exit.void)
  })
  yield* Effect.forkScoped(session.run, { startImmediately: true })
  yield* Effect.addFinalizer(() => session.end)
  return session
})

type Framed = FramedConnection.FramedConnection<Message.Message, Message.Message, Message.FrameError>

interface Dependencies {
  readonly framed: Framed
  readonly timers: Timers.Timers
  readonly scheduler: Scheduler
  readonly effects: EffectScheduler
  readonly options: Options
  readonly owner: Owner
  readonly close: Effect.Effect<void>
}

const request: Machine.Event = { _tag: "Request" }
const cancelMessages: ReadonlyArray<Message.Message> = [Message.make(Message.Type.Cancel)]
const noMessages: ReadonlyArray<Message.Message> = []

class Session implements ClientConnection, Line {
  private readonly dependencies: Dependencies
  private state: Machine.State = Machine.initial
  /** The request that has its turn until its response has ended. */
  private current: Exchange | undefined
  private isWritten = false
  /** Resumes the reading fiber, while it waits for the consumer. */
  private reading: (() => void) | undefined
  /** When the server may have been silent for too long. */
  private readonly silence: Timers.Deadline
  private expectedAt = 0
  private readonly cancelDeadline: Timers.Deadline

  constructor(dependencies: Dependencies) {
    const { timers } = dependencies
    this.dependencies = dependencies
    this.silence = timers.deadline(() => this.checkSilence())
    this.cancelDeadline = timers.deadline(() => this.dispatch({ _tag: "CancelExpired" }))
  }

  /** Reads until the connection ends. */
  get run(): Effect.Effect<void> {
    return Effect.matchCause(
      Stream.runForEachArray(this.dependencies.framed.messages, (batch) => this.receive(batch)),
      {
        onSuccess: () => this.dispatch(this.unwritten ?? { _tag: "ServerClosed" }),
        onFailure: (cause) => this.dispatch(this.unwritten ?? inputEnd(cause))
      }
    )
  }

  /** A failed write ends the input too, and is the reason then. */
  private get unwritten(): Machine.Event | undefined {
    const failure = this.dependencies.framed.writer.failure()
    return failure === undefined ? undefined : { _tag: "WriteFailed", detail: writeFailure(failure) }
  }

  /** Whether the final message of the response in flight has to come whole. */
  get holdsFinal(): boolean {
    return this.current?.holdsFinal === true
  }

  get why(): Machine.Why | undefined {
    return this.state._tag === "Closed" ? this.state.why : undefined
  }

  get close(): Effect.Effect<void> {
    return this.dependencies.close
  }

  readonly end: Effect.Effect<void> = Effect.sync(() => this.dispatch({ _tag: "Close" }))

  private receive(batch: FramedConnection.Batch<Message.Message>): Effect.Effect<void> {
    for (const message of batch) this.message(message)
    this.settle()
    return this.mayRead ? Effect.void : this.wanted
  }

  /** The consumer holds the server back, unless it waits. */
  private get mayRead(): boolean {
    return this.state._tag !== "Responding" || this.isStarved
  }

  private readonly wanted: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.mayRead) resume(Effect.void)
    else this.reading = () => resume(Effect.void)
  })

  private readOn(): void {
    const { reading } = this
    this.reading = undefined
    reading?.()
  }

  private get isStarved(): boolean {
    return this.current?.starved === true
  }

  /** Whether the server has to send something: it need not answer a request that it has not taken yet. */
  private get isAwaited(): boolean {
    return this.state._tag === "Requested"
      ? this.isWritten
      : this.state._tag === "Responding" && this.isStarved
  }

  /** From now on the server has to send something. */
  private expect(): void {
    const { options, timers } = this.dependencies
    if (options.heartbeatToleranceMillis === Timers.never) return
    this.expectedAt = timers.now()
    this.silence.set(this.expectedAt + options.heartbeatToleranceMillis)
  }

  private checkSilence(): void {
    if (!this.isAwaited) return
    const { framed, options, timers } = this.dependencies
    const at = Math.max(this.expectedAt, framed.lastReadAt()) + options.heartbeatToleranceMillis
    if (at > timers.now()) this.silence.set(at)
    else this.dispatch({ _tag: "Silence" })
  }

  private message({ body, type }: Message.Message): void {
    const exchange = this.current
    switch (this.step({ _tag: "Received", type })) {
      case "Accept":
        exchange?.accept(Chunk.keep(body))
        break
      case "Chunk":
        exchange?.chunk(body)
        break
      case "Finish":
        exchange?.finished(body)
        break
      case "Reject":
        exchange?.end({ _tag: "Rejected", payload: Chunk.keep(body) })
        break
      case "Fail":
        exchange?.end({ _tag: "Failed", payload: Chunk.keep(body) })
        break
      case "EndCancelled":
        exchange?.end({ _tag: "Cancelled" })
        Chunk.release(body)
        break
      default:
        Chunk.release(body)
    }
  }

  /** Steps the machine and performs its action. */
  private dispatch(event: Machine.Event): void {
    this.step(event)
    this.settle()
  }

  private step(event: Machine.Event): Machine.Action {
    const [state, action] = Machine.step(this.state, event)
    this.state = state
    if (action === "Close" && state._tag === "Closed") this.breakOff(state.why)
    return action
  }

  /** The connection is of no more use, neither to the response in flight nor to other requests. */
  private breakOff(why: Machine.Why): void {
    const { framed, options, owner } = this.dependencies
    const exchange = this.current
    framed.stop()
    this.silence.clear()
    this.cancelDeadline.clear()
    if (exchange?.sent === true) {
      exchange.end({ _tag: "Broken", cause: Cause.fail(ClientFailure.duringResponse(options, why)) })
      owner.ended(this, why, undefined)
    } else {
      this.current = undefined
      owner.ended(this, why, exchange)
    }
    // The owner's scope closes the socket in its own way, after pending writes.
    if (why._tag !== "Closed") framed.writer.close()
    this.readOn()
  }

  /** Lets the next request and the consumer know of the messages that have arrived. */
  private settle(): void {
    const exchange = this.current
    if (exchange === undefined) return
    if (exchange.ended) this.free()
    // Consumers that need not decide about reading on are resumed in one batch with those of other connections: between
    // reads each would find that the kernel has pushed its code out of the processor's caches.
    if (exchange.isConsumed) exchange.resume()
    else this.dependencies.scheduler.nextTurn(exchange, this.dependencies.effects)
  }

  /** Another request may have its turn. */
  private free(): void {
    this.current = undefined
    this.cancelDeadline.clear()
    if (this.why === undefined) this.dependencies.owner.freed(this)
  }

  send(exchange: Exchange): void {
    if (this.current !== undefined) throw new Error("A connection has one request in flight")
    exchange.line = this
    this.current = exchange
    // Together with those of other connections: a server that is woken for one of them goes on with all.
    this.dependencies.framed.writer.submitSoon(this.submission)
  }

  /** How the request that has its turn by then is written. */
  private readonly submission: Writer.Submission<Message.Message> = {
    take: () => {
      const exchange = this.current
      if (exchange === undefined || this.step(request) !== "SendRequest") return noMessages
      exchange.sent = true
      this.isWritten = false
      return [Message.make(Message.Type.Request, exchange.body)]
    },
    ended: (exit) => {
      this.isWritten = true
      if (this.isAwaited) this.expect()
      this.onWritten(exit)
    }
  }

  private readonly onWritten: Writer.Submission<Message.Message>["ended"] = (exit) => {
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
      this.dispatch({ _tag: "WriteFailed", detail: writeFailure(exit.cause) })
    }
  }

  starved(): void {
    this.expect()
    this.readOn()
  }

  finish(exchange: Exchange): Effect.Effect<void> {
    const first = exchange.abandon()
    if (!(exchange.sent || exchange.ended)) {
      exchange.end({ _tag: "Cancelled" })
      this.free()
    }
    if (exchange.ended) return Effect.void
    if (first) this.cancel(exchange)
    return exchange.over
  }

  private cancel(exchange: Exchange): void {
    const { framed, options, timers } = this.dependencies
    framed.writer.submit({
      take: () =>
        this.current === exchange && this.step({ _tag: "Cancel" }) === "SendCancel"
          ? cancelMessages
          : noMessages,
      ended: this.onWritten
    })
    this.cancelDeadline.set(timers.now() + options.cancelTimeoutMillis)
  }
}

const writeFailure = (cause: Cause.Cause<Writer.Failure>): string => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" ? Writer.describe(error.value) : String(Cause.squash(cause))
}

const inputEnd = (cause: Cause.Cause<FramedConnection.ReadError<Message.FrameError>>): Machine.Event => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None") return { _tag: "ReadFailed", detail: String(Cause.squash(cause)) }
  const detail = FramedConnection.describe(error.value)
  return error.value._tag === "FrameError" && error.value.reason._tag !== "EndInsideFrame"
    ? { _tag: "Malformed", detail }
    : { _tag: "ReadFailed", detail }
}
