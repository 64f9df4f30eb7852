/**
 * The one sleeping fiber of a connection: it writes a heartbeat whenever nothing has been written for the
 * interval, and reports the connection's deadlines when they are over.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Frame from "../wire/Frame.ts"
import type * as FrameWriter from "../wire/FrameWriter.ts"
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
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const pulse = new Pulse({ ...options, scope, clock, context })
  pulse.start(pulse.loop)
  return pulse
})

interface Parts extends Options {
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
}

class Pulse implements Heartbeat, FrameWriter.Submission {
  private readonly parts: Parts
  private readonly intervalMillis: number
  private readonly at: Record<Deadline, number> = {
    idle: Number.POSITIVE_INFINITY,
    request: Number.POSITIVE_INFINITY,
    query: Number.POSITIVE_INFINITY
  }
  private fiber: Fiber.Fiber<void> | undefined
  private wakeAt = Number.NEGATIVE_INFINITY
  private beating = false
  private failed = false
  private messages = 0
  private waits = 0

  constructor(parts: Parts) {
    this.parts = parts
    // An interval of nothing would leave room for nothing else.
    this.intervalMillis = Math.max(1, parts.intervalMillis)
  }

  start(loop: Effect.Effect<void>): void {
    const { context, scope } = this.parts
    this.wakeAt = Number.NEGATIVE_INFINITY
    this.fiber = Fiber.runIn(Effect.runForkWith(context)(loop), scope)
  }

  setDeadline(deadline: Deadline, time: number): void {
    this.at[deadline] = time
    // A deadline sooner than the fiber's next look wakes it; later ones cost nothing.
    if (time >= this.wakeAt) return
    this.fiber?.interruptUnsafe()
    // In a turn of its own: whoever sets a deadline may be in the middle of a write.
    this.start(Effect.andThen(Effect.yieldNow, this.loop))
  }

  statistics(): HeartbeatStatistics {
    return {
      bytesTransferred: this.messages * Frame.headerSize,
      messages: this.messages,
      waits: this.waits,
      reason: this.beating ? "write" : "wait"
    }
  }

  // The loop does not wait for its heartbeats: a peer that reads none of them must not hold up the deadlines.
  readonly loop: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.parts.clock.currentTimeMillisUnsafe()
    const due = this.due(now)
    this.wakeAt = Math.min(due, this.at.idle, this.at.request, this.at.query)
    if (this.wakeAt > now) {
      if (this.wakeAt === Number.POSITIVE_INFINITY) return Effect.never
      this.waits++
      return Effect.andThen(Effect.sleep(this.wakeAt - now), this.loop)
    }
    if (due <= now) this.beat()
    const isOver = deadlines.some((deadline) => this.at[deadline] <= now)
    // After a busy stretch timers run before sockets are read: what has arrived in the meantime counts.
    return isOver ? Effect.andThen(Effect.yieldNow, this.expire()) : this.loop
  })

  private due(now: number): number {
    if (this.failed) return Number.POSITIVE_INFINITY
    return this.beating ? now + this.intervalMillis : dueAt(now, this.intervalMillis, this.parts.writer)
  }

  private expire(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.parts.clock.currentTimeMillisUnsafe()
      for (const deadline of deadlines) {
        if (this.at[deadline] > now) continue
        this.at[deadline] = Number.POSITIVE_INFINITY
        this.parts.listener.expired(deadline)
      }
      return this.loop
    })
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
