/**
 * A client's connection: a scope that owns the transport and the request in flight.
 *
 * Each frame that arrives steps the pure machine of `ClientControl` and belongs to the `Exchange` in flight. During
 * a response the transport is paused unless the consumer waits. Between requests it reads on, so that heartbeats
 * do not pile up and a server that closes is noticed.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Scheduler } from "effect/Scheduler"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Frame from "../wire/Frame.ts"
import * as FrameSocket from "../wire/FrameSocket.ts"
import * as FrameWriter from "../wire/FrameWriter.ts"
import * as Limit from "../wire/Limit.ts"
import type * as Transport from "../wire/Transport.ts"
import { type Budget, TurnBudget } from "../wire/TurnBudget.ts"
import * as BodyLimits from "./BodyLimits.ts"
import * as Control from "./ClientControl.ts"
import * as ClientError from "./ClientError.ts"
import type { Exchange, Line } from "./Exchange.ts"
import type { Settings } from "./Settings.ts"
import { Silence } from "./Silence.ts"

export interface Options extends Frame.Options, ClientError.Names {
  readonly writeTimeoutMillis: number
  readonly bodyLimits?: Frame.BodyLimits | undefined
}

/**
 * What of the settings is a connection's. `server` is what errors call the other end. Throws a `RangeError` that names
 * the setting whose value cannot be one.
 */
