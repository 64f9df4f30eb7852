/**
 * The heartbeat of a connection: a fiber that writes an `H` whenever nothing has been written for the interval.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import * as Message from "../protocol/Message.ts"
import type { HeartbeatStatistics } from "./Statistics.ts"

const beat: ReadonlyArray<Message.Message> = [Message.make(Message.Type.Heartbeat)]
const noBeat: ReadonlyArray<Message.Message> = []

/** What a heartbeat needs of the connection's writer. */
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
  /** How much too early a heartbeat may be, so that those of many connections are written together. */
  private readonly earlyMillis: number
  private messages = 0
  private waits = 0
  private isWriting = false
  /** How a write that is over has failed, and what waits for one that is not. */
  private failure: Effect.Effect<never, Writer.Failure> | undefined
  private resume: ((exit: Exit.Exit<void, Writer.Failure>) => void) | undefined

  /** `intervalMillis` is the silence after which a heartbeat is written; it may be `Infinity`. */
  constructor(writer: Beating, timers: Timers.Timers, intervalMillis: number) {
    this.writer = writer
    this.timers = timers
    this.sleep = timers.sleep()
    // An interval of nothing would leave room for nothing else.
    this.intervalMillis = Math.max(1, intervalMillis)
    this.earlyMillis = Timers.tolerance(this.intervalMillis)
  }

  /** Sleeps until the connection has been silent for the interval, writes, and begins again. */
  get run(): Effect.Effect<never, Writer.Failure> {
    // One effect for all times: thousands of hearts beat, and each would leave its garbage.
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
    // The socket takes it at once, as a rule.
    return this.isWriting && this.failure === undefined
      ? Effect.andThen(this.written, next)
      : (this.failure ?? next)
  }

  private get written(): Effect.Effect<void, Writer.Failure> {
    return Effect.callback((resume) => {
      // It may have ended before this fiber came to wait for it.
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

  /** A connection that is writing needs no heartbeat: it is looked at again after another interval. */
  private dueAt(): number {
    const { writer } = this
    return (writer.isWriting() ? this.timers.now() : writer.lastWriteAt()) + this.intervalMillis
  }

  /** Another write may have come first while this one waited for its turn. */
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
