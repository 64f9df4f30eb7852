/**
 * The one sleeping fiber of a connection: it writes a heartbeat whenever nothing has been written for the
 * interval, and reports the connection's deadlines when they are over.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
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

export interface Options {
  /** Silence after which a heartbeat is written, in milliseconds; may be `Infinity`. */
  readonly intervalMillis: number
  readonly writer: Pick<FrameWriter.FrameWriter, "write" | "isWriting" | "lastWriteAt">
  /** Called once for each deadline that is over. */
  readonly onExpired: (deadline: Deadline) => void
  /** Called with the failure of a heartbeat's write; no heartbeat follows. */
  readonly onWriteFailed: (error: FrameWriter.Failure) => void
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
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const { writer } = options
  // An interval of nothing would leave room for nothing else.
  const intervalMillis = Math.max(1, options.intervalMillis)
  const at: Record<Deadline, number> = {
    idle: Number.POSITIVE_INFINITY,
    request: Number.POSITIVE_INFINITY,
    query: Number.POSITIVE_INFINITY
  }
  let wakeAt = Number.NEGATIVE_INFINITY
  let beating = false
  let failed = false
  let messages = 0
  let waits = 0

  const due = (now: number): number => {
    if (failed) return Number.POSITIVE_INFINITY
    return beating ? now + intervalMillis : dueAt(now, intervalMillis, writer)
  }

  const expire = (now: number): void => {
    for (const deadline of deadlines) {
      if (at[deadline] > now) continue
      at[deadline] = Number.POSITIVE_INFINITY
      options.onExpired(deadline)
    }
  }

  // Another write may have come first while this one waited for its turn.
  const take = () => {
    const now = clock.currentTimeMillisUnsafe()
    if (dueAt(now, intervalMillis, writer) > now) return noHeartbeat
    messages++
    return heartbeat
  }

  const beat = Effect.onExit(
    Effect.catch(writer.write(take, { urgent: true }), (error) =>
      Effect.sync(() => {
        failed = true
        options.onWriteFailed(error)
      })
    ),
    () =>
      Effect.sync(() => {
        beating = false
      })
  )

  // The loop does not wait for its heartbeats: a peer that reads none of them must not hold up the deadlines.
  const loop = Effect.gen(function* () {
    while (true) {
      const now = clock.currentTimeMillisUnsafe()
      const dueNext = due(now)
      wakeAt = Math.min(dueNext, at.idle, at.request, at.query)
      if (wakeAt > now) {
        if (wakeAt === Number.POSITIVE_INFINITY) return yield* Effect.never
        waits++
        yield* Effect.sleep(wakeAt - now)
        continue
      }
      expire(now)
      if (dueNext <= now) {
        beating = true
        Fiber.runIn(fork(beat), scope)
      }
    }
  })

  // In a turn of its own: whoever sets a deadline may be in the middle of a write.
  const start = () => {
    wakeAt = Number.NEGATIVE_INFINITY
    return Fiber.runIn(fork(Effect.andThen(Effect.yieldNow, loop)), scope)
  }
  let fiber = start()

  return {
    setDeadline: (deadline, time) => {
      at[deadline] = time
      // A deadline sooner than the fiber's next look wakes it; later ones cost nothing.
      if (time >= wakeAt) return
      fiber.interruptUnsafe()
      fiber = start()
    },
    statistics: () => ({
      bytesTransferred: messages * Frame.headerSize,
      messages,
      waits,
      reason: beating ? "write" : "wait"
    })
  }
})
