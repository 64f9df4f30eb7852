/**
 * Forks effects for callbacks that are no effects themselves, such as events of a socket. A fiber of a scope
 * forks them, as children of that scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export class Spawner<R = never> {
  private readonly scope: Scope.Scope
  private readonly jobs: Array<Effect.Effect<unknown, never, R>> = []
  private wake: (() => void) | undefined

  constructor(scope: Scope.Scope) {
    this.scope = scope
  }

  /**
   * Forks the effect, which starts in a turn of its own: long-lived fibers that started on the stack of
   * another fiber made the objects of all their queries outlive collections, at twice the CPU for small
   * queries.
   */
  spawn(job: Effect.Effect<unknown, never, R>): void {
    this.jobs.push(job)
    const { wake } = this
    this.wake = undefined
    wake?.()
  }

  readonly run: Effect.Effect<never, never, R> = Effect.suspend(() => {
    const job = this.jobs.shift()
    return Effect.andThen(job === undefined ? this.arrival : Effect.forkIn(job, this.scope), this.run)
  })

  private readonly arrival: Effect.Effect<void> = Effect.callback((resume) => {
    this.wake = () => resume(Effect.void)
  })
}

/** A spawner whose fibers belong to the scope, and run with the context of this call. */
export const makeIn = <R>(): Effect.Effect<Spawner<R>, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const spawner = new Spawner<R>(yield* Effect.scope)
    yield* Effect.forkScoped(spawner.run, { startImmediately: true })
    return spawner
  })

/** A spawner whose fibers belong to the scope. */
export const make: Effect.Effect<Spawner, never, Scope.Scope> = makeIn<never>()
