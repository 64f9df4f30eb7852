/**
 * Queries over the WebSocket, with the client for browsers and by hand.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { gzipSync } from "node:zlib"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Browser from "../../src/browser/index.ts"
import * as Folder from "../support/Folder.ts"
import * as Poll from "../support/Poll.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"
import * as Served from "./Served.ts"

const urlOf = ({ url }: Pick<Served.Served, "url">) => `${url.replace("http", "ws")}/v1/stream`

const connect = (served: Served.Served, options?: Browser.Options) =>
  Effect.acquireRelease(
    Effect.promise(() => Browser.connect(urlOf(served), options)),
    (connection) => Effect.sync(() => connection.close())
  )

/** Every message of a socket that is used by hand. */
const dial = (served: Served.Served, protocols: ReadonlyArray<string> = ["dataconn.v1"]) =>
  Effect.acquireRelease(
    Effect.callback<{
      readonly send: (message: unknown) => void
      readonly records: ReadonlyArray<Record<string, unknown>>
      readonly bytes: () => number
      readonly closed: () => { readonly code: number; readonly reason: string } | undefined
      readonly close: () => void
    }>((resume) => {
      const socket = new WebSocket(urlOf(served), [...protocols])
      socket.binaryType = "arraybuffer"
      const records: Array<Record<string, unknown>> = []
      let bytes = 0
      let closed: { code: number; reason: string } | undefined
      socket.addEventListener("message", ({ data }) => {
        if (typeof data === "string") records.push(JSON.parse(data))
        else bytes += data.byteLength - 4
      })
      const socketOf = {
        send: (message: unknown) =>
          socket.send(
            typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify(message)
          ),
        records,
        bytes: () => bytes,
        closed: () => closed,
        close: () => socket.close()
      }
      socket.addEventListener("open", () => resume(Effect.succeed(socketOf)))
      socket.addEventListener("close", ({ code, reason }) => {
        closed = { code, reason }
        resume(Effect.succeed(socketOf))
      })
    }),
    (socket) => Effect.sync(() => socket.close())
  )

/** What a promise is rejected with. */
const rejection = (promise: Promise<unknown>) =>
  Effect.promise(() =>
    promise.then(
      () => assert.fail("it was not rejected"),
      (error: Browser.QueryError) => error.code
    )
  )

