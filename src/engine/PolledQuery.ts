/**
 * Polled engines: objects with `init`, `run`, `payload`, `toggle` and `end`, as in the talk "Deploying the
 * Networking TS", adapted to a `QueryEngine`.
 *
 * A polled query has two buffers. `run` works on the back buffer and returns without blocking. `toggle` makes
 * the back buffer the front one, whose content `payload` returns.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as Chunk from "../net/Chunk.ts"
import * as Limit from "../settings/Limit.ts"
import * as Given from "./Given.ts"
import { type Engine, QueryEngine, QueryFailed, QueryInitError, QueryRejected } from "./QueryEngine.ts"

/**
 * The outcome of one step of a query.
 *
 * - `wait`: nothing yet; ask again after the poll interval.
 * - `payload`: the back buffer holds a chunk.
 * - `error`: the query failed; the back buffer holds the body of the error message.
 * - `complete`: the query is done; the back buffer holds the last chunk, which may be empty.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "wait" | "payload" | "error" | "complete"

/**
 * Whether the query accepts its request, with the body of the accept or reject message.
 *
 * @category models
 * @since 0.1.0
 */
export type InitResult =
  | { readonly _tag: "Accept" | "Reject"; readonly payload: Uint8Array }
  | { readonly _tag: "Error"; readonly message: string }

/**
 * One query of a polled engine.
 *
 * **Details**
 *
 * `init` is called once, before anything else. `run` is called until it returns `error` or `complete`, and
 * must not block. `toggle` follows every status but `wait`, and `payload` follows `toggle`. `end` is
 * called exactly once and last, whether the query completed, failed, was rejected or was cancelled. None
 * of them may be `async`. A thrown value or a result of another type is a defect, which the server logs
 * and answers as `internal`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolledQuery {
  readonly init: (request: Uint8Array) => InitResult
  readonly run: () => Status
  readonly payload: () => Uint8Array
  readonly toggle: () => void
  readonly end: () => void
}

/**
 * Settings of a polled engine.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** How long to wait after `wait`, on the Clock. Default 10 milliseconds. */
  readonly pollInterval?: Duration.Input | undefined
  /**
   * Whether `payload` returns memory that the query never writes to again. By default a chunk is copied, so
   * that the query can fill the back buffer while the front one is still being sent.
   */
  readonly ownsPayload?: boolean | undefined
}

const checks: Limit.Checks<Options> = {
  pollInterval: (name, given: Duration.Input) => Limit.duration(name, given, true),
  ownsPayload: Limit.flag
}

/** A function without a result must not be async either. */
const nothing = (what: string, given: unknown): void => {
  if (given instanceof Promise) throw Given.mismatch(what, "no Promise", given)
}

/** The result of an initialised query. */
const chunks = (query: PolledQuery, options: Options): Stream.Stream<Uint8Array, QueryFailed> => {
  const { ownsPayload = false, pollInterval = "10 millis" } = options
  let complete = false
  const front = () => {
    nothing("toggle", query.toggle())
    const payload = Given.bytes("payload", query.payload())
    return ownsPayload ? payload : Chunk.copied(payload)
  }
  const pull: Pull.Pull<readonly [Uint8Array], QueryFailed> = Effect.suspend(() => {
    if (complete) return Cause.done()
    const status = query.run()
    switch (status) {
      case "wait":
        return Effect.andThen(Effect.sleep(pollInterval), pull)
      case "payload":
        return Effect.succeed([front()] as const)
      case "error":
        return Effect.fail(new QueryFailed({ payload: front() }))
      case "complete":
        complete = true
        return Effect.succeed([front()] as const)
      default:
        return Effect.die(Given.mismatch("run", '"wait", "payload", "error" or "complete"', status))
    }
  })
  return Stream.fromPull(Effect.succeed(pull))
}

/**
 * An engine that answers each request with a query of its own. Throws a `RangeError` that names an invalid
 * setting.
 *
 * **Example** (Counting down)
 *
 * ```ts
 * import { PolledQuery, QueryEngine } from "dataconn"
 * import { Layer } from "effect"
 *
 * const encoder = new TextEncoder()
 *
 * class Countdown implements PolledQuery.PolledQuery {
 *   private left = 3
 *   private front = ""
 *   private back = ""
 *
 *   init(): PolledQuery.InitResult {
 *     return { _tag: "Accept", payload: new Uint8Array(0) }
 *   }
 *   run(): PolledQuery.Status {
 *     this.back = `${this.left}\n`
 *     return this.left-- > 0 ? "payload" : "complete"
 *   }
 *   toggle() {
 *     this.front = this.back
 *   }
 *   payload() {
 *     return encoder.encode(this.front)
 *   }
 *   end() {}
 * }
 *
 * export const Countdowns = Layer.succeed(
 *   QueryEngine.QueryEngine,
 *   PolledQuery.makeEngine(() => new Countdown(), { pollInterval: "1 millis" })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeEngine = (make: () => PolledQuery, options: Options = {}): Engine => {
  Limit.callback("make", make)
  Limit.settings("a polled engine", options, checks)
  return QueryEngine.of({
    init: Effect.fnUntraced(function* (request) {
      const query = yield* Effect.acquireRelease(Effect.sync(make), (query) =>
        Effect.sync(() => nothing("end", query.end()))
      )
      const result = query.init(request)
      switch (result?._tag) {
        case "Accept":
          return { payload: Given.bytes("init", result.payload), chunks: chunks(query, options) }
        case "Reject":
          return yield* new QueryRejected({ payload: Given.bytes("init", result.payload) })
        case "Error":
          return yield* new QueryInitError({ message: result.message })
        default:
          return yield* Effect.die(Given.mismatch("init", "Accept, Reject or Error as its _tag", result))
      }
    })
  })
}
