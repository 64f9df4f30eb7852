/**
 * Wakes many sleepers at their times, with one fiber and one timer for all of them.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/** Whoever is woken. */
export interface Sleeper {
  /** Called in a turn of the event loop in which the sockets have been polled since the time came. */
  readonly wake: (now: number) => void
}

/** Never. */
export const never: number = Number.POSITIVE_INFINITY

interface Parts {
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
}

export class Alarms {
  private readonly parts: Parts
  private readonly sleepers = new Map<number, Set<Sleeper>>()
  /** The times of the map, the soonest first. */
  private readonly times: Array<number> = []
  private fiber: Fiber.Fiber<void> | undefined
  private wakesAt = never

  constructor(parts: Parts) {
    this.parts = parts
  }

  /**
   * Sets for when a sleeper, which was to be woken at `before`, is woken, and returns it: in milliseconds of the
   * Clock, or never. Where somebody is woken not more than `early` before that time, it is woken with him.
   */
  move(sleeper: Sleeper, before: number, at: number, early = 0): number {
    this.sleepers.get(before)?.delete(sleeper)
    if (at === never) return never
    const time = this.join(sleeper, at, early)
    // A time sooner than the fiber's next look wakes it; later ones cost nothing.
    if (time < this.wakesAt) this.start()
    return time
  }

  private join(sleeper: Sleeper, at: number, early: number): number {
    const { times } = this
    let place = times.length
    while (place > 0 && (times[place - 1] ?? never) > at) place--
    const near = times[place - 1]
    if (near !== undefined && near >= at - early) {
      this.sleepers.get(near)?.add(sleeper)
      return near
    }
    this.sleepers.set(at, new Set([sleeper]))
    times.splice(place, 0, at)
    return at
  }

  private start(): void {
    const { context, scope } = this.parts
    this.fiber?.interruptUnsafe()
    this.fiber = Fiber.runIn(Effect.runForkWith(context)(this.loop), scope)
  }

  private readonly loop: Effect.Effect<void> = Effect.suspend(() => {
    const [next] = this.times
    this.wakesAt = next ?? never
    if (next === undefined) return Effect.void
    const wait = next - this.parts.clock.currentTimeMillisUnsafe()
    // After a busy stretch timers run before sockets are polled: what has arrived in the meantime counts.
    return wait > 0
      ? Effect.andThen(Effect.sleep(wait), this.loop)
      : Effect.andThen(Effect.yieldNow, Effect.andThen(this.ring, this.loop))
  })

  private readonly ring: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.parts.clock.currentTimeMillisUnsafe()
    const defects: Array<unknown> = []
    // Whoever is woken sets his next time: that must not start another fiber.
    this.wakesAt = Number.NEGATIVE_INFINITY
    while ((this.times[0] ?? never) <= now) {
      const at = this.times.shift() ?? never
      const due = this.sleepers.get(at) ?? []
      this.sleepers.delete(at)
      for (const sleeper of due) {
        try {
          sleeper.wake(now)
        } catch (defect) {
          defects.push(defect)
        }
      }
    }
    return Effect.forEach(defects, (defect) => Effect.logError("An alarm failed", Cause.die(defect)), {
      discard: true
    })
  })
}

/** Alarms whose fiber lives in the scope. */
export const make: Effect.Effect<Alarms, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  return new Alarms({ scope, clock, context: yield* Effect.context<never>() })
})

/** The alarms of all connections of a server. A connection without a server has its own. */
export const Shared: Context.Reference<Alarms | undefined> = Context.Reference("dataconn/connection/Alarms", {
  defaultValue: (): Alarms | undefined => undefined
})
