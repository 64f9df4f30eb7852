/**
 * Plays recorded connections again, one after the other, and reports differences.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Address from "../../net/Address.ts"
import * as Comparison from "../../recording/Comparison.ts"
import * as Conversation from "../../recording/Conversation.ts"
import * as Plan from "../../recording/Plan.ts"
import * as Recorder from "../../recording/Recorder.ts"
import * as Recording from "../../recording/Recording.ts"
import * as Wire from "../wire/Wire.ts"

export interface Options {
  readonly server: Address.Address
  readonly header: Recording.Header
  /** How long an answer may take. */
  readonly timeout: Duration.Duration
  /** Whether the client keeps the recorded pauses between steps. */
  readonly keepsPace: boolean
}

/** The outcome of one connection. */
export interface Outcome {
  readonly recorded: Conversation.Conversation
  readonly differences: ReadonlyArray<Comparison.Difference>
}

/** The messages received on a connection, and their waiter. */
class Ear {
  conversation = Conversation.make(0, 0)
  private look: (() => void) | undefined

  add(entry: Recording.Entry): void {
    Conversation.add(this.conversation, entry)
    this.look?.()
  }

  /** Waits until so much has been received. Returns whether that happened in time. */
  until(wanted: Plan.Heard, timeout: Duration.Duration): Effect.Effect<boolean> {
    const holds = () => Plan.isHeard(wanted, Plan.heard(this.conversation))
    const wait = Effect.callback<boolean>((resume) => {
      this.look = () => {
        if (holds()) resume(Effect.succeed(true))
      }
      this.look()
    })
    return Effect.timeoutOrElse(wait, { duration: timeout, orElse: () => Effect.sync(holds) }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          this.look = undefined
        })
      )
    )
  }
}

const perform = (wire: Wire.Wire, { action }: Plan.Step): Effect.Effect<void> => {
  if (action._tag === "Send") return wire.send(action.bytes)
  return action.how === "broken" ? wire.reset : wire.close
}

/** Plays one connection. Fails if the server cannot be reached. */
export const play = Effect.fnUntraced(function* (
  { recorded, steps }: Plan.Plan,
  { header, keepsPace, server, timeout }: Options
) {
  const ear = new Ear()
  const { lengthCounts } = header
  const observe = yield* Recorder.observers((event) => ear.add(Recording.entry(event, header)), {
    lengthCounts
  })
  const wire = yield* Wire.connect(server, () => [
    observe({ end: "client", peer: () => Address.format(server) })
  ])
  let late: Comparison.Difference | undefined
  for (const step of steps) {
    if (keepsPace) yield* Effect.sleep(step.pause)
    if (!(yield* ear.until(step.after, timeout))) {
      late = missing(recorded, ear.conversation, timeout)
      break
    }
    const isSent = yield* Effect.timeoutOption(perform(wire, step), timeout)
    if (isSent._tag === "None") break
  }
  // A missing message may still arrive late, but is not compared any more.
  const differences = Comparison.differences(recorded, ear.conversation, header)
  return {
    recorded,
    differences: late === undefined ? differences : [late, ...differences]
  } satisfies Outcome
}, Effect.scoped)

/** The answer that did not come in time. */
const missing = (
  { connection, exchanges }: Conversation.Conversation,
  { ends }: Conversation.Conversation,
  timeout: Duration.Duration
): Comparison.Difference => ({
  connection,
  request: ends < exchanges.length ? ends + 1 : undefined,
  what: ends < exchanges.length ? "the answer" : "the end of the connection",
  recorded: "came",
  now: `did not come within ${Duration.format(timeout)} (--timeout)`
})
