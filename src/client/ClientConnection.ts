/**
 * A client's connection: a scope that owns the transport, the request in flight, and those that wait for it.
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
import type { QueryRejected } from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import * as FrameSocket from "../wire/FrameSocket.ts"
import * as FrameWriter from "../wire/FrameWriter.ts"
import type * as Transport from "../wire/Transport.ts"
import { type Budget, TurnBudget } from "../wire/TurnBudget.ts"
import * as Control from "./ClientControl.ts"
import * as ClientError from "./ClientError.ts"
import { Exchange, type Line } from "./Exchange.ts"
import { Silence } from "./Silence.ts"

export interface Options extends Frame.Options, ClientError.Names {
  readonly writeTimeoutMillis: number
  /** How many requests wait for their turn. Those beyond fail. */
  readonly maxQueuedRequests: number
}

export interface ClientConnection {
  /**
   * Sends the request when its turn has come, and waits for its accept, of whose payload `respond` makes the
   * response. The scope ends that.
   */
  readonly request: <A>(
    body: Uint8Array,
    respond: (payload: Uint8Array, exchange: Exchange) => A
  ) => Effect.Effect<A, QueryRejected | ClientError.ClientError, Scope.Scope>
  readonly isOpen: () => boolean
}

/** Opens the transport. Closing the scope drops the connection. */
export const make = Effect.fnUntraced(function* (
  transport: Transport.Open,
  options: Options
): Effect.fn.Return<ClientConnection, Socket.SocketError, Scope.Scope> {
  // A scope of its own: a response in the same scope as the connection is cancelled while that one closes, and
  // nothing can be forked in a scope that does.
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* Effect.onError(open(transport, options, scope), (cause) =>
    Scope.close(scope, Exit.failCause(cause))
  )
})

const open = Effect.fnUntraced(function* (
  opening: Transport.Open,
  options: Options,
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
    fork: (effect) => void Fiber.runIn(fork(effect), scope)
  })
  frames.read(session)
  yield* Scope.addFinalizer(scope, session.close)
  return session
})

interface Parts {
  readonly clock: Clock.Clock
  readonly budget: Budget
  readonly scheduler: Scheduler
  readonly frames: FrameSocket.FrameSocket
  readonly transport: Transport.Transport
  readonly options: Options
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
  /** The request that has its turn until its response has ended, and those behind it. */
  private current: Exchange | undefined
  private isWritten = false
  private isPaused = false
  private readonly queue: Array<Exchange> = []

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

  readonly isOpen = (): boolean => this.state._tag !== "Closed"

  readonly close: Effect.Effect<void> = Effect.sync(() => {
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

  /** The connection is of no more use: neither to the response in flight nor to those who wait for their turn. */
  private breakOff(why: Control.Why): void {
    const { options, transport } = this.parts
    if (this.current?.sent === true) {
      this.current.end({ _tag: "Broken", error: ClientError.duringResponse(options, why) })
    } else if (this.current !== undefined) {
      this.refuse(this.current, this.notSent(why))
    }
    for (const exchange of this.queue.splice(0)) this.refuse(exchange, this.notSent(why))
    // The owner's scope closes the socket in its own way, after what was written.
    if (why._tag !== "Closed") transport.destroy()
  }

  private notSent(why: Control.Why): ClientError.ClientError {
    return ClientError.beforeRequest(this.parts.options, why)
  }

  private refuse(exchange: Exchange, error: ClientError.ClientError): void {
    exchange.end({ _tag: "Broken", error })
    exchange.resume()
  }

  /** Lets the next request and the consumer know what has become of the response in flight. */
  private settle(): void {
    const exchange = this.current
    if (exchange === undefined) return
    if (exchange.ended) {
      // What has come last is still the consumer's.
      this.parts.transport.reuse(false)
      this.takeTurns()
    }
    // Whoever has not to be asked whether to read on goes on together with those of other connections: between reads
    // each would find that the kernel has pushed its code out of the processor's caches.
    if (exchange.isConsumed) exchange.resume()
    else this.parts.budget.nextTurn(exchange, this.parts.scheduler)
  }

  request<A>(
    body: Uint8Array,
    respond: (payload: Uint8Array, exchange: Exchange) => A
  ): Effect.Effect<A, QueryRejected | ClientError.ClientError, Scope.Scope> {
    return Effect.flatMap(Effect.scope, (scope) => {
      const exchange = new Exchange(body, this)
      const accepted = Effect.callback<A, QueryRejected | ClientError.ClientError>((resume) => {
        exchange.awaitAccept(respond, resume)
        this.enter(exchange)
        return Effect.sync(() => this.leave(exchange))
      })
      return Effect.andThen(
        Scope.addFinalizerExit(scope, () => exchange.finish()),
        accepted
      )
    })
  }

  private enter(exchange: Exchange): void {
    const { maxQueuedRequests, server } = this.parts.options
    if (this.state._tag === "Closed") this.refuse(exchange, this.notSent(this.state.why))
    else if (this.current === undefined) this.send(exchange)
    else if (this.queue.length < maxQueuedRequests) this.queue.push(exchange)
    else this.refuse(exchange, ClientError.tooManyRequests(server, maxQueuedRequests))
  }

  /** The next request in the queue has its turn. */
  private takeTurns(): void {
    this.current = undefined
    const next = this.queue.shift()
    if (next !== undefined) this.send(next)
  }

  private send(exchange: Exchange): void {
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

  /** Nobody waits for the accept any more: a request that has not been sent stays unsent. */
  private leave(exchange: Exchange): void {
    exchange.leave()
    if (exchange.sent || exchange.ended) return
    exchange.end({ _tag: "Cancelled" })
    const at = this.queue.indexOf(exchange)
    if (this.current === exchange) this.takeTurns()
    else if (at >= 0) this.queue.splice(at, 1)
  }

  finish(exchange: Exchange): Effect.Effect<void> {
    const first = exchange.abandon()
    if (!exchange.sent) this.leave(exchange)
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
