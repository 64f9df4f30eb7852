/**
 * The handling of signals in a command. The runner of the command handles the first SIGINT or SIGTERM, by
 * interrupting it.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

const signals = ["SIGINT", "SIGTERM"] as const

/** Runs the effect at the second signal, for as long as the scope is open. A third ends the process. */
export const onSecond = Effect.fnUntraced(function* (
  effect: Effect.Effect<void>
): Effect.fn.Return<void, never, Scope.Scope> {
  const context = yield* Effect.context<never>()
  let count = 0
  const onSignal = () => {
    count++
    if (count === 2) Effect.runForkWith(context)(effect)
    // A normal exit would wait for the engine's native calls, which may hang.
    if (count === 3) process.kill(process.pid, "SIGKILL")
  }
  yield* handle(signals, onSignal)
})

/**
 * The layer, with its service's `stopNow` run at the second signal. Signals are also handled while it is
 * built.
 */
export const stopsOnSecond = <I, S extends { readonly stopNow: Effect.Effect<void> }, A, E, R>(
  service: Context.Key<I, S>,
  layer: Layer.Layer<I | A, E, R>
): Layer.Layer<I | A, E, R> =>
  Layer.unwrap(
    Effect.gen(function* () {
      let stopNow: Effect.Effect<void> = Effect.void
      yield* onSecond(Effect.suspend(() => stopNow))
      return Layer.tap(layer, (context) =>
        Effect.sync(() => {
          stopNow = Context.get(context as Context.Context<I>, service).stopNow
        })
      )
    })
  )

/** Exits with 0 if the program was interrupted, which is its normal end. */
export const teardown: Runtime.Teardown = (exit, onExit) =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    ? onExit(0)
    : Runtime.defaultTeardown(exit, onExit)

/** Handles signals for as long as the scope is open. */
const handle = (
  signals: ReadonlyArray<NodeJS.Signals>,
  onSignal: () => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      for (const signal of signals) process.on(signal, onSignal)
    }),
    () =>
      Effect.sync(() => {
        for (const signal of signals) process.off(signal, onSignal)
      })
  )

/**
 * For as long as the scope is open, SIGHUP does not end the process. Returns the effect that waits for the
 * next unhandled SIGHUP; several count as one.
 */
export const hangups: Effect.Effect<Effect.Effect<void>, never, Scope.Scope> = Effect.gen(function* () {
  const came = yield* Latch.make(false)
  yield* handle(["SIGHUP"], () => came.openUnsafe())
  return Effect.andThen(came.await, Effect.asVoid(came.close))
})

/**
 * For as long as the scope is open, SIGQUIT stops the program like two SIGTERM, without waiting for
 * responses, and SIGUSR2 does nothing.
 */
export const quits: Effect.Effect<void, never, Scope.Scope> = Effect.gen(function* () {
  yield* handle(["SIGUSR2"], () => {})
  yield* handle(["SIGQUIT"], () => {
    for (let i = 0; i < 2; i++) process.emit("SIGTERM", "SIGTERM")
  })
})
