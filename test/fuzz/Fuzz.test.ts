import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isLong } from "../support/Long.ts"
import * as ProcessStatus from "../support/ProcessStatus.ts"
import * as Conversation from "./Conversation.ts"
import * as Fuzz from "./Fuzz.ts"
import { Judge } from "./Judge.ts"
import * as Script from "./Script.ts"

const conversations = isLong ? 120 : 40

describe("hostile conversations", () => {
  it.live.skipIf(!ProcessStatus.isAvailable)(
    "change nothing for others and leave nothing behind",
    () =>
      Effect.gen(function* () {
        const outcome = yield* Fuzz.run({ seed: 1, warmUp: 40, goesOn: (played) => played < conversations })
        const faults = outcome.faults.map(({ number, script, texts }) => ({
          texts,
          number,
          script: script && Script.format(script)
        }))
        assert.deepStrictEqual(faults, [])
        assert.isAtLeast(outcome.played, conversations)
        // That it was about something.
        const expected = ["A", "F", "K", "J bad_request", "J unsupported_version", "J unsupported_format"]
        for (const answer of expected) assert.property(outcome.answers, answer)
        for (const reason of ["protocol", "read"]) assert.property(outcome.closings, reason)
      }),
    120_000
  )

  it("can be written down and played again", () => {
    const scripts = Script.sample(Conversation.script, 1)
    for (let i = 0; i < 100; i++) {
      const text = Script.format(scripts.next().value)
      assert.strictEqual(Script.format(Script.parse(text)), text)
    }
  })
})

describe("the judge", () => {
  const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"))
  const request = bytes(`${Buffer.from([2, 0, 0, 0, 0x52]).toString("hex")} 7b7d`)
  const cancel = bytes("00000000 43")
  const judgeOf = (...parts: ReadonlyArray<Uint8Array>) => {
    const judge = new Judge(new Uint8Array(Buffer.concat(parts)))
    for (const part of parts) judge.sent(part.length)
    return judge
  }

  it.each([
    ["nothing", [], "no"],
    ["a request", [request], "no"],
    ["a cancel of nothing", [cancel], "yes"],
    ["a cancel that may be stale", [request, cancel], "no"],
    ["a second cancel", [request, cancel, cancel], "yes"],
    ["a second request", [request, request], "maybe"],
    ["an unknown type", [bytes("00000000 5a")], "yes"],
    ["a header that is not complete", [bytes("00000000")], "no"],
    ["a body that is not complete", [bytes("05000000 52 41")], "no"],
    ["a length beyond the limit", [bytes("ffffffff 52")], "yes"]
  ] as const)("knows what %s does to the connection", (_, parts, closed) => {
    assert.strictEqual(judgeOf(...parts).possible.isClosed, closed)
  })

  it.each([
    [
      "a reject for what is no request",
      [request],
      "4a",
      '{"code":"bad_request","message":"x","retryable":false}',
      0
    ],
    ["another code", [request], "4a", '{"code":"syntax_error","message":"x","retryable":false}', 1],
    ["an accept of what is no request", [request], "41", '{"format":"text/csv","queryId":"1"}', 1],
    ["a chunk before the accept", [request], "49", "x", 1],
    ["an acknowledgement without a cancel", [request], "4b", "", 1],
    ["an acknowledgement", [request, cancel], "4b", "", 0],
    ["an answer to nothing", [], "46", "", 1],
    ["an answer to a violation", [cancel], "4b", "", 1]
  ] as const)("judges %s", (_, parts, type, body, faults) => {
    const judge = judgeOf(...parts)
    judge.received({ type: Number.parseInt(type, 16) as 0x41, body: new TextEncoder().encode(body) })
    assert.strictEqual(judge.faults.length, faults)
  })
})