export const options = (settings: Settings, server: string): Options => ({
  lengthCounts: settings.lengthCounts,
  maxFrameSize: Limit.size("maxFrameSize", settings.maxFrameSize, Frame.headerSize),
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
  readonly why: Control.Why | undefined
  /** Closes it before its scope does. */
  readonly close: Effect.Effect<void>
}

/** Who has requests for connections. */
export interface Owner {
  /** The response in flight has ended: another request may be sent. */
  readonly freed: (connection: ClientConnection) => void
  /** The connection is of no more use; `unsent` was about to be sent on it. */
  readonly ended: (connection: ClientConnection, why: Control.Why, unsent: Exchange | undefined) => void
}

/** Opens the transport. Closing the scope drops the connection. */
export const make = Effect.fnUntraced(function* (
  transport: Transport.Open,
  options: Options,
  owner: Owner
): Effect.fn.Return<ClientConnection, ClientError.ClientError, Scope.Scope> {
  // A scope of its own: a response in the same scope as the connection is cancelled while that one closes, and
  // nothing can be forked in a scope that does.
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* open(transport, options, owner, scope).pipe(
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
    Effect.mapError((error) => ClientError.connectFailed(options.server, FrameWriter.describe(error)))
  )
})

const open = Effect.fnUntraced(function* (
  opening: Transport.Open,
  options: Options,
  owner: Owner,
  scope: Scope.Closeable
): Effect.fn.Return<ClientConnection, Socket.SocketError> {
  const transport = yield* Scope.provide(opening, scope)
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  let session: Session | undefined
  const frames = yield* FrameSocket.make(transport, {
    ...options,
    splitChunks: true,
    onRead: () => session?.silence.break()
  }).pipe(Scope.provide(scope))
  session = new Session({
    clock: yield* Clock.Clock,
    budget: yield* TurnBudget,
    scheduler: yield* Scheduler,
    frames,
    transport,
    options,
    owner,
    close: Scope.close(scope, Exit.void),
    fork: (effect) => void Fiber.runIn(fork(effect), scope)
  })
  frames.read(session)
  yield* Scope.addFinalizer(scope, session.end)
  return session
})

interface Parts {
  readonly clock: Clock.Clock
  readonly budget: Budget
  readonly scheduler: Scheduler
  readonly frames: FrameSocket.FrameSocket
  readonly transport: Transport.Transport
  readonly options: Options
  readonly owner: Owner
  readonly close: Effect.Effect<void>
  /** Runs an effect in the connection's scope. */
  readonly fork: (effect: Effect.Effect<void>) => void
}

const request: Control.Event = { _tag: "Request" }
const cancelFrames: ReadonlyArray<Frame.Frame> = [Frame.make(Frame.Type.Cancel)]
const noFrames: ReadonlyArray<Frame.Frame> = []

class Session implements ClientConnection, FrameSocket.Reader, Line {
  readonly silence: Silence
  private readonly parts: Parts
  private state: Control.State = Control.initial
  /** The request that has its turn until its response has ended. */
  private current: Exchange | undefined
  private isWritten = false
  private isPaused = false

  constructor(parts: Parts) {
    this.parts = parts
    this.silence = new Silence({
      clock: parts.clock,
      toleranceMillis: parts.options.heartbeatToleranceMillis,
      isAwaited: () => this.isAwaited,
      onSilence: () => this.dispatch({ _tag: "Silence" }),
      fork: parts.fork
    })
  }

  get why(): Control.Why | undefined {
    return this.state._tag === "Closed" ? this.state.why : undefined
  }

  get close(): Effect.Effect<void> {
    return this.parts.close
  }

  readonly end: Effect.Effect<void> = Effect.sync(() => {
    this.parts.frames.stop()
    this.dispatch({ _tag: "Close" })
  })

  received(frames: FrameSocket.Frames): void {
    for (const frame of frames) this.receive(frame)
    this.settle()
    if (this.state._tag !== "Responding" || this.isStarved || this.isPaused) return
    this.isPaused = true
    this.parts.transport.pause()
  }

  ended(cause: Cause.Cause<FrameSocket.ReadError>): void {
    const end = FrameSocket.inputEnd(cause)
    this.dispatch(end._tag === "PeerClosed" ? { _tag: "ServerClosed" } : end)
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

  private receive(frame: Frame.Frame): void {
    const exchange = this.current
    switch (this.step({ _tag: "Received", type: frame.type })) {
      case "Accept":
        exchange?.accept(frame.body)
        break
      case "Chunk":
        exchange?.chunk(frame.body)
        break
      case "Finish":
        exchange?.chunk(frame.body)
        exchange?.end({ _tag: "Complete" })
        break
      case "Reject":
        exchange?.end({ _tag: "Rejected", payload: frame.body })
        break
      case "Fail":
        exchange?.end({ _tag: "Failed", payload: frame.body })
        break
      case "EndCancelled":
        exchange?.end({ _tag: "Cancelled" })
        break
      default:
    }
  }

  /** Steps the machine, and does what follows. */
  private dispatch(event: Control.Event): void {
    this.step(event)
    this.settle()
  }

  private step(event: Control.Event): Control.Action {
    const [state, action] = Control.step(this.state, event)
    this.state = state
    if (action === "Close" && state._tag === "Closed") this.breakOff(state.why)
    return action
  }

  /** The connection is of no more use, neither to the response in flight nor to other requests. */
  private breakOff(why: Control.Why): void {
    const { options, owner, transport } = this.parts
    const exchange = this.current
    if (exchange?.sent === true) {
      exchange.end({ _tag: "Broken", cause: Cause.fail(ClientError.duringResponse(options, why)) })
      owner.ended(this, why, undefined)
    } else {
      this.current = undefined
      owner.ended(this, why, exchange)
    }
    // The owner's scope closes the socket in its own way, after what was written.
    if (why._tag !== "Closed") transport.destroy()
  }

  /** Lets the next request and the consumer know what has become of the response in flight. */
  private settle(): void {
    const exchange = this.current
    if (exchange === undefined) return
    if (exchange.ended) {
      // What has come last is still the consumer's.
      this.parts.transport.reuse(false)
      this.free()
    }
    // Whoever has not to be asked whether to read on goes on together with those of other connections: between reads
    // each would find that the kernel has pushed its code out of the processor's caches.
    if (exchange.isConsumed) exchange.resume()
    else this.parts.budget.nextTurn(exchange, this.parts.scheduler)
  }

  /** Another request may have its turn. */
  private free(): void {
    this.current = undefined
    if (this.why === undefined) this.parts.owner.freed(this)
  }

  send(exchange: Exchange): void {
    exchange.line = this
    this.current = exchange
    // Together with those of other connections: a server that is woken for one of them goes on with all.
    this.parts.frames.writer.submitSoon(this.submission)
  }

  /** How the request that has its turn by then is written. */
  private readonly submission: FrameWriter.Submission = {
    take: () => {
      const exchange = this.current
      if (exchange === undefined || this.step(request) !== "SendRequest") return noFrames
      exchange.sent = true
      this.isWritten = false
      return [Frame.make(Frame.Type.Request, exchange.body)]
    },
    ended: (exit) => {
      this.isWritten = true
      if (this.isAwaited) this.silence.expect()
      this.onWritten(exit)
    }
  }

  private readonly onWritten: FrameWriter.Submission["ended"] = (exit) => {
    if (Exit.isFailure(exit)) this.dispatch({ _tag: "WriteFailed", detail: writeFailure(exit.cause) })
  }

  starved(): void {
    this.silence.expect()
    if (!this.isPaused) return
    this.isPaused = false
    this.parts.transport.resume()
  }

  lend(exchange: Exchange): void {
    if (this.current === exchange) this.parts.transport.reuse(true)
  }

  finish(exchange: Exchange): Effect.Effect<void> {
    const first = exchange.abandon()
    if (!(exchange.sent || exchange.ended)) {
      exchange.end({ _tag: "Cancelled" })
      this.free()
    }
    if (exchange.ended) return Effect.void
    return first ? this.cancel(exchange) : exchange.over
  }

  private cancel(exchange: Exchange): Effect.Effect<void> {
    const { frames, options } = this.parts
    frames.writer.submit({
      take: () =>
        this.current === exchange && this.step({ _tag: "Cancel" }) === "SendCancel" ? cancelFrames : noFrames,
      ended: this.onWritten
    })
    return Effect.timeoutOrElse(exchange.over, {
      duration: options.cancelTimeoutMillis,
      orElse: () => Effect.sync(() => this.dispatch({ _tag: "CancelExpired" }))
    })
  }
}

const writeFailure = (cause: Cause.Cause<FrameWriter.Failure>): string => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" ? FrameWriter.describe(error.value) : String(Cause.squash(cause))
}
