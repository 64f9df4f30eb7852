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
  readonly writer: FrameWriter.FrameWriter
  /** Called once for each deadline that is over; what it returns is run. */
  readonly onExpired: (deadline: Deadline) => Effect.Effect<void>
  /** Called with the failure of a heartbeat's write. */
  readonly onWriteFailed: (error: FrameWriter.Failure) => Effect.Effect<void>
}

const heartbeat: ReadonlyArray<Frame.Frame> = [Frame.make(Frame.Type.Heartbeat)]

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
  const { intervalMillis, writer } = options
  const at: Record<Deadline, number> = {
    idle: Number.POSITIVE_INFINITY,
    request: Number.POSITIVE_INFINITY,
    query: Number.POSITIVE_INFINITY
  }
  let wakeAt = Number.POSITIVE_INFINITY
  let writing = false
  let messages = 0
  let waits = 0

  const expire = (now: number): Effect.Effect<void> =>
    Effect.forEach(
      deadlines.filter((deadline) => at[deadline] <= now),
      (deadline) => {
        at[deadline] = Number.POSITIVE_INFINITY
        return options.onExpired(deadline)
      },
      { discard: true }
    )

  const beat = Effect.suspend(() => {
    writing = true
    messages++
    return writer.write(() => heartbeat)
  }).pipe(
    Effect.catch(options.onWriteFailed),
    Effect.andThen(
      Effect.sync(() => {
        writing = false
      })
    )
  )

  const loop = Effect.gen(function* () {
    while (true) {
      const now = clock.currentTimeMillisUnsafe()
      const due = dueAt(now, intervalMillis, writer)
      wakeAt = Math.min(due, at.idle, at.request, at.query)
      if (wakeAt === Number.POSITIVE_INFINITY) {
        return yield* Effect.never
      } else if (wakeAt > now) {
        waits++
        yield* Effect.sleep(wakeAt - now)
      } else if (due <= now) {
        yield* beat
      } else {
        yield* expire(now)
      }
    }
  })

  const context = yield* Effect.context<never>()
  const start = () => Fiber.runIn(Effect.runForkWith(context)(loop), scope)
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
      reason: writing ? "write" : "wait"
    })
  }
})
