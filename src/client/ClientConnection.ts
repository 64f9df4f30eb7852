/**
 * A client's connection: a scope that owns the socket, the one fiber that reads it, and the request in flight.
 *
 * The reader pulls frames, steps the pure machine of `ClientControl` and hands the response to its `Exchange`.
 * During a response it reads only while the consumer waits. Between requests it reads on, so that heartbeats
 * do not pile up and a server that closes is noticed.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Socket from "effect/socket/Socket"
import type { QueryRejected } from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import * as FrameSocket from "../wire/FrameSocket.ts"
import * as FrameWriter from "../wire/FrameWriter.ts"
import type * as Transport from "../wire/Transport.ts"
import * as Control from "./ClientControl.ts"
import * as ClientError from "./ClientError.ts"
import { Exchange } from "./Exchange.ts"

export interface Options extends Frame.Options, ClientError.Names {
  readonly writeTimeoutMillis: number
}

/** An accepted request: the payload of the accept, and where its chunks come. */
export interface Accepted {
  readonly payload: Uint8Array
  readonly exchange: Exchange
}

export interface ClientConnection {
  /** Sends the request when its turn has come, and waits for its accept. The scope ends the response. */
  readonly request: (
    body: Uint8Array
  ) => Effect.Effect<Accepted, QueryRejected | ClientError.ClientError, Scope.Scope>
  /** Wants nothing more of a response: cancels it unless it has ended, and waits until it has. */
  readonly finish: (exchange: Exchange) => Effect.Effect<void>
  readonly isOpen: () => boolean
}

/** Opens the socket. Closing the scope drops the connection. */
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
  transport: Transport.Open,
  options: Options,
  scope: Scope.Closeable
): Effect.fn.Return<ClientConnection, Socket.SocketError> {
  const clock = yield* Clock.Clock
  let lastReadAt = Number.NEGATIVE_INFINITY
  const frameOptions: FrameSocket.Options = {
    ...options,
    splitChunks: true,
    // A part of a frame is a sign of life too.
    onRead: () => {
      lastReadAt = clock.currentTimeMillisUnsafe()
    }
  }
  const frames = yield* Effect.flatMap(transport, (open) => FrameSocket.make(open, frameOptions)).pipe(
    Scope.provide(scope)
  )
  const session = new Session({ clock, frames, options, scope, lastReadAt: () => lastReadAt })
  yield* Scope.addFinalizer(scope, session.dispatch({ _tag: "Close" }))
  yield* Effect.forkIn(session.read, scope, { startImmediately: true })
  return {
    request: (body) => session.request(body),
    finish: (exchange) => session.finish(exchange),
    isOpen: () => session.isOpen
  }
})

interface Parts {
  readonly clock: Clock.Clock
  readonly frames: FrameSocket.FrameSocket
  readonly options: Options
  readonly scope: Scope.Scope
  readonly lastReadAt: () => number
}

const cancelFrames: ReadonlyArray<Frame.Frame> = [Frame.make(Frame.Type.Cancel)]
const noFrames: ReadonlyArray<Frame.Frame> = []

class Session {
  private readonly parts: Parts
  private readonly turn = Semaphore.makeUnsafe(1)
  private readonly wanted = Latch.makeUnsafe(true)
  private state: Control.State = Control.initial
  private current: Exchange | undefined
  private turnOf: Exchange | undefined
  private pulling = false
  private waitingSince = 0
  private watched = false

  constructor(parts: Parts) {
    this.parts = parts
  }

  get isOpen(): boolean {
    return this.state._tag !== "Closed"
  }

