/**
 * The one writer of a connection.
 *
 * A write gathers its messages into one batch for the socket. One write is under way at a time, so messages
 * of different fibers never interleave. A write that exceeds {@link TurnScheduler}'s limit for one socket
 * goes out in several parts. The event loop may turn between them, but nothing else is written.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Scheduler as EffectScheduler } from "effect/Scheduler"
import type * as Socket from "effect/socket/Socket"
import * as Timers from "../loop/Timers.ts"
import { type Scheduler, type Task, TurnScheduler } from "../loop/TurnScheduler.ts"
import * as Transport from "../net/Transport.ts"
import * as Limit from "../settings/Limit.ts"
import type { Codec } from "./Codec.ts"
import { type Failure, WriteTimeout } from "./WriteFailure.ts"

export { describe, type Failure, WriteTimeout } from "./WriteFailure.ts"

/**
 * Settings of a writer.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How long the peer may take no byte while a write is under way, in milliseconds; may be `Infinity`. */
  readonly writeTimeoutMillis: number
}

/**
 * A pending write: it waits in the writer's queue, at most once, for its turn.
 *
 * **Details**
 *
 * `take` is called when the turn has come, right before the first byte is passed on, with `now` in the
 * milliseconds of the timers. The messages it returns precede all others from then on; nothing is written if
 * it returns none. `started` is called when the socket has been given the first bytes. `ended` is called once
 * the socket has taken all of them, or has failed, or the writer has closed.
 *
 * An `urgent` submission passes writers that wait for the thread's quantum: for single small messages with a
 * waiting peer, such as the acknowledgement of a cancel.
 *
 * **Gotchas**
 *
 * `take` must not lead to another write on its own stack: the current write has not begun yet.
 *
 * @category models
 * @since 0.1.0
 */
export interface Submission<Out> {
  readonly take: (now: number) => ReadonlyArray<Out>
  readonly started?: (() => void) | undefined
  readonly ended: (exit: Exit.Exit<void, Failure>) => void
  readonly urgent?: boolean | undefined
}

/**
 * The one writer of a connection: writes messages in the order in which they are submitted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writer<Out> {
  /**
   * Writes messages in order and waits until the socket has taken them; see {@link Submission}. Interruption
   * before the turn writes nothing; later interruption only ends the wait.
   */
  readonly write: (
    take: Submission<Out>["take"],
    options?: Pick<Submission<Out>, "urgent">
  ) => Effect.Effect<void, Failure>
  /** Writes as soon as the socket and the quantum allow, which is often before this returns. */
  readonly submit: (submission: Submission<Out>) => void
  /** The same in the next turn of the event loop, together with other submissions until then. */
  readonly submitSoon: (submission: Submission<Out>) => void
  /** Withdraws a submission that has not had its turn. */
  readonly withdraw: (submission: Submission<Out>) => void
  /** Waits until no write is under way. */
  readonly flushed: Effect.Effect<void>
  /** Drops the connection: ends the current write and all pending and later ones, without another byte. */
  readonly close: () => void
  /** The connection has ended and its transport closes on its own: clears the timeout of a current write. */
  readonly release: () => void
  /** The reason why a write failed, if one did. The reader may see the resulting end first. */
  readonly failure: () => Cause.Cause<Failure> | undefined
  /** Whether a write is under way. */
  readonly isWriting: () => boolean
  /** The time at which a write last began or ended, in milliseconds of the timers. */
  readonly lastWriteAt: () => number
  readonly bytesWritten: () => number
  readonly messagesWritten: () => number
}

/**
 * Makes the writer of a transport. Dies with a `RangeError` that names the option with an invalid value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Out>(
  transport: Transport.Transport,
  codec: Pick<Codec<never, Out, unknown>, "layOut">,
  timers: Timers.Timers,
  options: Options
): Effect.Effect<Writer<Out>> =>
  Effect.contextWith((context) =>
    Effect.sync(
      () =>
        new FairWriter<Out>({
          transport,
          codec,
          timers,
          writeTimeoutMillis: Limit.millis("writeTimeoutMillis", options.writeTimeoutMillis),
          scheduler: Context.get(context, TurnScheduler),
          effects: Context.get(context, EffectScheduler)
        })
    )
  )

interface Dependencies<Out> {
  readonly transport: Transport.Transport
  readonly codec: Pick<Codec<never, Out, unknown>, "layOut">
  readonly timers: Timers.Timers
  readonly writeTimeoutMillis: number
  readonly scheduler: Scheduler
  readonly effects: EffectScheduler
}

// Shared by all writers with an empty queue: thousands of writers would allocate an array for each write.
const nobody: ReadonlyArray<never> = []
const none: ReadonlyArray<() => void> = []

/** The rest of a write whose beginning the socket has taken. */
interface Rest<Out> {
  readonly submission: Submission<Out>
  readonly parts: Transport.Chunks
}

