import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as Message from "../../src/protocol/Message.ts"
import { type Event, Observer } from "../../src/recording/Observer.ts"
import * as Recording from "../../src/recording/Recording.ts"

const { Type } = Message
const encoder = new TextEncoder()

const concat = (parts: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(parts))

/** What is recorded of a client that sends and receives these pieces. */
const record = (
  header: Recording.Header,
  sent: ReadonlyArray<Uint8Array>,
  received: ReadonlyArray<Uint8Array> = [],
  maxBodySize = 1000
): Recording.Recording => {
  const entries: Array<Recording.Entry> = []
  let now = 0
  const observer = new Observer({
    connection: 1,
    end: "client",
    peer: "server",
    lengthCounts: header.lengthCounts,
    maxBodySize,
    now: () => now++,
    on: (event: Event) => void entries.push(Recording.entry(event, header))
  })
  for (const piece of sent) observer.sent(piece)
  for (const piece of received) observer.received(piece)
  observer.lost("broken", "read ECONNRESET")
  observer.left("closed")
  observer.left("closed")
  return { header, entries }
}

const kept: Recording.Header = { values: "kept", lengthCounts: "body" }
const redacted: Recording.Header = { values: "redacted", lengthCounts: "body" }

const frame = (type: number, body: string) => Message.rawFrame("body", type, encoder.encode(body))
const reread = (recording: Recording.Recording) =>
  Result.getOrThrow(Recording.parse(Recording.format(recording)))

const bytesFrom = (from: Recording.End, { entries, header }: Recording.Recording) =>
  concat(
    entries.flatMap((entry) =>
      (entry._tag === "Frame" || entry._tag === "Bytes") && entry.from === from
        ? [Recording.wireBytes(entry, header.lengthCounts) ?? assert.fail("nothing is there")]
        : []
    )
  )

