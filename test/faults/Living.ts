import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Socket from "effect/socket/Socket"

/** Counts what begins and ends: the fibers of a run, its sleeps, and the halves of its sockets. */
export class Living {
  fibers = 0
  sleeps = 0
  halves = 0

  /** The same socket, with its halves counted for as long as their scopes are open. */
  socket({ reader, writer }: Socket.Socket): Socket.Socket {
    const half = Effect.acquireRelease(
      Effect.sync(() => void this.halves++),
      () => Effect.sync(() => void this.halves--)
    )
    return Socket.make({ reader: Effect.andThen(half, reader), writer: Effect.andThen(half, writer) })
  }

  /** Runs the effect, with whatever it forks counted. Detached: a fiber that hangs must not hold the test up. */
  fork<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> {
    return Clock.clockWith((clock) =>
      Effect.forkDetach(effect, { startImmediately: true }).pipe(
        Effect.provideService(Clock.Clock, this.clock(clock)),
        Effect.provideService(Metric.FiberRuntimeMetrics, {
          recordFiberStart: () => void this.fibers++,
          recordFiberEnd: () => void this.fibers--
        })
      )
    )
  }

  private clock(clock: Clock.Clock): Clock.Clock {
    return Object.setPrototypeOf(
      {
        sleep: (duration: Parameters<Clock.Clock["sleep"]>[0]) =>
          Effect.acquireUseRelease(
            Effect.sync(() => void this.sleeps++),
            () => clock.sleep(duration),
            () => Effect.sync(() => void this.sleeps--)
          )
      },
      clock
    )
  }
}
