/**
 * An engine whose every step the test releases, and which records the fate of its queries.
 *
 * **When to use**
 *
 * To control how far the engine is when another event happens: before anything, after half a result, after a
 * failure.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import {
  type Engine,
  QueryEngine,
  QueryFailed,
  QueryInitError,
  QueryRejected
} from "../engine/QueryEngine.ts"
import * as Limit from "../settings/Limit.ts"

/**
 * The next step of a query.
 *
 * The first step of a query is one of `accept`, `reject`, `initFailure` and `interrupt`; then come chunks, up
 * to `end`, `fail` or `interrupt`. If queries commit, a `commit` follows the `end`, or `fail`, `interrupt` or
 * `die` instead. A step out of place is a defect of the engine, as `die` is.
 *
 * @category steps
 * @since 0.1.0
 */
export type Step =
  | { readonly _tag: "accept"; readonly payload: string; readonly timeout?: number }
  | { readonly _tag: "reject"; readonly payload: string }
  | { readonly _tag: "initFailure"; readonly message: string }
  | { readonly _tag: "chunk"; readonly payload: string }
  | { readonly _tag: "fail"; readonly payload: string }
  /** Ends in the engine's own interruption. */
  | { readonly _tag: "interrupt" }
  | { readonly _tag: "die" }
  | { readonly _tag: "end" }
  | { readonly _tag: "commit" }

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * An engine, and the controls for the test.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepEngine {
  readonly engine: Engine
  /** Releases steps, at most 1024 ahead of the queries. A query waits for each of its steps. */
  readonly step: (...steps: ReadonlyArray<Step>) => Effect.Effect<void>
  /** Removes the steps that no query has taken. */
  readonly drop: Effect.Effect<void>
  /** The events so far: `init BODY`, `committing`, `committed`, `ended` when a query's scope has closed. */
  readonly log: ReadonlyArray<string>
}

/**
 * Settings of an engine.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How long a query's finalizer takes on the Clock, in milliseconds. Default 0. */
  readonly finalizerMillis?: number | undefined
  /** Whether queries commit. Default `false`. */
  readonly commits?: boolean | undefined
}

const checks: Limit.Checks<Options> = {
  finalizerMillis: (name, given: number) => Limit.millis(name, given, true),
  commits: Limit.flag
}

/**
 * Accepts with the payload `yes`.
 *
 * @category steps
 * @since 0.1.0
 */
export const accept = { _tag: "accept", payload: "yes" } as const
/**
 * The result is complete.
 *
 * @category steps
 * @since 0.1.0
 */
export const end = { _tag: "end" } as const
/**
 * A chunk of the result.
 *
 * @category steps
 * @since 0.1.0
 */
export const chunk = (payload: string) => ({ _tag: "chunk", payload }) as const

/**
 * Constructs an engine without steps.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (options: Options = {}): Effect.fn.Return<StepEngine> {
  Limit.settings("a StepEngine", options, checks)
  const steps = yield* Queue.bounded<Step>(1024)
  const log: Array<string> = []

  const chunks: Stream.Stream<Uint8Array, QueryFailed> = Stream.fromPull(
    Effect.succeed(
      Effect.flatMap(Queue.take(steps), (step): Pull.Pull<readonly [Uint8Array], QueryFailed> => {
        switch (step._tag) {
          case "chunk":
            return Effect.succeed([encoder.encode(step.payload)] as const)
          case "fail":
            return Effect.fail(new QueryFailed({ payload: encoder.encode(step.payload) }))
          case "end":
            return Cause.done()
          case "interrupt":
            return Effect.interrupt
          default:
            return Effect.die(new Error(`step ${step._tag} while streaming`))
        }
      })
    )
  )

  const commit: Effect.Effect<void, QueryFailed> = Effect.flatMap(
    Effect.andThen(
      Effect.sync(() => log.push("committing")),
      Queue.take(steps)
    ),
    (step) => {
      switch (step._tag) {
        case "commit":
          return Effect.asVoid(Effect.sync(() => log.push("committed")))
        case "fail":
          return Effect.fail(new QueryFailed({ payload: encoder.encode(step.payload) }))
        case "interrupt":
          return Effect.interrupt
        default:
          return Effect.die(new Error(`step ${step._tag} while committing`))
      }
    }
  )

  return {
    log,
    step: (...all) => Effect.asVoid(Queue.offerAll(steps, all)),
    drop: Effect.asVoid(Queue.clear(steps)),
    engine: QueryEngine.of({
      init: Effect.fnUntraced(function* (request) {
        log.push(`init ${decoder.decode(request)}`)
        yield* Effect.addFinalizer(() =>
          Effect.andThen(
            Effect.sleep(options.finalizerMillis ?? 0),
            Effect.sync(() => log.push("ended"))
          )
        )
        const step = yield* Queue.take(steps)
        switch (step._tag) {
          case "accept":
            return {
              payload: encoder.encode(step.payload),
              chunks,
              commit: options.commits === true ? commit : undefined,
              timeout: step.timeout
            }
          case "reject":
            return yield* new QueryRejected({ payload: encoder.encode(step.payload) })
          case "initFailure":
            return yield* new QueryInitError({ message: step.message })
          case "interrupt":
            return yield* Effect.interrupt
          default:
            return yield* Effect.die(new Error(`step ${step._tag} while initialising`))
        }
      })
    })
  }
})