const isUrgent = (submission: { readonly urgent?: boolean | undefined }): boolean =>
  submission.urgent === true

class FairWriter<Out> implements Writer<Out>, Task {
  private readonly transport: Transport.Transport
  private readonly codec: Pick<Codec<never, Out, unknown>, "layOut">
  private readonly timers: Timers.Timers
  private readonly scheduler: Scheduler
  private readonly effects: EffectScheduler
  private readonly writeTimeoutMillis: number
  /** The next submission, and those behind it. */
  private first: Submission<Out> | undefined
  private queue: ReadonlyArray<Submission<Out>> = nobody
  private flushes = none
  private pumping = false
  waits = false
  behind: Task | undefined
  private current: Submission<Out> | undefined
  private rest: Rest<Out> | undefined
  private deadline: Timers.Deadline | undefined
  /** The number of bytes of the current write that the transport held when the deadline was set. */
  private held = 0
  private lastAt: number
  private bytes = 0
  private messages = 0
  /** The exit of all submissions once the writer has closed. */
  private closed: Exit.Exit<never, Failure> | undefined

  constructor(dependencies: Dependencies<Out>) {
    this.transport = dependencies.transport
    this.codec = dependencies.codec
    this.timers = dependencies.timers
    this.writeTimeoutMillis = dependencies.writeTimeoutMillis
    this.scheduler = dependencies.scheduler
    this.effects = dependencies.effects
    this.lastAt = dependencies.timers.now()
  }

