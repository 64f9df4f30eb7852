/** The events of a client's connection: steps the pure `ClientMachine` and performs its actions. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Scheduler as EffectScheduler } from "effect/Scheduler"
import * as Stream from "effect/Stream"
import * as QueryApi from "../engine/QueryApi.ts"
import type * as FramedConnection from "../framing/FramedConnection.ts"
import type * as Writer from "../framing/Writer.ts"
import type * as Timers from "../loop/Timers.ts"
import type { Scheduler } from "../loop/TurnScheduler.ts"
import * as Chunk from "../net/Chunk.ts"
import * as Machine from "../protocol/ClientMachine.ts"
import * as Message from "../protocol/Message.ts"
import type { ClientConnection, Owner } from "./ClientConnection.ts"
import * as ClientEvents from "./ClientEvents.ts"
import * as ClientFailure from "./ClientFailure.ts"
import type { Options } from "./ConnectionOptions.ts"
import type { Exchange, Line } from "./Exchange.ts"
import { Silence } from "./Silence.ts"

type Framed = FramedConnection.FramedConnection<Message.Message, Message.Message, Message.FrameError>

/** Dependencies of a session. */
export interface Dependencies {
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

/** The state of a connection, and the handling of its events. */
export class Session implements ClientConnection, Line {
  private readonly dependencies: Dependencies
  private state: Machine.State = Machine.initial
  /** The current request, until its response has ended. */
  private current: Exchange | undefined
  private isWritten = false
  /** Resumes the reading fiber while it waits for the consumer. */
  private reading: (() => void) | undefined
  private beganPause = 0
  private pausedMillis = 0
  private readonly silence: Silence
  /** The deadline for accepting the request in flight. Accepted requests leave it set. */
  private readonly acceptDeadline: Timers.Deadline
  private readonly cancelDeadline: Timers.Deadline

  constructor(dependencies: Dependencies) {
    const { framed, options, timers } = dependencies
    this.dependencies = dependencies
    this.silence = new Silence({
      timers,
      toleranceMillis: options.heartbeatToleranceMillis,
      lastReadAt: () => framed.lastReadAt(),
      isExpected: () => this.isAwaited,
      silent: () => this.dispatch({ _tag: "Silence" }),
      checked: () => dependencies.owner.freed(this)
    })
    this.silence.goOn()
    this.acceptDeadline = timers.deadline(() => this.checkAccept())
    this.cancelDeadline = timers.deadline(() => this.dispatch({ _tag: "CancelExpired" }))
  }

  /** Reads until the connection ends. */
  get run(): Effect.Effect<void> {
    return Effect.matchCause(
      Stream.runForEachArray(this.dependencies.framed.messages, (batch) => this.receive(batch)),
      {
        onSuccess: () => this.dispatch(this.unwritten ?? { _tag: "ServerClosed" }),
        onFailure: (cause) => this.dispatch(this.unwritten ?? ClientEvents.ofInput(cause))
      }
    )
  }

  /** The failed write, which ends the input too, and is then the reason. */
  private get unwritten(): Machine.Event | undefined {
    const failure = this.dependencies.framed.writer.failure()
    return failure === undefined ? undefined : ClientEvents.ofWrite(failure)
  }

  /** Whether the final message of the response in flight must be buffered as a whole. */
  get holdsFinal(): boolean {
    return this.current?.holdsFinal === true
  }

  get why(): Machine.Why | undefined {
    return this.state._tag === "Closed" ? this.state.why : undefined
  }

  get close(): Effect.Effect<void> {
    return this.dependencies.close
  }

  get hasRead(): boolean {
    return this.dependencies.framed.bytesRead() > 0
  }

  isAliveAt(now: number): boolean {
    return !this.silence.isOverAt(now)
  }

  check(): void {
    this.silence.check()
  }

  readonly end: Effect.Effect<void> = Effect.sync(() => this.dispatch({ _tag: "Close" }))

  private receive(batch: FramedConnection.Batch<Message.Message>): Effect.Effect<void> {
    for (const message of batch) this.message(message)
    this.settle()
    return this.mayRead ? Effect.void : this.wanted
  }

  /** A consumer that does not wait exerts back-pressure on the server. */
  private get mayRead(): boolean {
    return this.state._tag !== "Responding" || this.isStarved
  }

