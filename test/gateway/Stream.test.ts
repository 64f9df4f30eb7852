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
          ["{", /JSON/],
          ['{"type":"pong","type":"cancel","id":1}', /"type" occurs twice/],
          [new Uint8Array(3), /binary/],
          [{ type: "nonsense" }, /query, credit/],
          [{ type: "query", id: -1, query: "rows 1" }, /query, credit/],
          [{ type: "query", id: 1, query: "rows 1", credit: 5_000_000 }, /credit/]
        ] as const
        for (const [message, reason] of wrong) {
          const socket = yield* dial(served)
          socket.send(message)
          yield* Poll.until("it is closed", () => socket.closed() !== undefined)
          assert.strictEqual(socket.closed()?.code, 1008)
          assert.match(socket.closed()?.reason ?? "", reason)
        }
        const twice = yield* dial(served)
        for (const id of [1, 1]) twice.send({ type: "query", id, query: "silent" })
        yield* Poll.until("it is closed", () => twice.closed() !== undefined)
        assert.isDefined((yield* dial(served, ["other"])).closed())
        assert.strictEqual((yield* Served.fetched(`${served.url}/v1/stream`)).status, 426)
      })
    )
  })

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

describe("the client for browsers", () => {
  it.each<[parameters: unknown, message: string]>([
    [[1, Number.NaN], "parameters.2: NaN has no SQL value"],
    [{ a: [undefined] }, "parameters.a[0]: undefined has no form in JSON"],
    [new Map([["a", 1]]), "parameters: a Map has no form in JSON"],
    [[new Date(0)], "parameters.1: a Date has no form in JSON"],
    [{ n: 5n }, "parameters.n: a bigint has no form in JSON"],
    [new Array(1), "parameters.1: undefined has no form in JSON"]
  ])("sends nothing that JSON would change", async (parameters, message) => {
    const sent: Array<unknown> = []
    const socket = { addEventListener: () => {}, close: () => {}, send: (data: unknown) => sent.push(data) }
    const connection = new Browser.Connection(socket as never, 1000)
    const refused = connection.query({ query: "SELECT ?", parameters: parameters as never })
    const error = await refused.accepted.catch((error: Browser.QueryError) => error)
    assert.deepInclude(error, { code: "bad_request", message })
    assert.isEmpty(sent)
    const whole = { a: [null, "x", 1.5, true], b: { c: [] } }
    void connection.query({ query: "SELECT $a, $b", parameters: whole })
    assert.deepInclude(JSON.parse(String(sent[0])), { parameters: whole })
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
