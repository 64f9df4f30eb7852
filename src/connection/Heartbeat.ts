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

/** What a connection waits for with a limit. */
export const deadlines = ["idle", "request", "query"] as const
export type Deadline = (typeof deadlines)[number]

export interface Heartbeat {
  /** Sets when a deadline is over, in milliseconds of the Clock; `Infinity` takes it back. */
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

class Pulse implements Heartbeat, FrameWriter.Submission, Alarms.Sleeper {
  private readonly parts: Parts
  private readonly intervalMillis: number
  private readonly at: Record<Deadline, number> = {
    idle: Alarms.never,
    request: Alarms.never,
    query: Alarms.never
  }
  private wakeAt = Alarms.never
  private stopped = false
  private beating = false
  private failed = false
  private messages = 0
  private waits = 0

  constructor(parts: Parts) {
    this.parts = parts
    // An interval of nothing would leave room for nothing else.
    this.intervalMillis = Math.max(1, parts.intervalMillis)
  }

  start(): void {
    this.sleep(this.parts.clock.currentTimeMillisUnsafe())
  }

  stop(): void {
    this.sleepUntil(Alarms.never)
    this.stopped = true
  }

  setDeadline(deadline: Deadline, time: number): void {
    this.at[deadline] = time
    if (time < this.wakeAt) this.sleepUntil(time)
  }

  private sleepUntil(time: number): void {
    if (this.stopped) return
    this.parts.alarms.move(this, this.wakeAt, time)
    this.wakeAt = time
  }

  private sleep(now: number): void {
    this.waits++
    this.sleepUntil(Math.min(this.due(now), this.at.idle, this.at.request, this.at.query))
  }

  // It does not wait for its heartbeats: a peer that reads none of them must not hold up the deadlines.
  wake(now: number): void {
    this.wakeAt = Alarms.never
    if (this.due(now) <= now) this.beat()
    this.expire(now)
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
    return this.beating ? now + this.intervalMillis : dueAt(now, this.intervalMillis, this.parts.writer)
  }

  private expire(now: number): void {
    for (const deadline of deadlines) {
      if (this.at[deadline] > now) continue
      this.at[deadline] = Alarms.never
      this.parts.listener.expired(deadline)
    }
  }

  private beat(): void {
    this.beating = true
    this.parts.writer.submit(this)
  }

  readonly urgent = true

  /** Another write may have come first while this one waited for its turn. */
  take(): ReadonlyArray<Frame.Frame> {
    const now = this.parts.clock.currentTimeMillisUnsafe()
    if (dueAt(now, this.intervalMillis, this.parts.writer) > now) return noHeartbeat
    this.messages++
    return heartbeat
  }

  ended(exit: Exit.Exit<void, FrameWriter.Failure>): void {
    this.beating = false
    if (Exit.isSuccess(exit)) return
    this.failed = true
    const error = Cause.findErrorOption(exit.cause)
    if (error._tag === "Some") this.parts.listener.writeFailed(error.value)
  }
}
