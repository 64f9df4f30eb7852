/**
 * The clients of a gateway, where HTTP would be: they ask, take the result, cancel, and go away.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Limits from "../../../src/engine/Limits.ts"
import * as Asked from "../../../src/gateway/Asked.ts"
import * as Caller from "../../../src/gateway/Caller.ts"
import type * as Core from "../../../src/gateway/Core.ts"
import * as GatewayError from "../../../src/gateway/GatewayError.ts"
import type { Random } from "../Random.ts"
import type { Run } from "../Run.ts"
import type { Followed, Judge } from "./Judge.ts"
import * as Scenario from "./Scenario.ts"

export interface Options {
  readonly run: Run
  readonly core: Core.Core
  readonly judge: Judge
  readonly client: Scenario.Client
  readonly quota: number
  readonly random: Random
}

const limits = Limits.make()

const callerOf = ({ client, quota }: Options): Caller.Caller =>
  client.caller === ""
    ? Caller.anybody
    : { ...Caller.anybody, name: client.caller, admin: false, maxConcurrentQueries: quota }

/** What the request asks, as the HTTP API reads it. */
const askedOf = (request: Scenario.Request): Asked.Asked => {
  const { conversation, query, queryId, receipt, target, timeoutMs } = request
  const asked = Asked.make(
    {
      query: Scenario.words(query.id),
      format: "csv",
      receipt,
      ...(target === undefined ? {} : { target }),
      ...(conversation === undefined ? {} : { conversation }),
      ...(queryId === undefined ? {} : { queryId }),
      ...(timeoutMs === undefined ? {} : { timeoutMs })
    },
    { accept: undefined, limits, readOnly: false }
  )
  if (asked instanceof GatewayError.GatewayError) throw new Error(asked.message)
  return asked
}

/** Asks, and takes the result as it comes: a response that waits for a slow reader is told of a cancel. */
const answered = Effect.fnUntraced(function* (
  followed: Followed,
  options: Options
): Effect.fn.Return<Uint8Array, GatewayError.GatewayError, Scope.Scope> {
  const { core, judge, random, run } = options
  const { client, request } = followed
  const origin = { caller: callerOf(options), headers: {}, client: `client ${client.id}` }
  const { control, pull } = yield* core.dispatcher.start(askedOf(request), origin)
  run.tell(`client ${client.id}`, `query ${request.query.id} is accepted`)
  judge.accepted(followed)
  const hurried = Latch.makeUnsafe(false)
  control.hurry = () => hurried.openUnsafe()
  const bytes: Array<number> = []
  for (;;) {
    if (random.chance(request.pause)) {
      yield* Effect.timeoutOption(hurried.await, random.between(0, request.pauseMillis))
    }
    const batch = yield* Pull.catchDone(pull, () => Effect.undefined)
    if (batch === undefined) return Uint8Array.from(bytes)
    for (const chunk of batch) bytes.push(...chunk)
  }
})

/** Another request cancels the query by its id, and is told how it ended. */
const cancel = Effect.fnUntraced(function* (
  followed: Followed,
  millis: number,
  { core, judge, run }: Options
) {
  yield* Effect.sleep(millis)
  const { open, request } = followed
  if (open === undefined || followed.outcome !== undefined) return
  const { entry } = open
  if (core.queries.find(entry.id, 0n) !== entry) return
  run.tell("gateway", `is told to cancel query ${request.query.id}`)
  followed.cancelledAt ??= run.now
  yield* core.dispatcher.cancel(entry)
  judge.cancelled(followed)
})

const visit = Effect.fnUntraced(function* (request: Scenario.Request, options: Options) {
  const { client, judge, run } = options
  const { cancelAfter, leavesAfter, query, thinking } = request
  yield* Effect.sleep(thinking)
  run.tell(`client ${client.id}`, `asks query ${query.id}`)
  const followed = judge.begins(client, request)
  const fiber = yield* Effect.forkChild(Effect.scoped(answered(followed, options)))
  const cancelling =
    cancelAfter === undefined ? undefined : yield* Effect.forkChild(cancel(followed, cancelAfter, options))
  if (leavesAfter !== undefined) {
    const isThere = yield* Effect.timeoutOption(Fiber.await(fiber), leavesAfter)
    if (isThere._tag === "None") {
      run.tell(`client ${client.id}`, `goes away from query ${query.id}`)
      followed.leftAt = run.now
      yield* Fiber.interrupt(fiber)
    }
  }
  judge.ended(followed, yield* Fiber.await(fiber))
  if (cancelling !== undefined) yield* Fiber.join(cancelling)
})

/** Lives until all of its queries have ended. */
export const live = (options: Options): Effect.Effect<void> => {
  const { isParallel, requests, startsAt } = options.client
  return Effect.andThen(
    Effect.sleep(startsAt),
    Effect.forEach(requests, (request) => visit(request, options), {
      concurrency: isParallel ? "unbounded" : 1,
      discard: true
    })
  )
}
