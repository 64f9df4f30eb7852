/**
 * The roll call at the end: when nothing goes wrong any more, every address comes back, and every connection that the
 * gateway may have is free for a query.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import type * as Core from "../../../src/gateway/Core.ts"
import type { Run } from "../Run.ts"
import * as Engine from "./Engine.ts"
import type * as Scenario from "./Scenario.ts"

/** How long the gateway may take: connecting, waiting before it connects again, probing, ending what was cancelled. */
const patience = 30_000

/** How often the roll is looked at. */
const interval = 50

/** Waits until it holds, for as long as the gateway may take. */
const until = (holds: () => boolean): Effect.Effect<unknown> =>
  Effect.timeoutOption(Effect.repeat(Effect.sleep(interval), { until: holds }), patience)

/** A query that is lost is asked again when an address that was left may be back. */
const again = { times: 3, schedule: Schedule.spaced(500) }

const body = new TextEncoder().encode(
  JSON.stringify({ version: "v1", query: Engine.rollCall, format: "text/csv" })
)

export class RollCall {
  private readonly run: Run
  private readonly complete = Latch.makeUnsafe(false)
  private present = 0

  constructor(run: Run) {
    this.run = run
  }

  /** A query of it is in an engine, and stays there until all are. */
  readonly called: Effect.Effect<void> = Effect.suspend(() => {
    this.present++
    return this.complete.await
  })

  /** Waits until all addresses are in use, and has as many queries run as there may be at a time. */
  readonly take = Effect.fnUntraced(
    { self: this },
    function* (this: RollCall, { backends }: Core.Core, { conditions, gateway }: Scenario.Scenario) {
      const { run } = this
      // What stalls already goes on to.
      if (conditions.stall > 0) yield* Effect.sleep(conditions.stallMillis + gateway.backendSilence)
      const instances = backends.all.flatMap(({ instances }) => instances)
      yield* until(() => instances.every(({ state }) => state === "up"))
      for (const { address, state } of instances) {
        if (state !== "up") run.wrong("gateway", `has not come back to ${address}, which is ${state}`)
      }
      const expected = instances.length * gateway.backendConnections
      const asking = backends.all.flatMap(({ instances }) =>
        Array.from({ length: instances.length * gateway.backendConnections }, () =>
          Effect.scoped(
            Effect.flatMap(backends.request(instances, { body, receipt: false }), ({ pull }) =>
              Effect.exit(pull)
            )
          )
        )
      )
      const open = Effect.andThen(
        until(() => this.present === expected),
        Effect.sync(() => {
          if (this.present !== expected) {
            run.wrong("gateway", `has places for ${this.present} queries at a time, and not for ${expected}`)
          }
          this.complete.openUnsafe()
        })
      )
      // A connection may be closed already by a server to which it was idle, with a last word that nobody has read yet.
      const asked = Effect.forEach(asking, (ask) => Effect.exit(Effect.retry(ask, again)), {
        concurrency: "unbounded"
      })
      const [exits] = yield* Effect.all([asked, open], { concurrency: "unbounded" })
      for (const exit of exits) {
        if (exit._tag === "Failure") run.wrong("gateway", `fails at the roll call: ${exit.cause}`)
      }
    }
  )
}
