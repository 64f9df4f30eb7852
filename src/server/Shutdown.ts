/**
 * The stop of a server: it notifies its connections, waits for them with a limit, notifies them when it stops
 * waiting, and leaves them a moment for their last messages. Connections that have not ended by then are
 * abandoned.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"

/**
 * A connection that is notified of the stop, and has to end.
 *
 * @category models
 * @since 0.1.0
 */
export interface Member {
  readonly drain: Effect.Effect<void>
  readonly drainExpired: Effect.Effect<void>
}

/**
 * How long connections have for their last message after `drainTimeout`.
 *
 * @category constants
 * @since 0.1.0
 */
export const goodbye: Duration.Input = "2 seconds"

/**
 * The same for a stop without waiting: enough for a message to clients that read.
 *
 * @category constants
 * @since 0.1.0
 */
export const hastyGoodbye: Duration.Input = "250 millis"

/**
 * How long connections have to end once they have been interrupted, after their last message. Those that have
 * not ended are dropped, and the log names the work that each of them waits for.
 *
 * @category constants
 * @since 0.1.0
 */
export const grace: Duration.Input = "2 seconds"

/**
 * The same for a stop without waiting.
 *
 * @category constants
 * @since 0.1.0
 */
export const hastyGrace: Duration.Input = "250 millis"

/**
 * The connections of a server, which are notified when it stops.
 *
 * @category models
 * @since 0.1.0
 */
export class Shutdown {
  private readonly members = new Set<Member>()
  private readonly empty = Latch.makeUnsafe(true)
  /** The last notification of the members. */
  private told: keyof Member | undefined
  private readonly hurry = Latch.makeUnsafe(false)

  get size(): number {
    return this.members.size
  }

  /** Notifies the member of a stop, also of one that is under way, until the scope closes. */
  join(member: Member): Effect.Effect<void, never, Scope.Scope> {
    return Effect.uninterruptible(
      Effect.flatMap(Effect.scope, (scope) => {
        this.members.add(member)
        this.empty.closeUnsafe()
        return Effect.andThen(
          Scope.addFinalizerExit(scope, () => this.left(member)),
          this.told === undefined ? Effect.void : member[this.told]
        )
      })
    )
  }

  private left(member: Member): Effect.Effect<void> {
    return Effect.sync(() => {
      this.members.delete(member)
      if (this.members.size === 0) this.empty.openUnsafe()
    })
  }

  /**
   * The current drain, or the next one, waits for no responses any more, but leaves {@link hastyGoodbye} for
   * last messages.
   */
  readonly now: Effect.Effect<void> = Effect.asVoid(this.hurry.open)

  /** Returns after `duration`, or after `hurried` from the moment of {@link now}. */
  private sleep(duration: Duration.Input, hurried: Duration.Input): Effect.Effect<unknown> {
    return Effect.raceFirst(Effect.andThen(this.hurry.await, Effect.sleep(hurried)), Effect.sleep(duration))
  }

  /** The same, or once all members have ended. */
  private within(duration: Duration.Input, hurried: Duration.Input = 0): Effect.Effect<unknown> {
    return Effect.raceFirst(this.empty.await, this.sleep(duration, hurried))
  }

  /**
   * Returns when interrupted connections have had their time to end: {@link grace}, or {@link hastyGrace}.
   */
  get grace(): Effect.Effect<unknown> {
    return this.sleep(grace, hastyGrace)
  }

  /** Notifies all members, including those that join later. */
  tell(what: keyof Member): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.told = what
      return Effect.forEach([...this.members], (member) => member[what], { discard: true })
    })
  }

  /** Returns when all members have ended, or their time is over. */
  drain(drainTimeout: Duration.Input): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      yield* this.tell("drain")
      yield* this.within(drainTimeout)
      yield* this.tell("drainExpired")
      yield* this.within(goodbye, hastyGoodbye)
    })
  }
}
