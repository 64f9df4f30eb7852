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
  /** The alarm that wakes it, and its place there. Belong to the alarms. */
  alarm: Alarm | undefined
  place: number
}

/** A time, in milliseconds of the Clock, and who is woken then; nobody where one has left. */
export interface Alarm {
  readonly at: number
  readonly sleepers: Array<Sleeper | undefined>
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
  /** The soonest first. */
  private readonly alarms: Array<Alarm> = []
  private fiber: Fiber.Fiber<void> | undefined
  private wakesAt = never

  constructor(parts: Parts) {
    this.parts = parts
  }

  /**
   * Sets for when a sleeper is woken, in milliseconds of the Clock, or never; what was set before no longer holds.
   * Where somebody is woken not more than `early` before that time, it is woken with him.
   */
  set(sleeper: Sleeper, at: number, early = 0): void {
    if (sleeper.alarm !== undefined) sleeper.alarm.sleepers[sleeper.place] = undefined
    const alarm = at === never ? undefined : this.alarm(at, early)
    sleeper.alarm = alarm
    if (alarm === undefined) return
    sleeper.place = alarm.sleepers.push(sleeper) - 1
    // A time sooner than the fiber's next look wakes it; later ones cost nothing.
    if (alarm.at < this.wakesAt) this.start()
  }

  private alarm(at: number, early: number): Alarm {
    const { alarms } = this
    let place = alarms.length
    while (place > 0 && (alarms[place - 1]?.at ?? never) > at) place--
    const near = alarms[place - 1]
    if (near !== undefined && near.at >= at - early) return near
    const alarm: Alarm = { at, sleepers: [] }
    alarms.splice(place, 0, alarm)
    return alarm
  }

  private start(): void {
    const { context, scope } = this.parts
    this.fiber?.interruptUnsafe()
    this.fiber = Fiber.runIn(Effect.runForkWith(context)(this.loop), scope)
  }

  private readonly loop: Effect.Effect<void> = Effect.suspend(() => {
    const [next] = this.alarms
    this.wakesAt = next?.at ?? never
    if (next === undefined) return Effect.void
    const wait = next.at - this.parts.clock.currentTimeMillisUnsafe()
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
    while ((this.alarms[0]?.at ?? never) <= now) {
      for (const sleeper of this.alarms.shift()?.sleepers ?? []) {
        if (sleeper === undefined) continue
        sleeper.alarm = undefined
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
