import { Buffer } from "node:buffer"
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Printable from "../../src/server/Printable.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

/** What the escaper shows of bytes that come cut at these places. */
const escaped = (input: Uint8Array, cuts: ReadonlyArray<number> = []): string => {
  const escaper = Printable.makeEscaper()
  const edges = [0, ...cuts.map((cut) => cut % (input.length + 1)).sort((a, b) => a - b), input.length]
  const shown = edges.slice(1).map((edge, i) => escaper.push(input.slice(edges[i], edge)))
  return shown.join("") + escaper.end()
}

// Written out rather than by Unicode property, so that it does not repeat what it checks.
const hostile: ReadonlyArray<readonly [name: string, from: number, to: number]> = [
  ["C0 before tab", 0x00, 0x08],
  ["C0 after line feed", 0x0b, 0x1f],
  ["DEL and C1", 0x7f, 0x9f],
  ["soft hyphen", 0xad, 0xad],
  ["combining grapheme joiner", 0x34f, 0x34f],
  ["Arabic letter mark", 0x61c, 0x61c],
  ["Hangul fillers", 0x115f, 0x1160],
  ["Mongolian vowel separator", 0x180e, 0x180e],
  ["zero-width characters and marks", 0x200b, 0x200f],
  ["line and paragraph separators", 0x2028, 0x2029],
  ["bidi embeddings and overrides", 0x202a, 0x202e],
  ["word joiner and invisible operators", 0x2060, 0x2064],
  ["bidi isolates", 0x2066, 0x2069],
  ["Hangul filler", 0x3164, 0x3164],
  ["byte order mark", 0xfeff, 0xfeff],
  ["interlinear annotations", 0xfff9, 0xfffb],
  ["tags", 0xe0000, 0xe007f],
  ["supplementary variation selectors", 0xe0100, 0xe01ef]
]

const isHostile = (code: number) => hostile.some(([, from, to]) => code >= from && code <= to)
const codes = (text: string) => Array.from(text, (character) => character.codePointAt(0) ?? 0)

/** Pieces of which something is likely to go wrong. */
const pieces = fc.constantFrom(
  "\r",
  "\n",
  "\t",
  "\u001b]0;title\u0007",
  "\u009b2J",
  "\u001bP1$r\u001b\\",
  "\u202e",
  "\u{e0041}",
  "é",
  "€",
  "😀",
  "❤\ufe0f"
)
const text = fc
  .array(fc.oneof(pieces, fc.string({ unit: "binary" })), { maxLength: 12 })
  .map((all) => all.join(""))
const cuts = fc.array(fc.nat(), { maxLength: 8 })
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  // Text with bytes of it replaced, which gives characters that are nearly right.
  fc
    .tuple(text, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0x80, max: 0xff })), { maxLength: 3 }))
    .map(([valid, replaced]) => {
      const input = bytes(valid)
      for (const [at, byte] of replaced) if (input.length > 0) input[at % input.length] = byte
      return input
    })
)

describe("an escaped text", () => {
  it.each(hostile)("shows every one of %s", (_, from, to) => {
    for (let code = from; code <= to; code++) {
      const character = String.fromCodePoint(code)
      for (const shown of [
        Printable.line(character),
        Printable.lines(character),
        escaped(bytes(character))
      ]) {
        assert.match(shown, /^(\\u[0-9a-f]{4}){1,2}$|^\\r$/)
        assert.strictEqual(JSON.parse(`"${shown}"`), character)
      }
    }
  })

  it("is as it was where it is harmless", () => {
    for (const harmless of [
      'plain, \\ and "',
      "äöü ß",
      "日本語",
      "العربية",
      "😀 ❤\ufe0f",
      "e\u0301",
      "a\u00a0b"
    ]) {
      assert.strictEqual(Printable.line(harmless), harmless)
      assert.strictEqual(escaped(bytes(harmless)), harmless)
    }
  })

  it("keeps line breaks and tabs only where there may be several lines", () => {
    assert.strictEqual(Printable.line("a\r\n\tb"), "a\\r\\n\\tb")
    assert.strictEqual(Printable.lines("a\r\n\tb\nc"), "a\r\n\tb\nc")
    assert.strictEqual(Printable.lines("whole\rfake\r\r\n"), "whole\\rfake\\r\r\n")
  })

  it("shows half a pair of surrogates", () => {
    assert.strictEqual(Printable.line("a\ud83d"), "a\\ud83d")
  })

  it("is clipped between characters, with what is left out", () => {
    assert.strictEqual(Printable.clip("abc", 3), "abc")
    assert.strictEqual(Printable.clip("abcd", 3), "abc… (1 more characters)")
    assert.strictEqual(Printable.clip("a😀b", 2), "a… (3 more characters)")
  })
})

describe("an escaper", () => {
  it("shows the same however the input is cut", () => {
    fc.assert(
      fc.property(anyBytes, cuts, (input, cuts) => {
        assert.strictEqual(escaped(input, cuts), escaped(input))
      }),
      { numRuns: 2000 }
    )
  })

  it("shows of UTF-8 what the text shows", () => {
    fc.assert(
      fc.property(text, cuts, (text, cuts) => {
        const input = bytes(text)
        assert.strictEqual(escaped(input, cuts), Printable.lines(Buffer.from(input).toString()))
      }),
      { numRuns: 2000 }
    )
  })

  it("lets nothing hostile through", () => {
    fc.assert(
      fc.property(anyBytes, cuts, (input, cuts) => {
        const shown = escaped(input, cuts)
        assert.deepStrictEqual(codes(shown.replaceAll("\r\n", "")).filter(isHostile), [])
      }),
      { numRuns: 2000 }
    )
  })

  it("leaves JSON the same JSON", () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: "binary" }), cuts, (json, cuts) => {
        assert.deepStrictEqual(JSON.parse(escaped(bytes(json), cuts)), JSON.parse(json))
      })
    )
  })

  it("shows every byte that is no UTF-8, and the characters around it", () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<number>, string]> = [
      [[0x61, 0xff, 0x62], "a\\xffb"],
      // C1 as a byte of its own: the control sequences of terminals with eight bits.
      [[0x9b, 0x32, 0x4a], "\\x9b2J"],
      [[0xc0, 0x8a], "\\xc0\\x8a"],
      [[0xe0, 0x80, 0x8a], "\\xe0\\x80\\x8a"],
      [[0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"],
      [[0xf4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"],
      [[0xe2, 0x82, 0x61], "\\xe2\\x82a"],
      [[0x61, 0xe2, 0x82], "a\\xe2\\x82"],
      [[0xef, 0xbf, 0xbd], "\ufffd"]
    ]
    for (const [input, shown] of cases) assert.strictEqual(escaped(Uint8Array.from(input)), shown)
  })

  it("keeps back no more than the beginning of a character", () => {
    const escaper = Printable.makeEscaper()
    assert.strictEqual(escaper.push(Uint8Array.of(0x61, 0xf0, 0x9f, 0x98)), "a")
    assert.strictEqual(escaper.push(Uint8Array.of(0x80)), "😀")
    assert.strictEqual(escaper.end(), "")
  })
})
