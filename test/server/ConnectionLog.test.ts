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
  reason: "complete"
} as const

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
    [{ _tag: "Rejected", connection, payload: bytes(`{"code":"x"}`) }, `${who} rejected: {"code":"x"}`],
    [{ _tag: "Completed", connection, query }, `${who} complete (1184 bytes)`],
    [{ _tag: "Cancelled", connection, query }, `${who} cancelled (1184 bytes)`],
    [{ _tag: "Aborted", connection, query }, `${who} aborted (1184 bytes)`],
    [{ _tag: "Failed", connection, query, payload: bytes("{}") }, `${who} error: {}`],
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
      ConnectionLog.fields({ _tag: "Request", connection, body: bytes("SELECT 1\n") }, { maxBodyLength: 6 }),
      { event: "Request", connection, body: "SELECT…" }
    )
    assert.deepStrictEqual(ConnectionLog.fields({ _tag: "Completed", connection, query }, options), {
      event: "Completed",
      connection,
      query
    })
  })
})

describe("the layer", () => {
  const logged = Effect.fnUntraced(function* (level: "Info" | "Error") {
    const messages: Array<unknown> = []
    const logger = Logger.make(({ logLevel, message }) => {
      messages.push([logLevel, message])
    })
    yield* Effect.gen(function* () {
      const listener = yield* ConnectionEvents
      assert.isDefined(listener)
      yield* listener.publish({ _tag: "Opened", connection })
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
})