  isWriting(): boolean {
    return this.current !== undefined || this.rest !== undefined
  }
  failure(): Cause.Cause<Failure> | undefined {
    const { closed } = this
    return closed !== undefined && Exit.isFailure(closed) && !Cause.hasInterruptsOnly(closed.cause)
      ? closed.cause
      : undefined
  }
  lastWriteAt(): number {
    return this.lastAt
  }
  bytesWritten(): number {
    return this.bytes
  }
  messagesWritten(): number {
    return this.messages
  }
  get flushed(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.isWriting()) return resume(Effect.void)
      const flushed = () => resume(Effect.void)
      this.flushes = [...this.flushes, flushed]
      return Effect.sync(() => {
        this.flushes = this.flushes.filter((each) => each !== flushed)
      })
    })
  }

  write(
    take: Submission<Out>["take"],
    options?: Pick<Submission<Out>, "urgent">
  ): Effect.Effect<void, Failure> {
    return Effect.callback((resume) => {
      const submission: Submission<Out> = { take, ended: resume, urgent: options?.urgent }
      this.submit(submission)
      return Effect.sync(() => this.withdraw(submission))
    })
  }

  submit(submission: Submission<Out>): void {
    if (this.enqueue(submission)) this.resume()
  }

  submitSoon(submission: Submission<Out>): void {
    // After the current write the queue has its turn anyway.
    if (this.enqueue(submission) && !this.isWriting()) this.scheduler.nextTurn(this, this.effects)
  }

  withdraw(submission: Submission<Out>): void {
    if (this.first === submission) {
      this.first = this.queue[0]
      if (this.first !== undefined) this.queue = this.queue.slice(1)
    } else if (this.queue.length > 0) {
      this.queue = this.queue.filter((each) => each !== submission)
    }
  }

  private enqueue(submission: Submission<Out>): boolean {
    if (this.closed !== undefined) {
      submission.ended(this.closed)
      return false
    }
    if (this.first === undefined) this.first = submission
    else if (this.first !== submission && !this.queue.includes(submission))
      this.queue = [...this.queue, submission]
    return true
  }

  /** Writes until no submissions wait, the socket takes no more, or the writer's quantum is spent. */
  resume(): void {
    // The loop that is under way serves submissions from within a write.
    if (this.pumping || this.closed !== undefined) return
    this.pumping = true
    const before = this.bytes
    try {
      while (this.current === undefined) {
        const submission = this.next(this.bytes - before)
        if (submission === undefined) break
        if (this.rest === undefined) this.begin(submission)
        else this.hand(submission, this.rest.parts, this.timers.now())
      }
    } finally {
      this.pumping = false
    }
  }

  /**
   * The submission of the next bytes. A write's parts are contiguous; an urgent submission speeds them up.
   */
  private next(written: number): Submission<Out> | undefined {
    const { first, rest, scheduler } = this
    if (first === undefined && rest === undefined) return undefined
    const isFree = !scheduler.exhausted && written < scheduler.writerQuantum
    const next = isFree ? (rest?.submission ?? first) : this.urgent
    if (next === undefined) {
      scheduler.giveWay(this, this.effects)
      return undefined
    }
    if (rest !== undefined) return rest.submission
    this.withdraw(next)
    return next
  }

  private get urgent(): Submission<Out> | undefined {
    const { first } = this
    return first !== undefined && isUrgent(first) ? first : this.queue.find(isUrgent)
  }

  private begin(submission: Submission<Out>): void {
    const now = this.timers.now()
    let parts: Transport.Chunks | undefined
    try {
      parts = this.layOut(submission.take(now))
    } catch (defect) {
      submission.ended(Exit.die(defect))
      return
    }
    if (parts === undefined) submission.ended(Exit.void)
    else this.hand(submission, parts, now)
  }

  /** The parts of one gather write, unless there is nothing to write. */
  private layOut(messages: ReadonlyArray<Out>): Transport.Chunks | undefined {
    if (!Arr.isReadonlyArrayNonEmpty(messages)) return undefined
    const parts = this.codec.layOut(messages)
    this.messages += messages.length
    return parts
  }

  /** Passes to the socket as much as it may have at once. */
  private hand(submission: Submission<Out>, parts: Transport.Chunks, now: number): void {
    const { scheduler, transport } = this
    if (this.current !== undefined) throw new Error("A write began while another was under way")
    let head = parts
    let bytes = Transport.byteLength(parts)
    const isFirst = this.rest === undefined
    this.rest = undefined
    if (bytes > scheduler.maxWriteSize) {
      const [first, tail] = Transport.cut(parts, scheduler.maxWriteSize)
      head = first
      bytes = scheduler.maxWriteSize
      this.rest = { submission, parts: tail }
    }
    this.current = submission
    this.lastAt = now
    this.bytes += bytes
    scheduler.spend(bytes)
    const exit = transport.write(head, this.onWritten)
    if (isFirst) submission.started?.()
    if (exit !== undefined) this.taken(exit)
    else this.whenBlocked()
  }

  private readonly onWritten = (exit: Exit.Exit<void, Socket.SocketError>): void => {
    this.lastAt = this.timers.now()
    this.taken(exit)
    this.resume()
  }

  /** A failed write may have stopped inside a message, so nothing may follow it. */
  private taken(exit: Exit.Exit<void, Socket.SocketError>): void {
    if (Exit.isFailure(exit)) this.fail(Exit.failCause(exit.cause))
    else this.end(exit)
  }

  private end(exit: Exit.Exit<void, Failure>): void {
    const submission = this.current ?? this.rest?.submission
    this.current = undefined
    if (this.rest !== undefined && Exit.isSuccess(exit)) return
    this.rest = undefined
    const { flushes } = this
    this.flushes = none
    for (const flushed of flushes) flushed()
    submission?.ended(Exit.isFailure(exit) ? (this.closed ?? exit) : exit)
  }

  private whenBlocked(): void {
    const { transport, writeTimeoutMillis } = this
    if (this.current === undefined || writeTimeoutMillis === Timers.never) return
    this.held = transport.unsent()
    this.deadline ??= this.timers.deadline(() => this.expired())
    this.deadline.set(this.lastAt + writeTimeoutMillis)
  }

  private expired(): void {
    if (this.current === undefined) return
    const unsent = this.transport.unsent()
    if (unsent !== this.held) {
      // The peer takes bytes of this write, if slowly.
      this.held = unsent
      this.deadline?.set(this.timers.now() + this.writeTimeoutMillis)
      return
    }
    this.fail(Exit.fail(new WriteTimeout({ writeTimeoutMillis: this.writeTimeoutMillis })))
  }

  close(): void {
    this.fail(Exit.interrupt())
  }

  /** A set timeout outlives its write, and would keep the whole connection in memory until then. */
  release(): void {
    this.deadline?.clear()
  }

  private fail(exit: Exit.Exit<never, Failure>): void {
    if (this.closed !== undefined) return
    this.closed = exit
    this.deadline?.clear()
    const waiting = this.first === undefined ? nobody : [this.first, ...this.queue]
    this.first = undefined
    this.queue = nobody
    this.end(exit)
    for (const submission of waiting) submission.ended(exit)
    // Last: the reader may see the end of the transport at once, and the failure is its cause.
    this.transport.destroy()
  }
}
