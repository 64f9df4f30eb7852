import { assert, describe, it } from "@effect/vitest"
import * as ErrorMessage from "../../src/engine/ErrorMessage.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"

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

  it("is cut where an error is made and where it is sent", () => {
    const long = "x".repeat(1_000_000)
    assert.isAtMost(bytes(QueryApi.queryError("internal", long).message), ErrorMessage.maxBytes)
    const error = new QueryApi.QueryError({ code: "internal", message: long, retryable: false })
    assert.isBelow(QueryApi.encodeError(error).length, 5000)
  })
})
