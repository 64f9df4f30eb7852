/**
 * Every conversation of the catalogue, with each operation of each end's socket failing once, and with the
 * connection breaking, and either end being stopped, at any moment.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as FaultySocket from "../../src/testing/FaultySocket.ts"
import { isLong } from "../support/Long.ts"
import { type Conversation, conversations } from "./Conversations.ts"
import type { Break, Side } from "./Judge.ts"
import { type Result, run, tickMillis } from "./Run.ts"

const sides: ReadonlyArray<Side> = ["server", "client"]

const plans: Record<string, FaultySocket.Plan> = {
  "whole reads and writes": {},
  "short reads and writes": { readSize: 3, writeSize: 4 },
  "slow reads": { readDelay: 50 },
  "slow writes": { writeDelay: 70 },
  "slow and short reads and writes": { readSize: 7, readDelay: 3, writeSize: 8, writeDelay: 11 }
}

/** More operations than any conversation has: a loop that gets there would never end. */
const mostOperations = 500

const show = (at: string, { events, outcome, problems }: Result): ReadonlyArray<string> =>
  problems.map((problem) => `${at}: ${problem} [${outcome}; ${events}]`)

/** A conversation that nothing disturbs, which must come to what the catalogue says. */
const undisturbed = Effect.fnUntraced(function* (conversation: Conversation, side: Side, plan = {}) {
  const result = yield* run(conversation, side, plan)
  assert.deepStrictEqual(result.problems, [])
  return result.elapsedMillis
})

const failEach = Effect.fnUntraced(function* (
  conversation: Conversation,
  side: Side,
  plan: FaultySocket.Plan
) {
  const usual = yield* undisturbed(conversation, side, plan)
  const wrong: Array<string> = []
  for (let failAt = 1; failAt < mostOperations; failAt++) {
    const result = yield* run(conversation, side, { ...plan, failAt })
    const { elapsedMillis, failed } = result
    wrong.push(...show(`${failAt} (${failed})`, result))
    // Only an end that was opened can be closed: otherwise the other has its limits to wait for.
    if (failed !== "open" && elapsedMillis > usual) wrong.push(`${failAt} (${failed}): took ${elapsedMillis}`)
    if (failed !== undefined) continue
    assert.isAbove(failAt, 3)
    assert.deepStrictEqual(wrong, [])
    return
  }
  assert.fail(`operation ${mostOperations} still failed`)
})

const breakAlways = Effect.fnUntraced(function* (conversation: Conversation, side: Side, how: Break["how"]) {
  const usual = yield* undisturbed(conversation, side)
  const wrong: Array<string> = []
  for (let atMillis = 0; atMillis <= usual; atMillis += tickMillis) {
    const result = yield* run(conversation, side, {}, { atMillis, how })
    wrong.push(...show(`${how} at ${atMillis}`, result))
  }
  assert.deepStrictEqual(wrong, [])
})

/** All conversations, or a fifth of them: others for each circumstance. */
let circumstance = 0
const chosen = (): ReadonlyArray<Conversation> => {
  const first = circumstance++
  return isLong ? conversations : conversations.filter((_, index) => (index + first) % 5 === 0)
}

for (const [name, plan] of Object.entries(plans)) {
  for (const side of sides) {
    describe(`each operation of the ${side}'s socket fails once, with ${name}`, () => {
      for (const conversation of chosen()) {
        it.effect(conversation.name, () => failEach(conversation, side, plan))
      }
    })
  }
}

for (const how of ["reset", "halfClose", "block", "blockReads", "stop"] as const) {
  for (const side of sides) {
    describe(`at any moment a ${how} at the ${side}'s end`, () => {
      for (const conversation of chosen()) {
        if (how === "blockReads" && side === "client" && conversation.waitsForClose) continue
        it.effect(conversation.name, () => breakAlways(conversation, side, how))
      }
    })
  }
}
