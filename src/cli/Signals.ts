/**
 * The effect of signals on a command. The first one interrupts it, unless it handles the signal itself.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const

type Signal = (typeof signals)[number]

const on = (listener: (signal: Signal) => void): (() => void) => {
  for (const signal of signals) process.on(signal, listener)
  return () => {
    for (const signal of signals) process.off(signal, listener)
  }
}

/** The first signal that interrupted the command. */
let interruptedBy: Signal | undefined

/** The command's own handler of SIGINT, instead of an interruption. */
let taken: (() => void) | undefined

/** Whether SIGHUP and SIGQUIT mean something else to the command. */
let isServing = false

/** The signal that interrupted the command, if any. */
export const received = (): Signal | undefined => interruptedBy

/** Interrupts a command at the first signal, until it has ended. */
export const interrupt = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  const off = on((signal) => {
    if (signal === "SIGINT" && taken !== undefined) return taken()
    if (isServing && (signal === "SIGHUP" || signal === "SIGQUIT")) return
    interruptedBy ??= signal
    fiber.interruptUnsafe(fiber.id)
  })
  fiber.addObserver(off)
}

/** Calls the listener at SIGINT, which does not interrupt the command while the scope is open. */
export const takeInterrupts = (listener: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        const before = taken
        taken = listener
        return before
      }),
      (before) =>
        Effect.sync(() => {
          taken = before
        })
    )
  )

/**
 * Marks a command that serves until it is interrupted: its exit code is then 0, and it handles SIGHUP and SIGQUIT
 * itself.
 */
export const serving = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    isServing = true
    return Effect.onInterrupt(command, () =>
      Effect.sync(() => {
        process.exitCode = 0
      })
    )
  })

/**
 * Runs effects at the first and at the second signal, while the scope is open. The first effect runs beside
 * the command's own end. A third signal ends the process.
 */
export const onSignals = Effect.fnUntraced(function* (effects: {
  readonly first?: Effect.Effect<void>
  readonly second: Effect.Effect<void>
}): Effect.fn.Return<void, never, Scope.Scope> {
  const context = yield* Effect.context<never>()
  const run = Effect.runForkWith(context)
  let count = 0
  const onSignal = () => {
    count++
    if (count === 1 && effects.first !== undefined) run(effects.first)
    if (count === 2) run(effects.second)
    // An exit would wait for the engine's native calls, one of which may be stuck.
    if (count === 3) process.kill(process.pid, "SIGKILL")
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => on(onSignal)),
    (off) => Effect.sync(off)
  )
})
