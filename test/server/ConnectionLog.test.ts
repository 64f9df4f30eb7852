import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as ConnectionLog from "../../src/server/ConnectionLog.ts"
import type { ControlReason } from "../../src/server/Statistics.ts"

const options = { maxBodyLength: 200 }
const connection = { id: 7, local: "127.0.0.1:11653", remote: "127.0.0.1:50000" }
const bytes = (text: string) => new TextEncoder().encode(text)

const query = {
  bytesTransferred: 1194,
  payloadBytesTransferred: 1184,
  messages: 2,
  runs: 1,
  durationMillis: 12.34,
  queryId: "q1",
  rows: 3,
  reason: "complete"
} as const

const nameless = { ...query, queryId: undefined, rows: undefined, durationMillis: 1234.5 } as const

const closed = (reason: ControlReason, detail: string): ConnectionEvent => ({
  _tag: "Closed",
  connection,
  detail,
  control: {
    bytesRead: 10,
    bytesWritten: 20,
    messagesRead: 1,
    messagesWritten: 2,
    accepted: 1,
    rejected: 0,
    cancelled: 0,
    reason
  },
  heartbeat: { bytesTransferred: 0, messages: 0, waits: 1, reason: "wait" }
})

const who = "127.0.0.1:50000 => 127.0.0.1:11653"

describe("the line", () => {
  it.each<[ConnectionEvent, string]>([
    [{ _tag: "Opened", connection }, `Accepted connection ${who}`],
    [{ _tag: "Request", connection, body: bytes(`{"version":"v1"}`) }, `${who} request: {"version":"v1"}`],
    [{ _tag: "Accepted", connection, payload: bytes("{}") }, `${who} accept: {}`],
    [
      { _tag: "Rejected", connection, payload: bytes(`{"code":"x"}`), query: nameless },
      `${who} rejected (1184 bytes, 1235 ms): {"code":"x"}`
    ],
    [{ _tag: "Completed", connection, query }, `${who} complete (queryId q1, 3 rows, 1184 bytes, 12.3 ms)`],
    [{ _tag: "Cancelled", connection, query }, `${who} cancelled (queryId q1, 3 rows, 1184 bytes, 12.3 ms)`],
    [{ _tag: "Aborted", connection, query }, `${who} aborted (queryId q1, 3 rows, 1184 bytes, 12.3 ms)`],
    [
      { _tag: "Failed", connection, query, payload: bytes("{}") },
      `${who} error (queryId q1, 3 rows, 1184 bytes, 12.3 ms): {}`
    ],
    [closed("read", "End of file"), `${who} disconnected due to failure reading: End of file`],
    [closed("write", "EPIPE"), `${who} disconnected due to failure writing: EPIPE`],
    [closed("run", "x"), `${who} disconnected due to failure running a query: x`],
    [closed("init", "x"), `${who} disconnected due to failure initializing a query: x`],
    [closed("protocol", "two\nlines"), `${who} disconnected due to protocol violation: two\\nlines`],
    [closed("drain", "Server stopped"), `${who} disconnected due to drain: Server stopped`]
  ])("of %o", (event, line) => {
    assert.strictEqual(ConnectionLog.line(event, options), line)
  })
})

describe("a body", () => {
  it.each([
    ["whole", 5, "whole"],
    ["too long", 3, "too…"],
    ["anything", 0, "…"],
    ["", 0, ""],
    // Each of these characters has two, three and four bytes.
    ["aé", 2, "a…"],
    ["a€b", 3, "a…"],
    ["a€b", 4, "a€…"],
    ["😀😀", 7, "😀…"]
  ])("%j at most %d bytes long is %j", (text, maxBodyLength, shown) => {
    assert.strictEqual(ConnectionLog.show(bytes(text), maxBodyLength), shown)
  })

  it("may be no text at all", () => {
    assert.strictEqual(ConnectionLog.show(Uint8Array.of(0xff, 0x41, 0xc3), 200), "\ufffdA\ufffd")
  })

  it("is a view of its own bytes only", () => {
    assert.strictEqual(ConnectionLog.show(bytes("a secret b").subarray(9), 200), "b")
  })

  it("cannot leave its line, drive a terminal or turn its direction", () => {
    const text = "\r\n\t\u0000\u001b[2J\u007f\u0085\u009b\u2028\u2029\u202e\u2066"
    assert.strictEqual(
      ConnectionLog.show(bytes(text), 200),
      "\\r\\n\\t\\u0000\\u001b[2J\\u007f\\u0085\\u009b\\u2028\\u2029\\u202e\\u2066"
    )
  })
})

describe("the fields", () => {
  it("are the event's own, with bodies as they are shown", () => {
    assert.deepStrictEqual(
      ConnectionLog.fields(
        { _tag: "Request", connection, body: bytes("SELECT 1\n") },
        { maxBodyLength: 6, logValues: true }
      ),
      { event: "Request", connection, body: "SELECT…" }
    )
    assert.deepStrictEqual(ConnectionLog.fields({ _tag: "Completed", connection, query }, options), {
      event: "Completed",
      queryId: "q1",
      connection,
      query
    })
  })
})

const said = (body: object, more: Partial<ConnectionLog.Options> = {}) =>
  ConnectionLog.line(
    { _tag: "Request", connection, body: bytes(JSON.stringify(body)) },
    { maxBodyLength: 1000, ...more }
  ).replace(`${who} request: `, "")

