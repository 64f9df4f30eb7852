/**
 * What the gateway answers where Node's HTTP server finds no request, or none for the application.
 */
import { once } from "node:events"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as HttpListener from "../../src/gateway/HttpListener.ts"
import * as RequestHead from "../../src/gateway/RequestHead.ts"
import * as Poll from "../support/Poll.ts"
import * as Raw from "./Raw.ts"
import * as Served from "./Served.ts"

const { head, handshake } = Raw

const chunked = (body: string, ...lines: ReadonlyArray<string>): string =>
  head("POST /v1/query", "Content-Type: application/sql", "Transfer-Encoding: chunked", ...lines) + body

const good = Served.post("rows 1")
const last = good.replace("Host:", "Connection: close\r\nHost:")
const nobody = "Connection: close"

const live = (name: string, test: Effect.Effect<void, unknown, import("effect/Scope").Scope>) =>
  it.live(name, () => Effect.provide(test, Logger.layer([])))

describe("what is no request for the application", () => {
  layer(Served.layer(), { excludeTestServices: true })((it) => {
    it.effect.each<[what: string, request: string, status: number, code: string, detail: RegExp]>([
      ["a long URL", head(`GET /${"a".repeat(20_000)}`), 431, "head_too_large", /httpMaxHeaderSize/],
      ["a long head", head("GET /", `a: ${"a".repeat(20_000)}`), 431, "head_too_large", /16384 bytes/],
      ["an unknown method", head("BANANA /"), 400, "bad_request", /Invalid method/],
      ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request", /not HTTP\/2/],
      ["a wrong chunk", chunked("zz\r\n"), 400, "bad_request", /chunk size/],
      [
        "long extensions",
        chunked(`6;${"a".repeat(20_000)}\r\nrows 1\r\n0\r\n\r\n`),
        413,
        "too_large",
        /extensions/
      ],
      ["two lengths", chunked("0\r\n\r\n", "Content-Length: 6"), 400, "bad_request", /Content-Length/],
      ["no host", "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "bad_request", /^Host/],
      ["CONNECT", head("CONNECT a.example:443"), 501, "not_implemented", /no proxy/],
      ["an expectation", head("GET /healthz", "Expect: banana"), 417, "expectation_failed", /banana/],
      [
        "a coding of the body",
        chunked("6\r\nrows 1\r\n0\r\n\r\n").replace("chunked", "gzip, chunked"),
        501,
        "not_implemented",
        /^Transfer-Encoding/
      ],
      ["an old WebSocket", handshake({ version: "8" }), 426, "upgrade_required", /^Sec-WebSocket-Version/],
      ["a WebSocket without a key", handshake({ key: "x" }), 400, "bad_request", /^Sec-WebSocket-Key/],
      ["no subprotocol", handshake({ protocol: "v2" }), 400, "bad_request", /^Sec-WebSocket-Protocol/],
      [
        "a subprotocol twice",
        handshake({ protocol: "dataconn.v1,dataconn.v1" }),
        400,
        "bad_request",
        /^Sec-WebSocket-Protocol/
      ],
      ["a parameter", handshake({ path: "/v1/stream?x=1" }), 400, "bad_request", /^x: /]
    ])("is answered with a problem, and the connection closes: %s", ([_, request, status, code, detail]) =>
      Effect.gen(function* () {
        const [answer, ...others] = yield* Raw.asked(yield* Served.Service, request)
        assert.isEmpty(others)
        assert.strictEqual(answer?.status, status)
        const { headers, body } = answer as Raw.Response
        assert.strictEqual(headers["content-type"], "application/problem+json")
        assert.strictEqual(headers["connection"]?.toLowerCase(), "close")
        assert.isDefined(headers["date"])
        const problem = JSON.parse(body)
        assert.deepInclude(problem, { status, code })
        assert.match(problem.detail, detail)
      })
    )

    it.effect("does not take the answers from requests before it", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const statuses = (request: string) =>
          Effect.map(Raw.asked(served, request), (all) => all.map(({ status }) => status))
        for (let i = 0; i < 10; i++) {
          assert.deepStrictEqual(yield* statuses(`${good}${good}garbage\r\n\r\n`), [200, 200, 400])
        }
        assert.deepStrictEqual(yield* statuses(good + head("CONNECT a.example:443")), [200, 501])
        // The second request is answered in its turn, though a part of it is wrong.
        assert.deepStrictEqual(yield* statuses(good + chunked("zz\r\n")), [200, 400])
      })
    )

    it.effect("gives no second answer to a request that has had one before it was whole", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const socket = yield* Served.dial(served, chunked("").replace("/sql", "/none"))
        const came: Array<Buffer> = []
        socket.on("data", (part) => came.push(Buffer.from(part)))
        yield* Effect.promise(async () => {
          await once(socket.resume(), "data")
          socket.write("zz\r\n")
          await once(socket, "close")
        })
        assert.deepStrictEqual(
          Raw.responses(Buffer.concat(came).toString("latin1")).map(({ status }) => status),
          [415]
        )
      })
    )

    it.effect("is ignored behind the last request of a connection", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const before = served.engine.begun()
        for (let i = 1; i <= 10; i++) {
          const answers = yield* Raw.asked(served, last + good)
          assert.deepStrictEqual(
            answers.map(({ status }) => status),
            [200]
          )
          assert.strictEqual(served.engine.begun(), before + i)
        }
      })
    )

    it.effect("keeps no query of a client that leaves", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const { engine } = served
        for (const request of [
          `${Served.post("silent")}garbage\r\n\r\n`,
          last.replace("rows 1", "silent") + good
        ]) {
          const begun = engine.begun()
          const socket = yield* Served.dial(served, request)
          yield* Poll.until("it runs", () => engine.begun() === begun + 1)
          socket.end()
          yield* Poll.until("it has ended", () => engine.ended() === engine.begun())
        }
      })
    )

    it.effect("is no upgrade that the gateway does not make: the request is answered as the last one", () =>
      Effect.gen(function* () {
        const served = yield* Served.Service
        const upgrade = (protocol: string) =>
          good.replace("Host:", `Connection: Upgrade\r\nUpgrade: ${protocol}\r\nHost:`)
        for (const request of [upgrade("h2c"), upgrade("websocket"), upgrade("h2c") + good]) {
          const [answer, ...others] = yield* Raw.asked(served, request)
          assert.deepStrictEqual([answer?.status, others.length], [200, 0])
          assert.strictEqual(answer?.headers["connection"], "close")
        }
        const behind = yield* Raw.asked(served, good + handshake())
        assert.deepStrictEqual(
          behind.map(({ status }) => status),
          [200, 426]
        )
      })
    )

    it.effect("is OPTIONS of the gateway as a whole", () =>
      Effect.gen(function* () {
        const [answer] = yield* Raw.asked(yield* Served.Service, head("OPTIONS *", nobody))
        assert.strictEqual(answer?.status, 204)
        assert.strictEqual(answer?.headers["allow"], "GET, HEAD, POST, DELETE, OPTIONS")
      })
    )
  })
})