  private readonly wanted: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.mayRead) return resume(Effect.void)
    this.beganPause = this.dependencies.timers.now()
    this.reading = () => resume(Effect.void)
  })

  get pausedAt(): number | undefined {
    return this.reading === undefined ? undefined : this.beganPause
  }

  evict(): boolean {
    return this.current?.evict() === true
  }

  /** The longest time for which the response's consumer has not read. */
  private get pause(): number {
    const { pausedAt } = this
    const current = pausedAt === undefined ? 0 : this.dependencies.timers.now() - pausedAt
    return Math.max(this.pausedMillis, current)
  }

  private readOn(): void {
    const { reading } = this
    this.pausedMillis = this.pause
    this.reading = undefined
    reading?.()
  }

  private get isStarved(): boolean {
    return this.current?.starved === true
  }

  /**
   * Whether the server must send bytes: at least heartbeats between requests, but it need not answer a
   * request that it has not taken yet.
   */
  private get isAwaited(): boolean {
    switch (this.state._tag) {
      case "Idle":
        return true
      case "Requested":
        return this.isWritten
      default:
        return this.state._tag === "Responding" && this.isStarved
    }
  }

  private message({ body: received, type }: Message.Message): void {
    const exchange = this.current
    const isRefusal = type === Message.Type.Reject || type === Message.Type.Error
    const body = isRefusal ? Chunk.keep(received) : received
    switch (this.step({ _tag: "Received", type, body })) {
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
        this.rejected(exchange, body)
        break
      case "Fail":
        exchange?.end({ _tag: "Failed", payload: body })
        this.heed(body)
        break
      case "EndCancelled":
        // If the response is complete, the cancel was too late.
        if (type === Message.Type.Final) exchange?.finished(body)
        else Chunk.release(body)
        exchange?.end({ _tag: "Cancelled" })
        if (isRefusal) this.heed(body)
        break
      default:
        Chunk.release(body)
    }
  }

  /** A request rejected by a server that is going away counts as not sent. */
  private rejected(exchange: Exchange | undefined, payload: Uint8Array): void {
    const { closing, retryable } = QueryApi.decodeError(payload)
    // A request that was abandoned before its cancel could be written is not sent again.
    const isWanted = exchange !== undefined && !exchange.isAbandoned
    if (closing === true && retryable && isWanted) exchange.sent = false
    else exchange?.end({ _tag: "Rejected", payload })
    if (closing === true) this.step({ _tag: "GoingAway", payload })
  }

  /** Closes the connection if the message that ended the response announces the close. */
  private heed(payload: Uint8Array): void {
    if (QueryApi.decodeError(payload).closing === true) this.step({ _tag: "GoingAway", payload })
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

  /** The connection is unusable, for the response in flight and for other requests. */
  private breakOff(why: Machine.Why): void {
    const { framed, options, owner } = this.dependencies
    const exchange = this.current
    framed.stop()
    this.silence.clear()
    this.acceptDeadline.clear()
    this.cancelDeadline.clear()
    if (exchange?.sent === true) {
      const error = ClientFailure.duringResponse(options, why, this.pause)
      exchange.end({ _tag: "Broken", cause: Cause.fail(error) })
      owner.ended(this, why, undefined)
    } else {
      this.current = undefined
      owner.ended(this, why, exchange)
    }
    // Closing the scope closes the socket normally, which would wait for a server to take the rest of a
    // request.
    if (why._tag !== "Closed" || framed.writer.isWriting()) framed.writer.close()
    this.readOn()
  }

  /** Notifies the next request and the consumer of the messages that have arrived. */
  private settle(): void {
    const exchange = this.current
    if (exchange === undefined) return
    if (exchange.ended) this.free()
    // Consumers that need not decide about reading on are resumed in one batch with those of other connections: between
    // reads each would find that the kernel has pushed its code out of the processor's caches.
    if (exchange.isConsumed) exchange.resume()
    else this.dependencies.scheduler.nextTurn(exchange, this.dependencies.effects)
  }

  /** Gives the next request its turn. */
  private free(): void {
    this.current = undefined
    this.cancelDeadline.clear()
    if (this.why !== undefined) return
    this.silence.goOn()
    this.dependencies.owner.freed(this)
  }

  send(exchange: Exchange): void {
    if (this.current !== undefined) throw new Error("A connection has one request in flight")
    exchange.line = this
    this.current = exchange
    this.pausedMillis = 0
    this.acceptDeadline.set(exchange.startedAt + this.dependencies.options.requestTimeoutMillis)
    // Together with those of other connections: a server that wakes up for one of them handles all.
    this.dependencies.framed.writer.submitSoon(this.submission)
  }

  /** Writes the request that is current when the writer has its turn. */
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
      if (this.isAwaited) this.silence.expect()
      this.onWritten(exit)
    }
  }

  private readonly onWritten: Writer.Submission<Message.Message>["ended"] = (exit) => {
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
      this.dispatch(ClientEvents.ofWrite(exit.cause))
    }
  }

  starved(): void {
    this.silence.expect()
    this.readOn()
  }

  private checkAccept(): void {
    const { options, timers } = this.dependencies
    const exchange = this.current
    const isWaiting = this.state._tag === "Idle" || this.state._tag === "Requested"
    if (exchange === undefined || !isWaiting || exchange.isAbandoned) return
    const at = exchange.startedAt + options.requestTimeoutMillis
    if (at > timers.now()) this.acceptDeadline.set(at)
    else this.giveUp(exchange)
  }

  /** Ends a request without its accept. Only the connection waits for the end of the cancel. */
  private giveUp(exchange: Exchange): void {
    const { options } = this.dependencies
    const phase = exchange.sent ? "accept" : "waiting"
    if (exchange.sent) {
      const rest = exchange.rest()
      this.current = rest
      rest.abandon()
      this.cancel(rest)
    } else {
      this.free()
    }
    exchange.refuse(Cause.fail(ClientFailure.requestTimedOut(options, phase)))
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
    // First: a write that fails at once ends the session, which clears the deadline.
    this.cancelDeadline.set(timers.now() + options.cancelTimeoutMillis)
    framed.writer.submit({
      take: () =>
        this.current === exchange && this.step({ _tag: "Cancel" }) === "SendCancel"
          ? cancelMessages
          : noMessages,
      ended: this.onWritten
    })
  }
}
