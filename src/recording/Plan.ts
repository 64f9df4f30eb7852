/**
 * The plan to replay a recorded connection: its client's messages, and the messages that it had received
 * before each. Pure.
 */
import * as Result from "effect/Result"
import type { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Conversation from "./Conversation.ts"
import { type Entry, type Recording, RecordingError, wireBytes } from "./Recording.ts"

/** The progress of the responses that must be received before the next step. */
export interface Heard {
  readonly ends: number
  /** Whether the response under way has been accepted. */
  readonly isAccepted: boolean
  /** Whether bytes of the response under way have arrived. */
  readonly hasData: boolean
  /** Whether the server has closed. */
  readonly hasEnded: boolean
}

/**
 * An action of the client, once `after` has been received. `pause` is the client's delay before it, in
 * milliseconds.
 */
export interface Step {
  readonly after: Heard
  readonly pause: number
  readonly action:
    | { readonly _tag: "Send"; readonly bytes: Uint8Array }
    /** The recording ends here, or the client closed. */
    | { readonly _tag: "Leave"; readonly how: "closed" | "broken" }
}

/** The progress of a conversation. */
export const heard = ({ endings, ends, exchanges }: Conversation.Conversation): Heard => ({
  ends,
  isAccepted: exchanges[ends]?.accept !== undefined,
  hasData: (exchanges[ends]?.bytes ?? 0) > 0,
  hasEnded: endings.some(({ from }) => from === "server")
})

/**
 * Whether this progress has been reached. A response that has ended, in whatever way, makes no more progress.
 */
export const isHeard = (wanted: Heard, now: Heard): boolean => {
  if (now.hasEnded) return true
  if (wanted.hasEnded || now.ends < wanted.ends) return false
  if (now.ends > wanted.ends) return true
  return (now.isAccepted || !wanted.isAccepted) && (now.hasData || !wanted.hasData)
}

/** The steps of one connection. Fails with the line of a body that the recording lacks. */
const steps = (
  entries: ReadonlyArray<readonly [line: number, Entry]>,
  lengthCounts: LengthCounts
): Result.Result<ReadonlyArray<Step>, RecordingError> => {
  const [first] = entries
  const conversation = Conversation.make(first?.[1].connection ?? 0, first?.[1].at ?? 0)
  const found: Array<Step> = []
  let left: "closed" | "broken" | undefined
  let last = first?.[1].at ?? 0
  for (const [line, entry] of entries) {
    const pause = Math.max(0, entry.at - last)
    last = entry.at
    if (left === undefined && entry._tag !== "Opened" && entry.from === "client") {
      const after = heard(conversation)
      if (entry._tag === "Ended") {
        left = entry.how
        found.push({ after, pause, action: { _tag: "Leave", how: left } })
      } else {
        const bytes = wireBytes(entry, lengthCounts)
        if (bytes === undefined) {
          const problem =
            "the recording has nothing in the place of what the client sent, which was redacted or too long"
          return Result.fail(new RecordingError({ line, problem }))
        }
        found.push({ after, pause, action: { _tag: "Send", bytes } })
      }
    }
    Conversation.add(conversation, entry)
  }
  const action = { _tag: "Leave", how: "closed" } as const
  return Result.succeed(
    left === undefined ? [...found, { after: heard(conversation), pause: 0, action }] : found
  )
}

/** A connection to replay. */
export interface Plan {
  readonly recorded: Conversation.Conversation
  readonly steps: ReadonlyArray<Step>
}

/** The connections of a recording, in the order in which they were opened. */
export const make = ({ entries, header }: Recording): Result.Result<ReadonlyArray<Plan>, RecordingError> => {
  // The first line is the header.
  const numbered = entries.map((entry, index) => [index + 2, entry] as const)
  const groups = Map.groupBy(numbered, ([, { connection }]) => connection)
  const plans: Array<Plan> = []
  for (const recorded of Conversation.all(entries)) {
    const made = steps(groups.get(recorded.connection) ?? [], header.lengthCounts)
    if (Result.isFailure(made)) return Result.fail(made.failure)
    plans.push({ recorded, steps: made.success })
  }
  return Result.succeed(plans)
}