live(
  "a request that does not arrive in time is answered so, and is not run if its rest comes later",
  Effect.gen(function* () {
    const served = yield* Served.make({ httpRequestTimeout: "200 millis" })
    for (const request of [good.slice(0, -1), good.slice(0, 20), good + good.slice(0, -1)]) {
      const begun = served.engine.begun()
      const socket = yield* Served.dial(served, request)
      const came: Array<Buffer> = []
      socket.on("data", (part) => came.push(Buffer.from(part)))
      const answers = () => Raw.responses(Buffer.concat(came).toString("latin1"))
      socket.resume()
      yield* Effect.promise(async () => {
        while (answers().at(-1)?.status !== 408) await once(socket, "data")
        socket.write(good.slice(request.length % good.length))
        await once(socket, "close")
      })
      const expected = request.length > good.length ? [200, 408] : [408]
      assert.deepStrictEqual(
        answers().map(({ status }) => status),
        expected
      )
      assert.strictEqual(served.engine.begun(), begun + expected.length - 1)
      assert.deepInclude(JSON.parse(answers().at(-1)?.body ?? ""), {
        code: "request_timeout",
        retryable: true
      })
    }
  })
)

live(
  "a connection without a byte gets no answer and closes after httpIdleTimeout, which no query has to fear",
  Effect.gen(function* () {
    const served = yield* Served.make({ httpRequestTimeout: "1 millis", httpIdleTimeout: "120 millis" })
    const patient = yield* Served.make({ httpRequestTimeout: "101 millis", httpIdleTimeout: "100 millis" })
    const query = Served.post("silent", "?wait=end&timeoutMs=150").replace("Host:", `${nobody}\r\nHost:`)
    const [silent, asking, begun] = yield* Effect.all(
      [Raw.asked(served, ""), Raw.asked(served, query), Raw.asked(patient, "GET")],
      { concurrency: "unbounded" }
    )
    assert.deepStrictEqual(silent, [])
    assert.strictEqual(asking[0]?.status, 504)
    // A request that has begun is late, and not idle.
    assert.strictEqual(begun[0]?.status, 408)
  })
)

live(
  "a connection beyond httpMaxConnections is told so, and one beyond those is closed",
  Effect.gen(function* () {
    const served = yield* Served.make({ httpMaxConnections: 1 })
    const ask = head("GET /healthz")
    const first = yield* Served.dial(served, ask)
    yield* Effect.promise(() => once(first.resume(), "data"))
    const crowd: Array<import("node:net").Socket> = []
    for (let i = 0; i < 16; i++) crowd.push(yield* Served.dial(served, ""))
    assert.isEmpty(yield* Raw.asked(served, ""))
    const [turned] = crowd
    const answer = yield* Effect.promise(async () => {
      const data = once(turned as NonNullable<typeof turned>, "data")
      turned?.resume().write(ask)
      return Raw.responses(String((await data)[0]))[0]
    })
    assert.strictEqual(answer?.headers["connection"], "close")
    assert.deepInclude(JSON.parse(answer?.body ?? ""), { status: 503, code: "overloaded", retryable: true })
    yield* Poll.until("all are closed but the first", () => crowd.every((one) => one.resume().closed))
    assert.isFalse(first.closed)
  })
)

it("looks for requests that take too long often enough", () => {
  const intervals = [0, 1, 500, 3000, 30_000, 3_600_000].map(HttpListener.checkingInterval)
  assert.deepStrictEqual(intervals, [30_000, 100, 100, 300, 1000, 1000])
})

describe("a header that decides something", () => {
  it("is there once", () => {
    const twice = (name: string) => {
      const rawHeaders = ["Host", "a", name, "b", name.toLowerCase(), "c"]
      const names = rawHeaders.filter((_, index) => index % 2 === 0)
      const headers = Object.fromEntries(names.map((each) => [each.toLowerCase(), "b"]))
      return RequestHead.refusal({ httpVersion: "1.1", rawHeaders, headers }, (ruled) => ruled === "x-region")
        ?.message
    }
    for (const name of ["Authorization", "Content-Type", "Host", "Content-Encoding", "X-Region", "Referer"]) {
      assert.match(twice(name) ?? "", new RegExp(`^${name}: given more than once$`, "i"))
    }
    for (const name of ["Accept", "Cookie", "X-Other"]) assert.isUndefined(twice(name))
  })
})
