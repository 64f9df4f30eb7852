import { assert, describe, it } from "@effect/vitest"
import * as ErrorMessage from "../../src/engine/ErrorMessage.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryFailed, QueryRejected } from "../../src/engine/QueryEngine.ts"

const bytes = (text: string) => Buffer.byteLength(text)

describe("the message of an error", () => {
  it.each(["x", "é", "€", "😀"])("has at most 4 KiB, of %s too", (character) => {
    const whole = character.repeat(Math.floor(ErrorMessage.maxBytes / bytes(character)))
    assert.strictEqual(ErrorMessage.bounded(whole), whole)
    const cut = ErrorMessage.bounded(whole + character)
    assert.isTrue(cut.endsWith("…"))
    assert.isAtMost(bytes(cut), ErrorMessage.maxBytes)
    assert.isAbove(bytes(cut), ErrorMessage.maxBytes - 8)
    assert.isTrue(whole.startsWith(cut.slice(0, -1)))
  })

  it("quotes the body of a reject and of a failure, in part and without what steers a terminal", () => {
    const payload = new TextEncoder().encode(`no \u001b[2J\u202eé\n${"x".repeat(1000)}`)
    for (const [error, said] of [
      [new QueryRejected({ payload }), "The request was rejected: "],
      [new QueryFailed({ payload }), "The query failed: "]
    ] as const) {
      assert.strictEqual(
        error.message.slice(0, said.length + 32),
        `${said}no \\u{1b}[2J\\u{202e}é\\u{a}xxxxxx`
      )
      assert.isBelow(error.message.length, 600)
      assert.isTrue(error.message.endsWith("x…"))
    }
  })

  it("is cut where an error is made and where it is sent", () => {
    const long = "x".repeat(1_000_000)
    assert.isAtMost(bytes(QueryApi.queryError("internal", long).message), ErrorMessage.maxBytes)
    const error = new QueryApi.QueryError({ code: "internal", message: long, retryable: false })
    assert.isBelow(QueryApi.encodeError(error).length, 5000)
  })
})
