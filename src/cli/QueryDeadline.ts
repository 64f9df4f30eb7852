/**
 * Ends a query in time, even if the server does not answer.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * How long after its timeout a query may take to end: time for the server's answer, the cancel and the
 * clean-up in turn.
 */
export const grace = {
  /** For the server, which knows the timeout too; its own error says more. */
  answer: Duration.millis(500),
  /** For the server to acknowledge the cancel. */
  cancel: Duration.seconds(1),
  cleanUp: Duration.millis(500)
} as const

/** The total of these. */
export const totalGrace: Duration.Duration = Object.values(grace).reduce(Duration.sum)

/** The query has not ended in time, and its result so far is incomplete. */
export class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {
  timeout: Schema.Duration,
  /** The activity at that time, such as `connecting to 127.0.0.1:11653`. */
  phase: Schema.String
}) {
  override get message() {
    return `timeout: gave up ${this.phase} after ${Duration.format(this.timeout)} (--timeout)`
  }
}

/**
 * Runs the effect for as long as the timeout and `grace.answer`, then interrupts it, and waits at most for
 * the rest of the grace until it ends. An infinite timeout means no limit.
 *
 * **Gotchas**
 *
 * Uninterruptible work, such as a running name lookup of the system, may continue in the background.
 */
export const enforce = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: { readonly timeout: Duration.Duration; readonly phase: () => string }
): Effect.Effect<A, E | TimedOut, R> =>
  Duration.isFinite(options.timeout) ? limited(effect, options.timeout, options.phase) : effect

const limited = Effect.fnUntraced(function* <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  timeout: Duration.Duration,
  phase: () => string
): Effect.fn.Return<A, E | TimedOut, R> {
  const fiber = yield* Effect.forkDetach(effect)
  const endWithin = (duration: Duration.Duration) => Effect.timeoutOption(Fiber.await(fiber), duration)
  const exit = yield* endWithin(Duration.sum(timeout, grace.answer)).pipe(
    Effect.onInterrupt(() => Fiber.interrupt(fiber))
  )
  if (Option.isSome(exit)) return yield* exit.value
  const error = new TimedOut({ timeout, phase: phase() })
  fiber.interruptUnsafe()
  const late = yield* endWithin(Duration.sum(grace.cancel, grace.cleanUp))
  // The effect may have ended at the moment of its interruption.
  return Option.isSome(late) && Exit.isSuccess(late.value) ? late.value.value : yield* error
})
