/**
 * The heartbeat of a connection: a fiber that writes an `H` whenever nothing has been written for the interval.
 */
import * as Effect from "effect/Effect"
import type * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import * as Message from "../protocol/Message.ts"
import type { HeartbeatStatistics } from "./Statistics.ts"

const beat: ReadonlyArray<Message.Message> = [Message.make(Message.Type.Heartbeat)]
const noBeat: ReadonlyArray<Message.Message> = []
const urgent = { urgent: true }

/** What a heartbeat needs of the connection's writer. */
export type Beating = Pick<Writer.Writer<Message.Message>, "write" | "isWriting" | "lastWriteAt">

export class Heartbeat {
  private readonly writer: Beating
  private readonly timers: Timers.Timers
  private readonly intervalMillis: number
  /** How much too early a heartbeat may be, so that those of many connections are written together. */
  private readonly earlyMillis: number
  private messages = 0
  private waits = 0
  private isWriting = false

  /** `intervalMillis` is the silence after which a heartbeat is written; it may be `Infinity`. */
  constructor(writer: Beating, timers: Timers.Timers, intervalMillis: number) {
    this.writer = writer
    this.timers = timers
    // An interval of nothing would leave room for nothing else.
    this.intervalMillis = Math.max(1, intervalMillis)
    this.earlyMillis = Timers.tolerance(this.intervalMillis)
  }

  /** Sleeps until the connection has been silent for the interval, writes, and begins again. */
  readonly run: Effect.Effect<never, Writer.Failure> = Effect.suspend(() => {
    this.waits++
    return Effect.andThen(this.timers.sleepUntil(this.dueAt(), this.earlyMillis), this.write)
  })

  private readonly write: Effect.Effect<never, Writer.Failure> = Effect.suspend(() => {
    if (this.dueAt() - this.earlyMillis > this.timers.now()) return this.run
    this.isWriting = true
    return Effect.andThen(this.writer.write(this.take, urgent), this.written)
  })

  private readonly written: Effect.Effect<never, Writer.Failure> = Effect.suspend(() => {
    this.isWriting = false
    return this.run
  })

  /** A connection that is writing needs no heartbeat: it is looked at again after another interval. */
  private dueAt(): number {
    const { writer } = this
    return (writer.isWriting() ? this.timers.now() : writer.lastWriteAt()) + this.intervalMillis
  }

  /** Another write may have come first while this one waited for its turn. */
  private readonly take = (now: number): ReadonlyArray<Message.Message> => {
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