const cut = (bytes: Uint8Array, at: ReadonlyArray<number>) => {
  const places = [...new Set([0, ...at.map((n) => n % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b
  )
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
}

describe("a recording with its values", () => {
  it("has the bytes that were on the wire, whatever they are and however they came", () => {
    const message = fc
      .tuple(fc.constantFrom(..."RCAJIFEKHz\0"), fc.uint8Array({ maxLength: 40 }))
      .map(([letter, body]) => Message.rawFrame("typeAndBody", letter.charCodeAt(0), body))
    const wire = fc
      .array(fc.oneof({ weight: 5, arbitrary: message }, fc.uint8Array({ maxLength: 12 })), { maxLength: 6 })
      .map(concat)
    const counting = { ...kept, lengthCounts: "typeAndBody" } as const
    fc.assert(
      fc.property(wire, wire, fc.array(fc.nat()), (sent, received, at) => {
        const recording = reread(record(counting, cut(sent, at), cut(received, at)))
        assert.deepStrictEqual(bytesFrom("client", recording), sent)
        assert.deepStrictEqual(bytesFrom("server", recording), received)
      })
    )
  })

  it("is the documented lines", () => {
    const sent = [frame(Type.Request, '{"a":1}'), frame(Type.Cancel, ""), new Uint8Array([9, 0])]
    const received = [frame(Type.Intermediate, "é"), Message.rawFrame("body", 7, new Uint8Array([0xff]))]
    assert.deepStrictEqual(Recording.format(record(kept, sent, received)).split("\n"), [
      '{"recording":"dataconn","version":1,"values":"kept","lengthCounts":"body"}',
      '{"at":0,"connection":1,"event":"opened","peer":"server"}',
      '{"at":1,"connection":1,"from":"client","type":"R","length":7,"text":"{\\"a\\":1}"}',
      '{"at":2,"connection":1,"from":"client","type":"C","length":0}',
      '{"at":3,"connection":1,"from":"server","type":"I","length":2,"text":"é"}',
      '{"at":4,"connection":1,"from":"server","type":"0x07","length":1,"base64":"/w=="}',
      '{"at":5,"connection":1,"from":"server","event":"broken","detail":"read ECONNRESET"}',
      '{"at":6,"connection":1,"from":"client","bytes":2,"text":"\\t\\u0000"}',
      '{"at":7,"connection":1,"from":"client","event":"closed"}',
      ""
    ])
  })

  it("has nothing of a body that is too long, but for its length", () => {
    const { entries } = reread(record(kept, cut(frame(Type.Request, "x".repeat(50)), [20, 40]), [], 49))
    const [, request] = entries
    assert.include(request, { _tag: "Frame", length: 50 })
    assert.deepInclude(request, { content: { _tag: "Omitted" } })
  })

  it("knows another protocol by its first bytes, and does not wait for the end of its frame", () => {
    const { entries } = record(
      kept,
      [],
      [encoder.encode("HTTP/1.1 400 Bad Request\r\n"), encoder.encode("\r\n")]
    )
    assert.deepStrictEqual(
      entries.map(({ _tag }) => _tag),
      ["Opened", "Bytes", "Bytes", "Bytes", "Ended", "Ended"]
    )
  })
})

describe("a recording without values", () => {
  const only = (type: number, body: unknown) => {
    const text = typeof body === "string" ? body : JSON.stringify(body)
    const { entries } = reread(record(redacted, [], [frame(type, text)]))
    const [, entry] = entries
    if (entry?._tag !== "Frame") return assert.fail("no frame")
    assert.strictEqual(entry.length, Buffer.byteLength(text))
    const { content } = entry
    return content._tag === "Redacted" ? JSON.parse(content.text) : content._tag
  }

  it("keeps the structure of a request", () => {
    const request = {
      version: "v1",
      query:
        "SELECT a, 'secret', $tag$secret$tag$, 42 FROM t -- secret\nWHERE \"b\" = E'it\\'s secret' AND c = $1",
      parameters: ["secret", 123, true, null, { deep: ["secret"] }],
      parameterTypes: ["blob", null],
      format: "text/csv",
      timeoutMs: 30000,
      queryId: "abc",
      metadata: { user: "ada" },
      unknown: { secret: "secret" }
    }
    assert.deepStrictEqual(only(Type.Request, request), {
      version: "v1",
      query:
        "SELECT a, 'xxxxxx', $tag$xxxxxx$tag$, 00 FROM t --xxxxxxx\nWHERE \"b\" = E'xxxxxxxxxxxx' AND c = $1",
      parameters: ["xxxxxx", 0, false, null, { deep: ["xxxxxx"] }],
      parameterTypes: ["blob", null],
      format: "text/csv",
      timeoutMs: 30000,
      queryId: "xxx",
      metadata: { user: "xxx" },
      unknown: { secret: "xxxxxx" }
    })
  })

  it.each([
    ["SELECT 1 /* a /* secret */ secret */ + 0xBEEF", "SELECT 0 /*xxxxxxxxxxxxxxxxxxxxxxx*/ + 0x0000"],
    ["SET s3_key = secret; SELECT a = b", "SET s3_key = xxxxxx; SELECT a = b"],
    ["SELECT 'never closed secret", "SELECT 'xxxxxxxxxxxxxxxxxxx"],
    ["SELECT 1.5e3, t1.c2, 'it''s'", "SELECT 0.0e0, t1.c2, 'xxxxx'"]
  ])("takes the literals out of %s", (query, expected) => {
    assert.strictEqual(only(Type.Request, { version: "v1", query }).query, expected)
  })

  it("keeps columns and codes, and hides what may quote values", () => {
    assert.deepStrictEqual(
      only(Type.Accept, { queryId: "q", columns: [{ name: "'secret'", type: "ENUM('secret')" }] }),
      { queryId: "x", columns: [{ name: "'xxxxxx'", type: "ENUM('xxxxxx')" }] }
    )
    assert.deepStrictEqual(
      only(Type.Error, { code: "execution_failed", message: "no secret", retryable: false, position: 7 }),
      { code: "execution_failed", message: "xxxxxxxxx", retryable: false, position: 7 }
    )
  })

  it("keeps as it is what has no values", () => {
    assert.strictEqual(only(Type.Request, { version: "v1", query: "FROM trades" }), "Exact")
  })

  it("leaves out results, and what is not of the v1 API", () => {
    for (const type of [Type.Intermediate, Type.Final, 0x7a])
      assert.strictEqual(only(type, "secret"), "Omitted")
    assert.strictEqual(only(Type.Request, "secret"), "Omitted")
    assert.strictEqual(only(Type.Request, `${"[".repeat(5000)}${"]".repeat(5000)}`), "Omitted")
    assert.deepInclude(record(redacted, [new Uint8Array([1, 2])]).entries.at(-2), {
      content: { _tag: "Omitted" }
    })
  })

  it("does not keep what stands behind a name that comes twice", () => {
    assert.notInclude(
      Recording.format(record(redacted, [frame(Type.Request, '{"query":"\'secret\'","query":"SELECT a"}')])),
      "secret"
    )
  })
})

describe("a text that is read as a recording", () => {
  const header = Recording.formatHeader(kept)
  const problem = (text: string) => {
    const result = Recording.parse(text)
    return Result.isFailure(result) ? result.failure.message : assert.fail("it is one")
  }

  it.each([
    ["", /^line 1: no recording/],
    ["SELECT 1\n", /^line 1: no recording/],
    [`${header.replace('"version":1', '"version":2')}\n`, /^line 1: version 2/],
    [`${header}\n\n{}\n`, /^line 3: /],
    [
      `${header}\n{"at":0,"connection":1,"from":"client","type":"RR","length":0}\n`,
      /^line 2: "RR" is no type/
    ],
    [
      `${header}\n{"at":0,"connection":1,"from":"client","type":"R","length":2,"text":"a"}\n`,
      /^line 2: .* 2, .* 1/
    ],
    [`${header}\n{"at":0,"connection":1,"from":"client"}\n`, /^line 2: expected/]
  ])("is told from one: %s", (text, expected) => assert.match(problem(text), expected))

  it("may lack the end of its last line, which is left out", () => {
    const text = Recording.format(record(kept, [frame(Type.Cancel, "")]))
    const { entries } = Result.getOrThrow(Recording.parse(text.slice(0, -5)))
    assert.strictEqual(entries.length, 3)
  })
})