  /** Steps the machine, and does what follows. */
  dispatch(event: Control.Event): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.step(event)
      return this.settle
    })
  }

  private step(event: Control.Event): Control.Action {
    const [state, action] = Control.step(this.state, event)
    this.state = state
    return action
  }

  /** Lets the consumer and the next request know what has become of the response in flight. */
  private readonly settle: Effect.Effect<void> = Effect.suspend(() => {
    const { frames, options } = this.parts
    const { current: exchange, state } = this
    let then: Effect.Effect<void> = Effect.void
    if (state._tag === "Closed") {
      exchange?.end({ _tag: "Broken", error: ClientError.duringResponse(options, state.why) })
      // The owner's scope closes the socket in its own way, after what was written.
      if (state.why._tag !== "Closed") then = frames.writer.destroy
    }
    if (exchange === undefined) return then
    if (exchange.ended) {
      this.current = undefined
      then = Effect.andThen(then, this.yieldTurn(exchange))
    }
    exchange.notify()
    return then
  })

  /** What the reader's fiber does until the connection ends. */
  readonly read: Effect.Effect<void> = Effect.suspend(() => this.loop()).pipe(
    Effect.catchDefect((defect) => this.dispatch({ _tag: "ReadFailed", detail: String(defect) }))
  )

  private loop(): Effect.Effect<void> {
    const { frames } = this.parts
    return Effect.gen({ self: this }, function* () {
      while (this.state._tag !== "Closed") {
        if (this.state._tag === "Responding" && this.current?.starved !== true) {
          this.wanted.closeUnsafe()
          yield* this.wanted.await
          continue
        }
        this.pulling = true
        yield* this.watch
        const exit = yield* Effect.exit(frames.pull)
        this.pulling = false
        if (Exit.isFailure(exit)) {
          yield* this.dispatch(readFailure(exit.cause))
          continue
        }
        for (const frame of exit.value) this.receive(frame)
        yield* this.settle
      }
    })
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

  request(body: Uint8Array): Effect.Effect<Accepted, QueryRejected | ClientError.ClientError, Scope.Scope> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function* () {
        yield* restore(this.turn.take(1))
        const exchange = new Exchange(() => this.wanted.openUnsafe())
        this.turnOf = exchange
        yield* Effect.addFinalizer(() => this.finish(exchange))
        const payload = yield* restore(Effect.andThen(this.send(exchange, body), exchange.accepted))
        return { exchange, payload }
      })
    )
  }

  private send(exchange: Exchange, body: Uint8Array): Effect.Effect<void, ClientError.ClientError> {
    const { frames, options } = this.parts
    const write = frames.writer.write(() => {
      if (this.step({ _tag: "Request" }) !== "SendRequest") return noFrames
      this.current = exchange
      return [Frame.make(Frame.Type.Request, body)]
    })
    const sent = Effect.suspend(() => {
      if (this.current === exchange) return this.watch
      if (exchange.ended) return Effect.void
      return this.state._tag === "Closed"
        ? Effect.andThen(
            this.yieldTurn(exchange),
            Effect.fail(ClientError.beforeRequest(options, this.state.why))
          )
        : Effect.die(new Error(`A request had its turn while another was ${this.state._tag}`))
    })
    return Effect.andThen(Effect.catch(write, this.writeFailed), sent)
  }

  private readonly writeFailed = (error: FrameWriter.Failure): Effect.Effect<void> =>
    this.dispatch({ _tag: "WriteFailed", detail: FrameWriter.describe(error) })

  finish(exchange: Exchange): Effect.Effect<void> {
    return Effect.suspend(() => {
      const first = !exchange.abandoned
      exchange.abandon()
      if (this.current !== exchange) return this.yieldTurn(exchange)
      return first ? this.cancel(exchange) : exchange.over
    })
  }

  private cancel(exchange: Exchange): Effect.Effect<void> {
    const { frames, options } = this.parts
    const write = frames.writer.write(() =>
      this.current === exchange && this.step({ _tag: "Cancel" }) === "SendCancel" ? cancelFrames : noFrames
    )
    return Effect.catch(write, this.writeFailed).pipe(
      Effect.andThen(exchange.over),
      Effect.timeoutOrElse({
        duration: options.cancelTimeoutMillis,
        orElse: () => this.dispatch({ _tag: "CancelExpired" })
      })
    )
  }

  private yieldTurn(exchange: Exchange): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.turnOf !== exchange) return Effect.void
      this.turnOf = undefined
      return Effect.asVoid(this.turn.release(1))
    })
  }

  private get awaitsData(): boolean {
    return this.state._tag === "Requested" || (this.state._tag === "Responding" && this.pulling)
  }

  /** Sees to it that silence is noticed from now on. One sleeping fiber serves all reads of its time. */
  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    const { clock, options, scope } = this.parts
    if (!this.awaitsData) return Effect.void
    this.waitingSince = clock.currentTimeMillisUnsafe()
    if (this.watched || options.heartbeatToleranceMillis === Number.POSITIVE_INFINITY) return Effect.void
    this.watched = true
    return Effect.asVoid(Effect.forkIn(this.watching(), scope))
  })

  private silentUntil(): number {
    const { lastReadAt, options } = this.parts
    return Math.max(lastReadAt(), this.waitingSince) + options.heartbeatToleranceMillis
  }

  private watching(): Effect.Effect<void> {
    const { clock } = this.parts
    const left = () => this.silentUntil() - clock.currentTimeMillisUnsafe()
    return Effect.gen({ self: this }, function* () {
      while (this.awaitsData) {
        if (left() > 0) {
          yield* Effect.sleep(left())
          continue
        }
        // After a busy stretch timers run before the socket is read: what has arrived meanwhile counts.
        yield* Effect.yieldNow
        if (this.awaitsData && left() <= 0) yield* this.dispatch({ _tag: "Silence" })
      }
      this.watched = false
    })
  }
}

const readFailure = (
  cause: Cause.Cause<Frame.FrameError | Socket.SocketError | Cause.Done>
): Control.Event => {
  const end = FrameSocket.inputEnd(cause)
  return end._tag === "PeerClosed" ? { _tag: "ServerClosed" } : end
}