describe("the WebSocket", () => {
  layer(Served.layer({ maxStreamQueries: 3, maxStreamCredit: 4_000_000 }), {
    excludeTestServices: true
  })((it) => {
    it.effect("answers several queries at once, each with its own end", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const connection = yield* connect(served)
        const rows = connection.query({ query: "rows 3000" })
        const text = connection.query({ query: "rows 20", format: "csv" })
        const failed = connection.query({ query: "fail 1000" })
        yield* Effect.promise(async () => {
          const numbers: Array<unknown> = []
          const [csv] = await Promise.all([
            text.text(),
            (async () => {
              for await (const row of rows.rows<{ n: number }>()) numbers.push(row.n)
            })()
          ])
          assert.deepStrictEqual(
            numbers,
            Array.from({ length: 3000 }, (_, n) => n)
          )
          assert.strictEqual(csv.split("\r\n").length, 22)
          const { columns, queryId } = await rows.accepted
          assert.strictEqual(columns?.length, 2)
          assert.deepInclude(await rows.receipt, { queryId })
          assert.strictEqual((await text.receipt).bytes, csv.length)
        })
        assert.strictEqual(yield* rejection(failed.text()), "execution_failed")
        for (const format of ["csv", "json"]) {
          const other = connection.query({ query: "rows 3", format })
          assert.strictEqual(yield* rejection(other.rows().next()), "unsupported_format")
        }
        assert.strictEqual(
          yield* rejection(connection.query({ query: "reject not_found" }).accepted),
          "not_found"
        )
        assert.strictEqual(
          yield* rejection(connection.query({ query: "rows 1", timeoutMs: -1 }).text()),
          "bad_request"
        )
      })
    )

    it.effect("sends no byte beyond the credit, and goes on with more", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const socket = yield* dial(served)
        socket.send({ type: "query", id: 7, query: "endless", format: "csv", credit: 1000 })
        yield* Poll.until("the credit is used", () => socket.bytes() === 1000)
        socket.send({ type: "query", id: 8, query: "rows 5", credit: 100_000 })
        yield* Poll.until("another query ends", () =>
          socket.records.some(({ id, type }) => id === 8 && type === "end")
        )
        const ended = socket.records.find(({ id, type }) => id === 8 && type === "end")
        const { bytes } = (ended?.["receipt"] ?? {}) as { readonly bytes?: number }
        assert.strictEqual(socket.bytes(), 1000 + Number(bytes))
        const first = socket.bytes()
        socket.send({ type: "credit", id: 7, bytes: 1_000_000 })
        yield* Poll.until("the credit is used", () => socket.bytes() === first + 1_000_000)
        socket.send({ type: "cancel", id: 7 })
        yield* Poll.until("it is cancelled", () =>
          socket.records.some(({ id, type }) => id === 7 && type === "cancelled")
        )
        assert.strictEqual(served.engine.begun(), served.engine.ended())
        assert.strictEqual(socket.bytes(), first + 1_000_000)
      })
    )

    it.effect("holds a query back whose reader stops, and cancels one whose reader leaves", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const { engine } = served
        const connection = yield* connect(served, { credit: 100_000 })
        const query = connection.query({ query: "endless", format: "csv" })
        yield* Effect.promise(async () => {
          for await (const chunk of query) {
            assert.isAtMost(chunk.length, 100_000)
            break
          }
        })
        assert.strictEqual(yield* rejection(query.receipt), "cancelled")
        assert.strictEqual(engine.begun(), engine.ended())
        const aborted = new AbortController()
        const stuck = connection.query({ query: "stuck" }, { signal: aborted.signal })
        yield* Poll.until("it runs", () => engine.begun() > engine.ended())
        aborted.abort()
        assert.strictEqual(yield* rejection(stuck.accepted), "cancelled")
        assert.strictEqual(engine.begun(), engine.ended())
      })
    )

    it.effect("cancels all queries of a client that goes away", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const { engine } = served
        const connection = yield* Effect.promise(() => Browser.connect(urlOf(served)))
        const queries = ["silent", "stuck", "endless"].map((query) => connection.query({ query }))
        yield* Poll.until("they run", () => engine.begun() === engine.ended() + 3)
        assert.strictEqual(yield* rejection(connection.query({ query: "rows 1" }).text()), "overloaded")
        connection.close()
        for (const query of queries) assert.strictEqual(yield* rejection(query.receipt), "connection_lost")
        yield* Poll.until("they have ended", () => engine.begun() === engine.ended())
      })
    )

    it.effect("closes for what breaks its rules, and says what", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const wrong = [
          ["{", 1008, /JSON/],
          ['{"type":"pong","type":"cancel","id":1}', 1008, /"type" occurs twice/],
          [new Uint8Array(3), 1008, /binary/],
          [{ type: "nonsense" }, 1008, /^type: /],
          [{ type: "query", id: -1, query: "rows 1" }, 1008, /^id: /],
          [{ type: "cancel", id: "1" }, 1008, /^id: /],
          [{ type: "pong", x: "x".repeat(2 ** 20) }, 1009, /longer than 1048576 bytes \(httpMaxBodySize\)/]
        ] as const
        for (const [message, code, reason] of wrong) {
          const socket = yield* dial(served)
          socket.send(message)
          yield* Poll.until("it is closed", () => socket.closed() !== undefined)
          assert.strictEqual(socket.closed()?.code, code)
          assert.match(socket.closed()?.reason ?? "", reason)
        }
        for (const credit of [0, -1]) {
          const twice = yield* dial(served)
          twice.send({ type: "query", id: 1, query: "silent" })
          twice.send({ type: "query", id: 1, query: "silent", credit })
          yield* Poll.until("it is closed", () => twice.closed() !== undefined)
        }
        assert.isDefined((yield* dial(served, ["other"])).closed())
        assert.strictEqual((yield* Served.fetched(`${served.url}/v1/stream`)).status, 426)
      })
    )
  })

  it.live("ends a query alone that is asked wrong", () =>
    Effect.gen(function* () {
      const served = yield* Served.make({ maxStreamCredit: 4_000_000 })
      const socket = yield* dial(served)
      const errorOf = (id: number) =>
        Effect.map(
          Poll.until(`the end of ${id}`, () =>
            socket.records.some((record) => record["error"] && record["id"] === id)
          ),
          () => socket.records.find((record) => record["id"] === id && record["type"] === "error")?.["error"]
        )
      socket.send({ type: "query", id: 0, query: "hang 1", credit: 4_000_000 })
      const wrong: ReadonlyArray<readonly [unknown, RegExp]> = [
        [{ query: "rows 1", credit: -1 }, /^credit: expected an integer from 0 to 4000000/],
        [{ query: "rows 1", credit: 1.5 }, /^credit: /],
        [{ query: "rows 1", credit: null }, /^credit: /],
        [{ query: "rows 1", credit: "5" }, /^credit: /],
        [{ query: "rows 1", credit: 4_000_001 }, /^credit: .*maxStreamCredit/],
        [{ query: "rows 1", parameters: Array.from({ length: 20_000 }, () => 1) }, /maxParameters/],
        [{ query: 5 }, /^query: /],
        [{ query: "rows 1", format: "events" }, /^format=events/]
      ]
      for (const [index, [fields, message]] of wrong.entries()) {
        const id = index + 1
        socket.send({ type: "query", id, ...(fields as object) })
        const error = yield* errorOf(id)
        assert.deepInclude(error, { code: "bad_request", retryable: false })
        assert.match((error as Error).message, message)
      }
      socket.send('{"type":"query","id":50,"query":"rows 1",}')
      assert.match(((yield* errorOf(50)) as Error).message, /JSON/)
      // More credit than a query may have ends that query; of one that has ended it is nothing.
      for (const [id, bytes] of [
        [100, 4_000_001],
        [101, -5],
        [102, 3_999_999]
      ] as const) {
        socket.send({ type: "query", id, query: "silent", credit: 2 })
        socket.send({ type: "credit", id, bytes })
        assert.match(((yield* errorOf(id)) as Error).message, /^(bytes|credit): .*maxStreamCredit/)
        socket.send({ type: "credit", id, bytes })
      }
      socket.send({ type: "cancel", id: 0 })
      yield* Poll.until("the other one is cancelled", () =>
        socket.records.some(({ id, type }) => id === 0 && type === "cancelled")
      )
      assert.isUndefined(socket.closed())
      assert.strictEqual(served.engine.begun(), served.engine.ended())
      assert.deepInclude(socket.records[0], {
        type: "limits",
        maxMessageSize: 2 ** 20,
        maxCredit: 4_000_000,
        maxQueries: 16
      })
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("tells the client what it may send, so that a query is refused alone", () =>
    Effect.gen(function* () {
      const served = yield* Served.make({ maxStreamCredit: 50_000, httpMaxBodySize: 10_000 })
      const connection = yield* connect(served)
      const other = connection.query({ query: "silent" })
      const refused = (request: Browser.QueryRequest, options?: object) =>
        Effect.promise(() =>
          connection
            .query(request, options)
            .text()
            .catch((error) => error)
        )
      for (const credit of [0, -1, 1.5, Number.NaN, "5", 50_001]) {
        const error = yield* refused({ query: "rows 1" }, { credit })
        assert.strictEqual(error.code, "bad_request")
        assert.match(error.message, /^credit: expected an integer from 1 to 50000, not /)
      }
      const long = "x".repeat(10_000)
      for (const request of [{ query: long }, { query: "rows 1", parameters: [long] }]) {
        const error = yield* refused(request)
        assert.strictEqual(error.code, "too_large")
        assert.match(error.message, /^(query|parameters): .*10000 bytes .*httpMaxBodySize/)
      }
      assert.lengthOf((yield* refused({ query: "rows 1" }, { credit: 50_000 })).split("\n"), 2)
      yield* Effect.promise(() => other.accepted)
      const wrong = Browser.connect(urlOf(served), { credit: 0 })
      assert.strictEqual(yield* rejection(wrong), "bad_request")
      assert.strictEqual(yield* rejection(Browser.connect("junk")), "bad_request")
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("closes for a client that gives no sign of life", () =>
    Effect.gen(function* () {
      const served = yield* Served.make({ streamHeartbeat: "50 millis" })
      const silent = yield* dial(served)
      yield* Poll.until("it is closed", () => silent.closed() !== undefined)
      assert.match(silent.closed()?.reason ?? "", /sign of life/)
      assert.isNotEmpty(silent.records.filter(({ type }) => type === "ping"))
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("tells of a cancel that came after the end of a query which may have written", () =>
    Effect.gen(function* () {
      const backend = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage((letter) => {
          if (letter === "R") send('A {"format":"application/x-ndjson","queryId":"1"}')
          if (letter === "C") send("F {}")
        })
      )
      const connection = yield* connect(yield* Served.make({ backends: { main: [backend.address] } }))
      const query = connection.query({ query: "INSERT" })
      yield* Effect.promise(() => query.accepted)
      void query.cancel()
      assert.strictEqual(yield* rejection(query.receipt), "unknown_outcome")
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.live("wants a token where HTTP does, and no page of another origin", () =>
    Effect.gen(function* () {
      const path = `${yield* Folder.make}/tokens.json`
      writeFileSync(
        path,
        JSON.stringify({
          tokens: [{ name: "a", token: "0123456789abcdef/+ü", formats: ["events", "csv", "ndjson"] }]
        })
      )
      const served = yield* Served.make({ httpTokens: path })
      // A wrong token is told from a gateway that is gone.
      const wrong = Browser.connect(urlOf(served), { token: "wrong" })
      assert.strictEqual(yield* rejection(wrong), "unauthenticated")
      const gone = Browser.connect("ws://127.0.0.1:1/v1/stream", { token: "wrong" })
      assert.strictEqual(yield* rejection(gone), "connection_lost")
      const connection = yield* connect(served, { token: "0123456789abcdef/+ü" })
      assert.match(yield* Effect.promise(() => connection.query({ query: "rows 1" }).text()), /"n":0/)
      // Of a format that it does not name it has the first one that WebSockets have too.
      const unnamed = { query: "rows 1" }
      Object.assign(unnamed, { format: undefined })
      const { format } = yield* Effect.promise(() => connection.query(unnamed).accepted)
      assert.strictEqual(format, "text/csv")
      const refused = yield* Served.curl(
        ...[
          "-i",
          "-H",
          "Connection: Upgrade",
          "-H",
          "Upgrade: websocket",
          "-H",
          "Origin: https://evil.example"
        ],
        ...["-H", "Sec-WebSocket-Protocol: dataconn.v1", `${served.url}/v1/stream`]
      )
      assert.match(refused.stdout, /^HTTP\/1.1 403 [\s\S]*forbidden/)
    }).pipe(Effect.provide(Logger.layer([])))
  )
})

/** A socket without a gateway. */
const fakeSocket = () => {
  const sent: Array<unknown> = []
  const listeners = new Map<string, (event: object) => void>()
  return {
    sent,
    deliver: (data: string | Buffer) =>
      listeners.get("message")?.({ data: typeof data === "string" ? data : new Uint8Array(data).buffer }),
    socket: {
      addEventListener: (type: string, listener: (event: object) => void) => listeners.set(type, listener),
      close: () => {},
      send: (data: unknown) => sent.push(data)
    }
  }
}

describe("the client for browsers", () => {
  it.each<[parameters: unknown, message: string]>([
    [[1, Number.NaN], "parameters.2: NaN has no form in JSON"],
    [{ a: [undefined] }, "parameters.a[0]: undefined has no form in JSON"],
    [new Map([["a", 1]]), "parameters: a Map has no form in JSON"],
    [[new Date(0)], "parameters.1: a Date has no form in JSON"],
    [{ n: 5n }, "parameters.n: a bigint has no form in JSON"],
    [new Array(1), "parameters.1: undefined has no form in JSON"]
  ])("sends nothing that JSON would change", async (parameters, message) => {
    const { sent, socket } = fakeSocket()
    const connection = new Browser.Connection(socket as never, 1000)
    const refused = connection.query({ query: "SELECT ?", parameters: parameters as never })
    const error = await refused.accepted.catch((error: Browser.QueryError) => error)
    assert.deepInclude(error, { code: "bad_request", message })
    assert.isEmpty(sent)
    const whole = { a: [null, "x", 1.5, true], b: { c: [] } }
    void connection.query({ query: "SELECT $a, $b", parameters: whole })
    assert.deepInclude(JSON.parse(String(sent[0])), { parameters: whole })
  })

  it.each<[what: string, chunks: ReadonlyArray<string | Uint8Array>, seen: string]>([
    ["a last line without a break", ['{"a":1}\n{"a"', ":2}"], "1 2 end"],
    ["the form of other systems", ['\ufeff{"a":1}\r', '\n\r\n\n {"a":2} \r\n\n'], "1 2 end"],
    ["nothing", [], "end"],
    ["no rows at all", ["ab"], "internal"],
    ["a half of a row", ['{"a":1}\n{"a":'], "1 internal"],
    ["a row that is none", ['{"a":1}\nab\n{"a":2}\n'], "1 internal"],
    ["a half of a character", ['{"a":1}\n"', Uint8Array.of(0xc3)], "1 internal"],
    ["a half of a row that a failure cut", ['{"a":1}\n{"a":2', "timeout"], "1 timeout"]
  ])("gives rows, and an error for what is none: %s", async (_, chunks, seen) => {
    const { deliver, socket } = fakeSocket()
    const query = new Browser.Connection(socket as never, 1000).query({ query: "" })
    const told = (message: object) => deliver(JSON.stringify({ id: 1, ...message }))
    told({ type: "accepted", format: "application/x-ndjson" })
    for (const chunk of chunks) {
      if (chunk === "timeout") told({ type: "error", error: { code: chunk, message: chunk } })
      else deliver(Buffer.concat([Uint8Array.of(1, 0, 0, 0), Buffer.from(chunk)]))
    }
    told({ type: "end", receipt: {} })
    const rows: Array<unknown> = []
    const end = await (async () => {
      for await (const { a } of query.rows<{ a: number }>()) rows.push(a)
      return "end"
    })().catch((error: Browser.QueryError) => error.code)
    assert.strictEqual([...rows, end].join(" "), seen)
  })

  it("imports nothing of others, and is small", () => {
    const folder = new URL("../../src/browser/", import.meta.url)
    const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), "utf8"))
    const code = sources
      .map((source) => stripTypeScriptTypes(source).replace(/^\s+|\/\*[\s\S]*?\*\//gm, ""))
      .join("\n")
    assert.notMatch(code, /from "[^.]|\bimport\(|\brequire\(|\bprocess\.|\bBuffer\b/)
    assert.isBelow(gzipSync(code).length, 10 * 1024)
  })
})
