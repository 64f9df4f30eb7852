/**
 * Every conversation of the catalogue, with each operation of each end's socket failing once.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as FaultySocket from "../../src/testing/FaultySocket.ts"
import { type Conversation, conversations } from "./Conversations.ts"
import { run, type Side } from "./Run.ts"

const plans: Record<string, FaultySocket.Plan> = {
  "whole reads and writes": {},
  "short reads and writes": { readSize: 3, writeSize: 4 }
}

/** More operations than any conversation has: a loop that gets there would never end. */
const mostOperations = 500

const failEach = Effect.fnUntraced(function* (
  conversation: Conversation,
  side: Side,
  plan: FaultySocket.Plan
) {
  const wrong: Array<string> = []
  for (let failAt = 1; failAt < mostOperations; failAt++) {
    const { events, failed, outcome, problems } = yield* run(conversation, side, { ...plan, failAt })
    for (const problem of problems) wrong.push(`${failAt} (${failed}): ${problem} [${outcome}; ${events}]`)
    if (failed !== undefined) continue
    assert.isAbove(failAt, 3)
    assert.deepStrictEqual(wrong, [])
    return
  }
  assert.fail(`operation ${mostOperations} still failed`)
})

for (const [name, plan] of Object.entries(plans)) {
  for (const side of ["server", "client"] as const) {
    describe(`each operation of the ${side}'s socket fails once, with ${name}`, () => {
      for (const conversation of conversations) {
        it.effect(conversation.name, () => failEach(conversation, side, plan))
      }
    })
  }
}
