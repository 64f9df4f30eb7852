/**
 * The pulse of a connection: writes a heartbeat whenever nothing has been written for the interval, and reports the
 * connection's deadlines when they are over. `Alarms` wakes it for both.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Frame from "../wire/Frame.ts"
import type * as FrameWriter from "../wire/FrameWriter.ts"
import * as Alarms from "./Alarms.ts"
import type { HeartbeatStatistics } from "./Statistics.ts"

/** What a connection waits for with a limit: its next request, or the end of its query, or the rest of a frame. */
export type Deadline = "idle" | "query" | "request"

export interface Heartbeat {
  /**
   * Sets when a deadline is over, in milliseconds of the Clock; `Infinity` takes it back. A connection is idle or
   * has a query: that one of these is set takes the other back.
   */
  readonly setDeadline: (deadline: Deadline, at: number) => void
  readonly statistics: () => HeartbeatStatistics
}

/** Whoever is told of what the heartbeat finds. */
export interface Listener {
  /** Called once for each deadline that is over. */
  readonly expired: (deadline: Deadline) => void
  /** Called with the failure of a heartbeat's write; no heartbeat follows. */
  readonly writeFailed: (error: FrameWriter.Failure) => void
}

export interface Options {
  /** Silence after which a heartbeat is written, in milliseconds; may be `Infinity`. */
  readonly intervalMillis: number
  readonly writer: Pick<FrameWriter.FrameWriter, "submit" | "isWriting" | "lastWriteAt">
  readonly listener: Listener
}

const heartbeat: ReadonlyArray<Frame.Frame> = [Frame.make(Frame.Type.Heartbeat)]
const noHeartbeat: ReadonlyArray<Frame.Frame> = []

/** When the next heartbeat is due. A connection that is writing needs none: it is looked at again later. */
export const dueAt = (
  now: number,
  intervalMillis: number,
  writer: Pick<FrameWriter.FrameWriter, "isWriting" | "lastWriteAt">
): number => (writer.isWriting() ? now : writer.lastWriteAt()) + intervalMillis

/**
 * How much too early a heartbeat may be, as a share of the interval. Hearts that are due at about the same time
 * beat together: to wake the thread for each of thousands would cost more than their writes.
 */
const earlyShare = 0.01

/** Starts the heartbeat of a connection in the scope. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Heartbeat, never, Scope.Scope> {
  const alarms = (yield* Alarms.Shared) ?? (yield* Alarms.make)
  const pulse = new Pulse({ ...options, alarms, clock: yield* Clock.Clock })
  yield* Scope.addFinalizer(
    yield* Effect.scope,
    Effect.sync(() => pulse.stop())
  )
  pulse.start()
  return pulse
})

interface Parts extends Options {
  readonly alarms: Alarms.Alarms
  readonly clock: Clock.Clock
}

// What a beat looks at lies in the object itself: over thousands of idle connections each step to another one is
// a miss of the processor's caches.
class Pulse implements Heartbeat, FrameWriter.Submission, Alarms.Sleeper {
  private readonly alarms: Alarms.Alarms
  private readonly clock: Clock.Clock
  private readonly writer: Options["writer"]
  private readonly listener: Listener
  private readonly intervalMillis: number
  private readonly earlyMillis: number
  private phase: "idle" | "query" = "idle"
  private phaseEnd = Alarms.never
  private requestEnd = Alarms.never
  alarm: Alarms.Alarm | undefined
  place = 0
  private stopped = false
  private beating = false
  private failed = false
  private messages = 0
  private waits = 0

  constructor(parts: Parts) {
    this.alarms = parts.alarms
    this.clock = parts.clock
    this.writer = parts.writer
    this.listener = parts.listener
    // An interval of nothing would leave room for nothing else.
    this.intervalMillis = Math.max(1, parts.intervalMillis)
    this.earlyMillis = Math.floor(Math.min(this.intervalMillis * earlyShare, Number.MAX_SAFE_INTEGER))
  }

  start(): void {
    this.sleep(this.clock.currentTimeMillisUnsafe())
  }

  stop(): void {
    this.sleepUntil(Alarms.never)
    this.stopped = true
  }

  setDeadline(deadline: Deadline, time: number): void {
    if (deadline === "request") {
      this.requestEnd = time
    } else {
      this.phase = deadline
      this.phaseEnd = time
    }
    if (time < (this.alarm?.at ?? Alarms.never)) this.sleepUntil(time)
  }

  /** The sooner of the deadlines. */
  private get soonest(): number {
    return Math.min(this.phaseEnd, this.requestEnd)
  }

  private sleepUntil(time: number, early = 0): void {
    if (!this.stopped) this.alarms.set(this, time, early)
  }

  private sleep(now: number): void {
    this.waits++
    const due = this.due(now)
    // Deadlines are over at their time and not before.
    if (due < this.soonest) this.sleepUntil(due, this.earlyMillis)
    else this.sleepUntil(this.soonest)
  }

  // It does not wait for its heartbeats: a peer that reads none of them must not hold up the deadlines.
  wake(now: number): void {
    if (this.due(now) - this.earlyMillis <= now) this.beat()
    if (this.soonest <= now) this.expire(now)
    this.sleep(now)
  }

  statistics(): HeartbeatStatistics {
    return {
      bytesTransferred: this.messages * Frame.headerSize,
      messages: this.messages,
      waits: this.waits,
      reason: this.beating ? "write" : "wait"
    }
  }

  private due(now: number): number {
    if (this.failed) return Alarms.never
    return this.beating ? now + this.intervalMillis : dueAt(now, this.intervalMillis, this.writer)
  }

  private expire(now: number): void {
    if (this.phaseEnd <= now) {
      this.phaseEnd = Alarms.never
      this.listener.expired(this.phase)
    }
    if (this.requestEnd <= now) {
      this.requestEnd = Alarms.never
      this.listener.expired("request")
    }
  }

  private beat(): void {
    this.beating = true
    this.writer.submit(this)
  }

  readonly urgent = true

  /** Another write may have come first while this one waited for its turn. */
  take(now: number): ReadonlyArray<Frame.Frame> {
    if (dueAt(now, this.intervalMillis, this.writer) - this.earlyMillis > now) return noHeartbeat
    this.messages++
    return heartbeat
  }

  ended(exit: Exit.Exit<void, FrameWriter.Failure>): void {
    this.beating = false
    if (Exit.isSuccess(exit)) return
    this.failed = true
    const error = Cause.findErrorOption(exit.cause)
    if (error._tag === "Some") this.listener.writeFailed(error.value)
  }
}
