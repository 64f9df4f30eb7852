/**
 * What differs between two conversations, and how one is played again.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Comparison from "../../src/recording/Comparison.ts"
import * as Conversation from "../../src/recording/Conversation.ts"
import * as Plan from "../../src/recording/Plan.ts"
import type * as Recording from "../../src/recording/Recording.ts"

const kept: Recording.Header = { values: "kept", lengthCounts: "body" }
const redacted: Recording.Header = { values: "redacted", lengthCounts: "body" }
const encoder = new TextEncoder()

/** `> R body` is a frame of the client's, `< A body` one of the server's, `< closed` its end. One each 10 ms. */
const entries = (...lines: ReadonlyArray<string>): ReadonlyArray<Recording.Entry> => [
  { _tag: "Opened", at: 0, connection: 1, peer: "server" },
  ...lines.map((line, index): Recording.Entry => {
    const [, arrow, what = "", body = ""] = /^([<>]) (\S+)(?: (.*))?$/.exec(line) ?? []
    const common = { at: 10 * (index + 1), connection: 1, from: arrow === ">" ? "client" : "server" } as const
    if (what === "closed" || what === "broken") {
      return { _tag: "Ended", ...common, how: what, detail: undefined }
    }
    const bytes = encoder.encode(body)
    return {
      _tag: "Frame",
      ...common,
      type: what.charCodeAt(0),
      length: bytes.length,
      content: body === "?" ? { _tag: "Omitted" } : { _tag: "Exact", bytes }
    }
  })
]

const conversation = (...lines: ReadonlyArray<string>): Conversation.Conversation => {
  const [only] = Conversation.all(entries(...lines))
  return only ?? assert.fail("no conversation")
}

const differences = (
  recorded: ReadonlyArray<string>,
  now: ReadonlyArray<string>,
  header = kept
): ReadonlyArray<string> =>
  Comparison.differences(conversation(...recorded), conversation(...now), header).map(
    ({ now, recorded, request, what }) => `${request}: ${what}: ${recorded}, ${now}`
  )

const asked = "> R {}"

describe("the comparison", () => {
  it("does not look at times, heartbeats, ids, and where a result is cut", () => {
    const recorded = [asked, '< A {"queryId":"a","format":"text/csv"}', "< I ab", "< I c", "< F d"]
    const now = [
      asked,
      "< H",
      '< A {"queryId":"b","format":"text/csv"}',
      "< I a",
      "< H",
      "< F bcd",
      "> closed"
    ]
    assert.deepStrictEqual(differences(recorded, now), [])
  })

  it.each([
    ["< F ab", "< F abc", "1: bytes of the result: 2, 3"],
    ["< F ab", "< F ac", /^1: checksum of the result: \d+, \d+$/],
    ["< F ab", '< E {"code":"timeout"}', "1: the response ends with: F (Final Chunk), E (Error), timeout"],
    ["< F ab", "< K", "1: the response ends with: F (Final Chunk), K (Acknowledge Cancel)"],
    ["< F ab", "< H", "1: the response ends with: F (Final Chunk), no end"],
    ['< E {"code":"a"}', '< E {"code":"b"}', '1: code of the error: "a", "b"'],
    ['< E {"message":"a"}', '< E {"message":"b"}', '1: message of the error: "a", "b"']
  ])("finds that %s is now %s", (recorded, now, expected) => {
    const [found = "", ...rest] = differences([asked, "< A {}", recorded], [asked, "< A {}", now])
    if (typeof expected === "string") assert.strictEqual(found, expected)
    else assert.match(found, expected)
    assert.deepStrictEqual(rest, [])
  })

  it("finds other columns, and another end of the connection", () => {
    assert.deepStrictEqual(
      differences([asked, '< A {"columns":[1]}', "< F"], [asked, '< A {"columns":[2]}', "< F", "< closed"]),
      ["1: columns of the accept: [1], [2]", "undefined: the server closes the connection: no, yes"]
    )
  })

  it("knows a request that was not sent, and a message that answers nothing", () => {
    assert.deepStrictEqual(differences([asked, "< J {}", asked, "< J {}"], [asked, "< J {}", "< J {}"]), [
      "2: the request: sent, not sent",
      "undefined: messages that answer nothing: none, J"
    ])
  })

  it("takes the receipt for no part of the result, but the sizes in it", () => {
    const answer = (receipt: string) => [asked, '< A {"receipt":true}', "< I abc", `< F ${receipt}`]
    assert.deepStrictEqual(differences(answer('{"durationMs":7}'), answer('{"durationMs":1234}')), [])
  })

  it("compares no more than lengths without values, and no results of requests that lost theirs", () => {
    const answer = (result: string, message: string) => [
      asked,
      "< A {}",
      `< F ${result}`,
      asked,
      `< J {"message":"${message}"}`
    ]
    assert.deepStrictEqual(differences(answer("?", "xx"), answer("?", "xxx"), redacted), [])
    const [lost] = Conversation.all(
      entries("> R {}", "< A {}", "< F a").map((entry) =>
        entry._tag === "Frame" && entry.from === "client"
          ? { ...entry, content: { _tag: "Redacted", text: "{}" } as const }
          : entry
      )
    )
    if (lost === undefined) return assert.fail("no conversation")
    assert.deepStrictEqual(
      Comparison.differences(lost, conversation(asked, "< A {}", "< F ab"), redacted),
      []
    )
  })
})

describe("the plan", () => {
  const plan = (...lines: ReadonlyArray<string>) => {
    const [only] = Result.getOrThrow(Plan.make({ header: kept, entries: entries(...lines) }))
    return (only ?? assert.fail("no plan")).steps
  }

  it("sends what was sent once it has heard what had been heard, and leaves as the client did", () => {
    const steps = plan(asked, "< A {}", "< I a", "> C", "< K", asked, "< J {}", "> broken")
    assert.deepStrictEqual(
      steps.map(({ action, after, pause }) => [
        action._tag === "Send" ? String.fromCharCode(action.bytes[4] ?? 0) : action.how,
        after.isAccepted,
        after.ends,
        after.hasData,
        pause
      ]),
      [
        ["R", false, 0, false, 10],
        ["C", true, 0, true, 10],
        ["R", false, 1, false, 10],
        ["broken", false, 2, false, 10]
      ]
    )
  })

  it("waits for the server's end at last, where the client did not leave", () => {
    const [, last] = plan(asked, "< J {}", "< closed")
    assert.deepStrictEqual(last?.action, { _tag: "Leave", how: "closed" })
    assert.isTrue(last?.after.hasEnded)
  })

  it("goes on when more has come than was recorded, and when the server has left", () => {
    const wanted = { ends: 0, isAccepted: true, hasData: true, hasEnded: false }
    assert.isFalse(Plan.isHeard(wanted, { ...wanted, hasData: false }))
    assert.isTrue(Plan.isHeard(wanted, wanted))
    assert.isTrue(Plan.isHeard(wanted, { ends: 1, isAccepted: false, hasData: false, hasEnded: false }))
    assert.isTrue(Plan.isHeard(wanted, { ends: 0, isAccepted: false, hasData: false, hasEnded: true }))
  })

  it("cannot send what the recording does not have, and names the line", () => {
    const result = Plan.make({ header: redacted, entries: entries(asked, "< J {}", "> R ?") })
    if (Result.isSuccess(result)) return assert.fail("it has a plan")
    assert.match(result.failure.message, /^line 5: .*redacted or too long/)
  })
})
