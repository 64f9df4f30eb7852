/**
 * An engine that can be replaced while it answers. Running queries stay with the engine that they began on,
 * which closes after the last of them.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Engine } from "./QueryEngine.ts"

/** See {@link make}. */
export interface Generations<in Options, out Error> {
  readonly engine: Engine
  /**
   * Opens an engine with other options; all later queries go to it. On failure or interruption the
   * current engine stays.
   */
  readonly reload: (options: Options) => Effect.Effect<void, Error>
}

interface Generation {
  readonly engine: Engine
  readonly scope: Scope.Closeable
  queries: number
  isOver: boolean
}

/** Opens the first engine. The scope closes all engines. */
export const make = Effect.fnUntraced(function* <Options, Error>(
  open: (options: Options) => Effect.Effect<Engine, Error, Scope.Scope>,
  initial: Options
): Effect.fn.Return<Generations<Options, Error>, Error, Scope.Scope> {
  // Forked now, so that later engines close at the same point as the first: after everything that
  // is built on them.
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const begin = (options: Options): Effect.Effect<Generation, Error> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const own = yield* Scope.fork(scope)
        const opened = yield* Effect.exit(restore(Scope.provide(open(options), own)))
        if (Exit.isFailure(opened)) yield* Scope.close(own, opened)
        return { engine: yield* opened, scope: own, queries: 0, isOver: false }
      })
    )
  const isDone = ({ isOver, queries }: Generation): boolean => isOver && queries === 0
  const close = ({ scope }: Generation): Effect.Effect<void> => Scope.close(scope, Exit.void)

  let current = yield* begin(initial)
  const lease = Effect.acquireRelease(
    Effect.sync(() => {
      current.queries++
      return current
    }),
    (generation) =>
      Effect.suspend(() => {
        generation.queries--
        // The query need not wait for the close.
        return isDone(generation) ? Effect.forkIn(close(generation), scope) : Effect.void
      })
  )
  return {
    engine: {
      init: (request) => Effect.flatMap(lease, ({ engine }) => engine.init(request)),
      progressOf: (request) => current.engine.progressOf?.(request),
      expect: (queries) => current.engine.expect?.(queries) ?? Effect.void
    },
    reload: (options) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const next = yield* restore(begin(options))
          const last = current
          current = next
          last.isOver = true
          if (isDone(last)) yield* close(last)
        })
      )
  }
})