describe("a request", () => {
  const request = {
    version: "v1",
    query: "SELECT $a",
    parameters: { a: "hunter2", b: [1, { c: "é" }], n: null },
    metadata: { token: "s3cret", "": "x" },
    format: "text/csv",
    queryId: "q1",
    timeoutMs: 5,
    password: "hunter2"
  }

  it("shows names and sizes of parameters and metadata, and of fields that nobody knows", () => {
    assert.strictEqual(
      said(request),
      `{"version":"v1","query":"SELECT $a","parameters":{"a":"7 B","b":"14 B","n":"4 B"},` +
        `"metadata":{"token":"6 B","":"1 B"},"format":"text/csv","queryId":"q1","timeoutMs":5,"password":"7 B"}`
    )
    assert.strictEqual(
      said({ version: "v1", query: "x", parameters: ["hunter2", 42] }),
      `{"version":"v1","query":"x","parameters":["7 B","2 B"]}`
    )
    assert.include(said({ parameters: Array.from({ length: 5000 }, () => 1) }), `"4900 more"]`)
  })

  it("shows the values of parameters with logValues, and those of metadata never", () => {
    const shown = said(request, { logValues: true })
    assert.include(shown, JSON.stringify(request.parameters))
    assert.notInclude(shown, "s3cret")
  })

  it.each([
    `{"version":"v1","query":"x","parameters":["hunter2"]`,
    `"hunter2"`,
    `["hunter2"]`,
    "hunter2",
    `{"query":${"[".repeat(1000)}"hunter2"`
  ])("that is none shows its size: %j", (body) => {
    assert.strictEqual(
      ConnectionLog.line({ _tag: "Request", connection, body: bytes(body) }, options),
      `${who} request: (${body.length} B)`
    )
  })

  it("that was cut does not show its metadata, not even with logValues", () => {
    const body = bytes(`{"version":"v1","metadata":{"token":"s3cret"`)
    assert.notInclude(
      ConnectionLog.line({ _tag: "Request", connection, body }, { ...options, logValues: true }),
      "s3cret"
    )
  })
})

describe("the layer", () => {
  const logged = Effect.fnUntraced(function* (
    level: "Debug" | "Info" | "Error",
    events: ReadonlyArray<ConnectionEvent> = [{ _tag: "Opened", connection }]
  ) {
    const messages: Array<unknown> = []
    const logger = Logger.make(({ logLevel, message }) => {
      messages.push([logLevel, message])
    })
    yield* Effect.gen(function* () {
      const listener = yield* ConnectionEvents
      assert.isDefined(listener)
      for (const event of events) yield* listener.publish(event)
    }).pipe(
      Effect.provide([ConnectionLog.layer(options), Logger.layer([logger])]),
      Effect.provideService(References.MinimumLogLevel, level)
    )
    return messages
  })

  it.effect("logs the line and the fields of each event at level Info", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged("Info"), [
        ["Info", [`Accepted connection ${who}`, { event: "Opened", connection }]]
      ])
      assert.deepStrictEqual(yield* logged("Error"), [])
    })
  )

  it.effect("logs questions about the progress of a query at level Debug, and nothing else", () =>
    Effect.gen(function* () {
      const request = (body: object): ConnectionEvent => ({
        _tag: "Request",
        connection,
        body: bytes(JSON.stringify({ version: "v1", query: "", ...body }))
      })
      const events: ReadonlyArray<ConnectionEvent> = [
        request({ progressOf: "mine" }),
        { _tag: "Accepted", connection, payload: bytes("{}") },
        { _tag: "Completed", connection, query },
        request({ query: "x", progressOf: "mine" }),
        request({ progressOf: "mine" }),
        closed("read", "x")
      ]
      const levels = (yield* logged("Debug", events)).map((entry) => (entry as ReadonlyArray<unknown>)[0])
      assert.deepStrictEqual(levels, ["Debug", "Debug", "Debug", "Info", "Debug", "Info"])
      assert.include(
        said({ version: "v1", query: "", progressOf: "mine" }),
        `"query":"","progressOf":"mine"}`
      )
    })
  )

  it.effect("leaves the values of a request out of the error that quotes them, and names the query", () =>
    Effect.gen(function* () {
      const request = (parameters: object) => ({
        _tag: "Request" as const,
        connection,
        body: bytes(JSON.stringify({ version: "v1", query: "x", queryId: "mine", parameters }))
      })
      const failed = (message: string): ConnectionEvent => ({
        _tag: "Failed",
        connection,
        payload: bytes(JSON.stringify({ code: "execution_failed", message, retryable: false, position: 7 })),
        query: nameless
      })
      const long = "x".repeat(100)
      const broken: ConnectionEvent = { _tag: "Request", connection, body: bytes(`{"parameters":[hunter2`) }
      const lines = (yield* logged("Info", [
        request(['hun"ter', 7, { deep: ["x@y"] }]),
        failed(`Could not convert 'hun"ter' or 7 or x@y to 77 INT32`),
        request([long]),
        failed(`Could not convert '${long.slice(0, 60)}…`),
        // It is the next one's no more.
        failed("Could not convert 7"),
        broken,
        failed("Unexpected token h in [hunter2")
      ])) as ReadonlyArray<[string, [string, Record<string, unknown>]]>
      const errors = lines.flatMap(([, [, fields]]) => (fields["event"] === "Failed" ? [fields] : []))
      const messages = errors.map(({ payload }) => JSON.parse(String(payload)).message)
      assert.deepStrictEqual(messages, [
        "Could not convert '<parameters.0>' or <parameters.1> or <parameters.2.deep.0> to 77 INT32",
        "Could not convert '<parameters.0>…",
        "Could not convert 7",
        "(30 B)"
      ])
      assert.deepStrictEqual(
        errors.map(({ queryId }) => queryId),
        ["mine", "mine", undefined, undefined]
      )
    })
  )
})
