/** The heartbeat of a connection: a fiber that writes an `H` after each interval without a write. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import * as Message from "../protocol/Message.ts"
import type { HeartbeatStatistics } from "./Statistics.ts"

const beat: ReadonlyArray<Message.Message> = [Message.make(Message.Type.Heartbeat)]
const noBeat: ReadonlyArray<Message.Message> = []

/** The members of the connection's writer that a heartbeat uses. */
export type Beating = Pick<
  Writer.Writer<Message.Message>,
  "submit" | "withdraw" | "isWriting" | "lastWriteAt"
>

export class Heartbeat implements Writer.Submission<Message.Message> {
  readonly urgent = true
  private readonly writer: Beating
  private readonly timers: Timers.Timers
  private readonly sleep: Timers.Sleep
  private readonly intervalMillis: number
  /** How early a heartbeat may be, so that those of many connections are written together. */
  private readonly earlyMillis: number
  private messages = 0
  private waits = 0
  private isWriting = false
  /** The failure of a completed write, and the callback that waits for a pending one. */
  private failure: Effect.Effect<never, Writer.Failure> | undefined
  private resume: ((exit: Exit.Exit<void, Writer.Failure>) => void) | undefined

  /**
   * `intervalMillis` is the time without a write after which a heartbeat is written; it may be `Infinity`.
   */
  constructor(writer: Beating, timers: Timers.Timers, intervalMillis: number) {
    this.writer = writer
    this.timers = timers
    this.sleep = timers.sleep()
    // A zero interval would starve everything else.
    this.intervalMillis = Math.max(1, intervalMillis)
    this.earlyMillis = Timers.tolerance(this.intervalMillis)
  }

  /** Sleeps until the interval has passed without a write, writes, and repeats. */
  get run(): Effect.Effect<never, Writer.Failure> {
    // One effect reused for all beats: thousands of connections would allocate one for each beat.
    const wait = Effect.suspend(() => {
      this.waits++
      return this.sleep.until(this.dueAt(), this.earlyMillis)
    })
    const run: Effect.Effect<never, Writer.Failure> = Effect.flatMap(wait, () => this.write(run))
    return run
  }

  private write(next: Effect.Effect<never, Writer.Failure>): Effect.Effect<never, Writer.Failure> {
    if (this.dueAt() - this.earlyMillis > this.timers.now()) return next
    this.isWriting = true
    this.writer.submit(this)
    // Usually the socket takes the message at once.
    return this.isWriting && this.failure === undefined
      ? Effect.andThen(this.written, next)
      : (this.failure ?? next)
  }

  private get written(): Effect.Effect<void, Writer.Failure> {
    return Effect.callback((resume) => {
      // The write may have ended before this fiber waits for it.
      if (this.failure !== undefined) return resume(this.failure)
      if (!this.isWriting) return resume(Effect.void)
      this.resume = resume
      return Effect.sync(() => this.writer.withdraw(this))
    })
  }

  ended(exit: Exit.Exit<void, Writer.Failure>): void {
    const { resume } = this
    this.resume = undefined
    if (Exit.isFailure(exit)) this.failure = Exit.failCause(exit.cause)
    else this.isWriting = false
    resume?.(exit)
  }

  /** A connection that is writing needs no heartbeat: it is checked again after another interval. */
  private dueAt(): number {
    const { writer } = this
    return (writer.isWriting() ? this.timers.now() : writer.lastWriteAt()) + this.intervalMillis
  }

  /** Another write may have happened while this one waited for its turn. */
  take(now: number): ReadonlyArray<Message.Message> {
    if (this.writer.lastWriteAt() + this.intervalMillis - this.earlyMillis > now) return noBeat
    this.messages++
    return beat
  }

  statistics(): HeartbeatStatistics {
    return {
      bytesTransferred: this.messages * Message.headerSize,
      messages: this.messages,
      waits: this.waits,
      reason: this.isWriting ? "write" : "wait"
    }
  }
}
