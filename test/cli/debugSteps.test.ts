/**
 * The steps of the debugger as they are written, and frames as they are shown.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as FrameView from "../../src/cli/debug/FrameView.ts"
import * as Step from "../../src/cli/debug/Step.ts"
import { plain } from "../../src/cli/terminal/Style.ts"
import type { Event } from "../../src/recording/Observer.ts"

const encoder = new TextEncoder()
const parse = (line: string) => Result.getOrThrow(Step.parse(line))

/** The bytes that a step sends, in hexadecimal. */
const bytes = (line: string): string => {
  const step = parse(line)
  if (step?._tag === "Send") return Buffer.from(step.bytes).toString("hex")
  if (step?._tag !== "Frame" || step.body._tag !== "Given") return assert.fail(line)
  return Buffer.from(Step.frameBytes(step, step.body.bytes, "body")).toString("hex")
}

describe("a step", () => {
  it.each([
    ["C", "0000000043"],
    ["R hello", "050000005268656c6c6f"],
    ["R  two blanks", `0b0000005220${Buffer.from("two blanks").toString("hex")}`],
    ["frame z hex:00 ff", "020000007a00ff"],
    ["frame 0x00:99 ab", "63000000006162"],
    ["send 00 01 02", "000102"],
    ["pieces 1 send 0a", "0a"]
  ])("sends bytes: %s", (line, expected) => assert.strictEqual(bytes(line), expected))

  it("may be a query", () => {
    assert.include(Buffer.from(bytes("query SELECT 'a b'"), "hex").toString(), `"query":"SELECT 'a b'"`)
  })

  it("may send in pieces, with a pause or without", () => {
    const step = parse("pieces 3 20ms R hello")
    assert.deepInclude(step, { _tag: "Frame", pieces: { size: 3, pause: Duration.millis(20) } })
    assert.deepInclude(parse("pieces 3 C"), { pieces: { size: 3, pause: Duration.zero } })
    const sizes = Step.cut(new Uint8Array(10), { size: 4, pause: Duration.zero }).map(({ length }) => length)
    assert.deepStrictEqual(sizes, [4, 4, 2])
  })

  it("may be written as those of the fuzzer's scripts", () => {
    for (const line of ["stopReading", "stop-reading"])
      assert.deepStrictEqual(parse(line), { _tag: "StopReading" })
    for (const line of ["halfClose", "half-close"]) assert.deepStrictEqual(parse(line), { _tag: "HalfClose" })
    assert.deepStrictEqual(parse("await terminal"), { _tag: "Await", what: "terminal" })
  })

  it("may be none", () => {
    for (const line of ["", "  ", "# a comment"]) assert.isUndefined(parse(line))
  })

  it.each([
    ["hello", /no step hello; help/],
    ["send 0", /pairs of hexadecimal/],
    ["frame", /nothing is no type/],
    ["frame ab", /ab is no type/],
    ["frame R:4294967296 a", /no room/],
    ["await nothing", /expected accept, data, terminal, closed/],
    ["pieces 0 C", /from 1/],
    ["pieces 3 reset", /sends something/],
    ["reset now", /stands alone/],
    ["sleep soon", /no time/],
    ["constructor", /no step/]
  ])("is told from what is none: %s", (line, expected) => {
    const result = Step.parse(line)
    assert.match(Result.isFailure(result) ? result.failure.message : "", expected)
  })

  it("has its line's number in a script, and so have errors", () => {
    const lines = Result.getOrThrow(Step.script("# first\n\nC\r\nreset\n"))
    assert.deepStrictEqual(
      lines.map(({ line, step }) => [line, step._tag]),
      [
        [3, "Frame"],
        [4, "Reset"]
      ]
    )
    const wrong = Step.script("C\n\nwhat")
    assert.match(Result.isFailure(wrong) ? wrong.failure.message : "", /^line 3: /)
  })

  it("is in the help, each of them", () => {
    for (const [form] of Step.forms) {
      const example = form
        .replace("[BODY]", "x")
        .replace("TYPE[:LENGTH]", "R:1")
        .replace("SQL", "SELECT 1")
        .replace("HEX", "00")
        .replace("SIZE [PAUSE] STEP", "1 1s C")
        .replace("TIME", "1s")
        .replace("WHAT", "data")
        .replace("TYPE [CODE]", "J timeout")
        .replace("HOW", "hex")
        .replace("on|off", "on")
      for (const line of example.split(", ")) assert.isTrue(Result.isSuccess(Step.parse(line)), line)
    }
  })
})

describe("a frame that is shown", () => {
  const show = (body: string | Uint8Array, bodies: FrameView.Bodies, maxBytes = 100) => {
    const bytes = typeof body === "string" ? encoder.encode(body) : body
    const event: Event = {
      _tag: "Frame",
      at: 1234,
      connection: 1,
      from: "server",
      type: 0x4a,
      length: bytes.length,
      bytes
    }
    return FrameView.show(event, { bodies, maxBytes, style: plain })
  }

  it("has its time, direction, type, length and body", () => {
    assert.strictEqual(show('{"a":1}', "auto"), '    1.234 s  ← J  Reject Request            7  {"a":1}')
    assert.strictEqual(show('{"a":1}', "none"), "    1.234 s  ← J  Reject Request            7")
  })

  it("shows JSON on several lines, and bytes that are no text in hexadecimal", () => {
    assert.deepStrictEqual(show('{"a":1}', "json").split("\n").slice(1), ["    {", '      "a": 1', "    }"])
    const [, line] = show(new Uint8Array([0xff, 0x41, 0x1b]), "auto").split("\n")
    assert.strictEqual(line, `    00000000  ff 41 1b${" ".repeat(40)}  |.A.|`)
    assert.include(show("text", "hex"), "74 65 78 74")
  })

  it("cuts what is long, between characters, and says how much is left", () => {
    assert.match(show("aé".repeat(5), "auto", 5), / aéa\n {4}… 10 more bytes$/)
  })

  it("escapes what could steer the terminal", () => {
    for (const bodies of FrameView.bodies) {
      const shown = show('{"a":"\u001b[2J\u202e\\u001b]0;x\\u0007"}', bodies)
      assert.notMatch(shown, /[^\P{Cc}\n]|\u202e/u, bodies)
    }
    const detail = FrameView.show(
      { _tag: "Ended", at: 0, connection: 1, from: "server", how: "broken", detail: "\u001b[2J" },
      { bodies: "auto", maxBytes: 100, style: plain }
    )
    assert.include(detail, "\\u001b[2J")
  })
})
