/**
 * `--record` and `--record-values`: the common part of the commands that record their connections.
 */
import * as Console from "effect/Console"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { LengthCounts } from "../framing/LengthDelimited.ts"
import type { Place } from "../net/Transport.ts"
import type { Observer } from "../recording/Observer.ts"
import * as Recorder from "../recording/Recorder.ts"
import { exitCodes } from "./ExitCodes.ts"
import { QueryCommandError } from "./QueryReport.ts"

export const flags = {
  record: Flag.String("record").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Record what goes over the connection, for dataconn replay"),
    Flag.optional
  ),
  recordValues: Flag.Boolean("record-values").pipe(
    Flag.withDescription("Record values too: literals and parameters of queries, results, messages"),
    Flag.withDefault(false)
  )
}

export interface Given {
  readonly record: Option.Option<string>
  readonly recordValues: boolean
}

/** Makes the observer of a connection. */
export type Observe = (place: Place) => Observer

const failed = ({ message }: Recorder.RecordError) =>
  new QueryCommandError({ message, exitCode: exitCodes.failed })

/** Begins the recording that the flags request, and ends it with the scope. */
export const start = Effect.fnUntraced(function* (
  { record, recordValues }: Given,
  lengthCounts: LengthCounts = "body"
): Effect.fn.Return<
  { readonly observe: Observe | undefined; readonly check: Effect.Effect<void, QueryCommandError> },
  QueryCommandError,
  Scope.Scope
> {
  if (Option.isNone(record)) {
    if (recordValues) {
      return yield* new QueryCommandError({
        message: "--record-values has no effect without --record",
        exitCode: exitCodes.failed
      })
    }
    return { observe: undefined, check: Effect.void }
  }
  const values = recordValues ? "kept" : "redacted"
  const { check, listener } = yield* Effect.mapError(
    Recorder.toFile(record.value, { values, lengthCounts }),
    failed
  )
  return {
    observe: yield* Recorder.observers(listener, { lengthCounts }),
    check: Effect.mapError(check, failed)
  }
})

/** Records the effect's connections if the flags request it, and prints a note at its end. */
export const during =
  (given: Given) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | QueryCommandError, R> =>
    Effect.gen(function* () {
      const { check, observe } = yield* start(given)
      if (observe === undefined) return yield* effect
      const result = yield* Effect.onExit(Recorder.observedBy(observe)(effect), () => said(given))
      yield* check
      return result
    }).pipe(Effect.scoped)

/** The note about a recording, on standard error. */
export const said = ({ record, recordValues }: Given): Effect.Effect<void> => {
  if (Option.isNone(record)) return Effect.void
  const values = recordValues ? "with values" : "without values (--record-values keeps them)"
  return Console.error(`Recorded to ${record.value}, ${values}.`)
}
