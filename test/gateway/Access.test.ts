/**
 * Who may use the gateway, from where, and how it stops.
 */
import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Browser from "../../src/browser/index.ts"
import { AddressQuota } from "../../src/gateway/AddressQuota.ts"
import * as Folder from "../support/Folder.ts"
import * as Poll from "../support/Poll.ts"
import * as Served from "./Served.ts"

const { curl, fetched, sql } = Served

const live = <E>(name: string, test: Effect.Effect<void, E, Scope.Scope>) =>
  it.live(name, () => Effect.provide(test, Logger.layer([])))

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const tls = (name: string) => fileURLToPath(new URL(`./tls/${name}.pem`, import.meta.url))

const file = Effect.fnUntraced(function* (contents: unknown) {
  const path = join(yield* Folder.make, "file.json")
  writeFileSync(path, typeof contents === "string" ? contents : JSON.stringify(contents))
  return path
})

const hash = (text: string) => createHash("sha256").update(text).digest("hex")

const [alice, bob, carol] = ["alice".repeat(4), "bob".repeat(8), "carol".repeat(5)] as const

const tokens = {
  tokens: [
    { name: "alice", token: alice, tenant: "acme", admin: true },
    {
      name: "bob",
      sha256: hash(bob),
      targets: ["main"],
      formats: ["csv"],
      maxConcurrentQueries: 1
    },
    { name: "carol", token: carol, readOnly: true, queriesPerMinute: 2 }
  ]
}

describe("a gateway with httpMaxQueriesPerAddress", () => {
  it("counts the queries of each address, and the network of an IPv6 one", () => {
    const quota = new AddressQuota(1)
    const admit = (client: string | undefined) => {
      const place = quota.admit(client)
      return typeof place === "function" ? place : place.code
    }
    for (const [first, second] of [
      ["10.0.0.1", "::ffff:10.0.0.1"],
      ["2001:db8::1", "2001:db8::2"],
      [undefined, undefined]
    ] as const) {
      const leave = admit(first)
      assert.strictEqual(admit(second), "overloaded")
      assert.isFunction(leave)
      if (typeof leave === "function") leave()
      assert.isFunction(admit(second))
    }
    assert.isFunction(admit("10.0.0.2"))
  })

  live(
    "refuses what is beyond, and takes it when another query has ended",
    Effect.gen(function* () {
      const { engine, url } = yield* Served.make({ httpMaxQueriesPerAddress: 1 })
      const ask = (query: string) => fetched(`${url}/v1/query`, sql(query))
      const first = yield* Effect.forkScoped(ask("silent"))
      yield* Poll.until("the first query runs", () => engine.begun() === 1)
      const refused = (yield* ask("rows 1")).json()
      assert.deepInclude(refused, { status: 503, code: "overloaded" })
      assert.include(refused["detail"], "httpMaxQueriesPerAddress")
      yield* Fiber.interrupt(first)
      const isFree = Effect.map(ask("rows 1"), ({ status }) => status === 200)
      yield* Poll.untilEffect(() => "its place is free", isFree)
    })
  )
})

describe("a gateway with tokens", () => {
  live(
    "answers those who have one, and what it permits",
    Effect.gen(function* () {
      const { engine, url } = yield* Served.make({ httpTokens: yield* file(tokens) })
      const ask = (token: string | undefined, query: string, search = "") =>
        fetched(`${url}/v1/query${search}`, sql(query, token === undefined ? {} : bearer(token)))
      const nobody = yield* ask(undefined, "rows 1")
      assert.deepInclude(nobody.json(), { status: 401, code: "unauthenticated" })
      assert.match(nobody.headers.get("www-authenticate") ?? "", /^Bearer/)
      assert.strictEqual((yield* ask("x".repeat(20), "rows 1")).status, 401)
      for (const path of ["catalog", "targets", "queries", "queries/x"]) {
        assert.strictEqual((yield* fetched(`${url}/v1/${path}`)).status, 401)
      }
      assert.strictEqual(engine.begun(), 0)
      assert.strictEqual((yield* ask(alice, "rows 1", "?queryId=hers")).status, 200)
      // The back-end is told who asks.
      assert.deepStrictEqual(engine.requests.at(-1)?.["metadata"], {
        "gateway.client": "127.0.0.1",
        "gateway.token": "alice",
        "gateway.tenant": "acme"
      })
      assert.deepInclude((yield* ask(bob, "rows 1", "?format=json")).json(), {
        status: 403,
        code: "forbidden"
      })
      assert.strictEqual((yield* ask(bob, "rows 1", "?format=csv")).status, 200)
      // Of a format that it does not name it has one that it may have.
      assert.strictEqual((yield* ask(bob, "rows 1")).headers.get("content-type"), "text/csv")
      const catalog = yield* fetched(`${url}/v1/catalog`, { headers: bearer(bob) })
      assert.notInclude(catalog.text, "forbidden")
      assert.deepInclude((yield* ask(bob, "rows 1", "?format=csv&target=other")).json(), { status: 404 })
      // Others' queries are nobody's business, but an admin's.
      assert.strictEqual((yield* fetched(`${url}/v1/queries/hers`, { headers: bearer(bob) })).status, 404)
      const all = (yield* fetched(`${url}/v1/queries`, { headers: bearer(alice) })).json()["queries"]
      assert.strictEqual((all as ReadonlyArray<unknown>).length, 3)
      assert.strictEqual((yield* fetched(`${url}/metrics`, { headers: bearer(bob) })).status, 403)
      // The engine does not say that it keeps to it.
      assert.deepInclude((yield* ask(carol, "rows 1")).json(), { status: 403 })
      assert.deepInclude((yield* ask(carol, "DELETE FROM a")).json(), { status: 403, code: "not_allowed" })
      const limited = yield* ask(carol, "rows 1").pipe(Effect.andThen(ask(carol, "rows 1")))
      assert.deepInclude(limited.json(), { status: 429, code: "quota_exceeded" })
      assert.isAtLeast(Number(limited.headers.get("retry-after")), 1)

      const first = yield* Effect.forkChild(Effect.exit(ask(bob, "silent", "?format=csv")))
      yield* Poll.until("it runs", () => engine.begun() > engine.ended())
      assert.strictEqual((yield* ask(bob, "rows 1", "?format=csv")).status, 429)
      yield* Fiber.interrupt(first)
      yield* Effect.repeat(ask(bob, "rows 1", "?format=csv"), { until: ({ status }) => status === 200 })
    })
  )

  live(
    "takes them from code too, and asks a function again when it reloads",
    Effect.gen(function* () {
      let token: unknown = alice
      const { gateway, url } = yield* Served.make({
        backends: { main: ["127.0.0.1:1"], eu: ["127.0.0.1:1"] },
        httpTokens: () => ({ tokens: [{ name: "alice", token: token as string }] }),
        httpRules: { rules: [{ token: "alice", backend: "eu" }] }
      })
      const ask = (token: string) =>
        Effect.map(fetched(`${url}/v1/query`, sql("rows 1", bearer(token))), ({ json }) => json()["code"])
      assert.strictEqual(yield* ask(alice), "backend_unavailable")
      const { text } = yield* fetched(`${url}/v1/queries`, { headers: bearer(alice) })
      assert.match(text, /"backend":"eu"/)
      token = "short"
      assert.match((yield* Effect.flip(gateway.reload)).message, /^httpTokens: tokens\.0\.token/)
      assert.strictEqual(yield* ask(alice), "backend_unavailable")
      const stream = yield* Effect.promise(() =>
        Browser.connect(`${url.replace("http", "ws")}/v1/stream`, { token: alice })
      )
      token = bob
      yield* gateway.reload
      const revoked = stream.query({ query: "rows 1" }).text()
      const code = yield* Effect.promise(() => revoked.catch((error: Browser.QueryError) => error.code))
      assert.strictEqual(code, "unauthenticated")
      assert.deepStrictEqual([yield* ask(alice), yield* ask(bob)], ["unauthenticated", "backend_unavailable"])
      const wrong = Served.make({
        httpTokens: { tokens: [{ name: "a", token: alice, readonly: true } as never] }
      })
      assert.match((yield* Effect.flip(wrong)).message, /^httpTokens: .*did you mean readOnly\?/)
      const thrown = () => {
        throw new Error("no store")
      }
      assert.strictEqual(
        (yield* Effect.flip(Served.make({ httpTokens: thrown }))).message,
        "httpTokens: no store"
      )
    })
  )

  live(
    "does not start with a file that makes no sense, and says what is wrong in it",
    Effect.gen(function* () {
      const wrong = [
        ["{", /JSON/],
        [{ tokens: [] }, /tokens: expected at least one token/],
        ['{"tokens":[{"name":"a","name":"b"}]}', /name occurs twice/],
        [{ tokens: [{ name: "a" }] }, /a: expected token or sha256/],
        [{ tokens: [{ name: "a", token: "short" }] }, /tokens\.0\.token/],
        [{ tokens: [{ name: "a", token: `${alice} ` }] }, /tokens\.0\.token: expected no spaces/],
        [{ tokens: [{ name: "a", sha256: hash("") }] }, /a: sha256 is the hash of an empty text/],
        [{ tokens: [{ name: "a", sha256: hash("\n") }] }, /a: sha256 is the hash of an empty text/],
        [{ tokens: [{ name: "a".repeat(2000), token: alice }] }, /tokens\.0\.name/],
        [
          { tokens: [{ name: "a", token: alice, readonly: true }] },
          /readonly: there is .*did you mean readOnly\?/
        ]
      ] as const
      for (const [contents, problem] of wrong) {
        const error = yield* Effect.flip(Served.make({ httpTokens: yield* file(contents) }))
        assert.match(error.message, /^httpTokens /)
        assert.match(error.message, problem)
      }
      const error = yield* Effect.flip(
        Served.make({ httpRules: yield* file({ rules: [{ backend: "none" }] }) })
      )
      assert.match(error.message, /^httpRules .*none/)
      const hidden = yield* file({
        rules: [
          { backend: "main", header: {} },
          { target: "a", backend: "main" }
        ]
      })
      const { message } = yield* Effect.flip(Served.make({ httpRules: hidden }))
      assert.match(message, /^httpRules .*rules\.0: it has no condition/)
      assert.match(
        (yield* Effect.flip(Served.make({ httpKey: "x" }))).message,
        /^httpKey x: TLS needs httpCert/
      )
    })
  )
})

describe("a gateway", () => {
  live(
    "speaks TLS with a certificate",
    Effect.gen(function* () {
      const { url } = yield* Served.make({ httpCertificate: tls("certificate"), httpKey: tls("key") })
      const at = `${url.replace("http:", "https:")}/v1/query?query=rows%203&format=csv`
      const got = yield* curl("--cacert", tls("certificate"), at)
      assert.strictEqual(got.code, 0, got.stderr)
      assert.strictEqual(got.stdout.split("\r\n").length, 5)
      const broken = yield* curl("--cacert", tls("certificate"), at.replace("rows%203", "fail%20100000"))
      assert.include([18, 56], broken.code)
      // A page of the same name without TLS is another one's.
      const page = ["-o", "/dev/null", "-w", "%{http_code}", "-H", `Origin: ${url}`]
      assert.strictEqual((yield* curl("--cacert", tls("certificate"), ...page, at)).stdout, "403")
    })
  )

  live(
    "lets in pages of the origins that it was told, and no name that is not its own",
    Effect.gen(function* () {
      const page = { origin: "https://page.example" }
      const closed = yield* Served.make()
      const preflight = { method: "OPTIONS", headers: { ...page, "access-control-request-method": "POST" } }
      const without = yield* fetched(`${closed.url}/v1/query`, preflight)
      assert.isNull(without.headers.get("access-control-allow-origin"))
      const open = yield* Served.make({ httpOrigins: "https://other.example, https://page.example/" })
      const allowed = yield* fetched(`${open.url}/v1/query`, preflight)
      assert.strictEqual(allowed.headers.get("access-control-allow-origin"), page.origin)
      const answer = yield* fetched(`${open.url}/v1/query`, sql("rows 1", page))
      assert.strictEqual(answer.headers.get("access-control-allow-origin"), page.origin)
      assert.match(answer.headers.get("access-control-expose-headers") ?? "", /x-dataconn-query-id/)
      // Without its leave a browser runs nothing.
      const { engine } = closed
      const read = `${closed.url}/v1/query?query=rows%201`
      for (const refused of [
        yield* fetched(`${closed.url}/v1/query`, sql("rows 1", page)),
        yield* fetched(read, { headers: page }),
        yield* fetched(read, { headers: { "sec-fetch-site": "cross-site" } }),
        yield* fetched(read.replace("/v1/", "/%561/"), { headers: { "sec-fetch-site": "cross-site" } })
      ]) {
        assert.deepInclude(refused.json(), { status: 403, code: "forbidden" })
      }
      assert.strictEqual(engine.begun(), 0)
      const at = `${closed.url}/v1/targets`
      assert.match((yield* curl("-H", "Host: evil.example", at)).stdout, /misdirected_request.*/)
      assert.match((yield* curl("-H", "Host: localhost:99", at)).stdout, /targets/)
      const named = yield* Served.make({ httpHosts: "gw.example" })
      assert.match((yield* curl("-H", "Host: gw.example:80", `${named.url}/v1/targets`)).stdout, /targets/)
    })
  )

  live(
    "lets pages send the headers that its rules look at",
    Effect.gen(function* () {
      const rules = yield* file({ rules: [{ header: { "X-Region": "eu" }, backend: "main" }] })
      const { url } = yield* Served.make({ httpRules: rules, httpOrigins: "https://page.example" })
      const { headers } = yield* fetched(`${url}/v1/query`, { method: "OPTIONS" })
      assert.match(headers.get("access-control-allow-headers") ?? "", /\bx-region\b/)
    })
  )

  live(
    "counts what it does",
    Effect.gen(function* () {
      const { url } = yield* Served.make()
      yield* fetched(`${url}/v1/query`, sql("rows 10"))
      yield* fetched(`${url}/v1/query`, sql("reject not_found"))
      yield* fetched(`${url}/v1/query?typo=1`, sql("rows 10"))
      const { headers, text } = yield* fetched(`${url}/metrics`)
      assert.match(headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/)
      assert.match(text, /^dataconn_gateway_queries_total\{target="main",state="complete"\} [1-9]/m)
      assert.match(text, /^dataconn_gateway_queries_total\{target="main",state="failed"\} [1-9]/m)
      assert.match(text, /^dataconn_gateway_refused_total\{code="bad_request"\} [1-9]/m)
      assert.match(text, /^dataconn_gateway_backend_up\{backend="main",address="127.0.0.1:\d+"\} 1$/m)
    })
  )

  live(
    "that stops lets running queries finish, takes no other, and ends the rest, which are told so if they can be",
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { engine, gateway, url } = yield* Scope.provide(
        Served.make({ httpDrainTimeout: "1 hour" }),
        scope
      )
      assert.strictEqual((yield* fetched(`${url}/readyz`)).status, 200)
      const before = engine.begun()
      const endless = yield* Effect.forkChild(Effect.exit(fetched(`${url}/v1/query`, sql("endless"))))
      yield* Poll.until("it runs", () => engine.made() > 0)
      const stuck = yield* Effect.forkChild(fetched(`${url}/v1/query`, sql("stuck")))
      const silent = yield* Effect.forkChild(fetched(`${url}/v1/query?format=events`, sql("silent")))
      yield* Poll.until("they run", () => engine.begun() === before + 3)
      const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.repeat(fetched(`${url}/readyz`), { until: ({ status }) => status === 503 })
      assert.strictEqual((yield* fetched(`${url}/healthz`)).status, 200)
      assert.deepInclude((yield* fetched(`${url}/v1/query`, sql("rows 1"))).json(), {
        status: 503,
        code: "shutting_down"
      })
      yield* gateway.stopNow
      assert.isTrue(Exit.isFailure(yield* Fiber.join(endless)))
      const problem = { code: "shutting_down", retryable: true }
      assert.deepInclude((yield* Fiber.join(stuck)).json(), { status: 503, ...problem })
      const last = (yield* Fiber.join(silent)).text.trimEnd().split("\n").at(-1) ?? ""
      assert.deepInclude(JSON.parse(last).error, problem)
      yield* Fiber.join(stopping)
      assert.strictEqual(engine.begun(), engine.ended())
    })
  )

  live(
    "leaves nothing behind of 200 requests that were given up",
    Effect.gen(function* () {
      const served = yield* Served.make({ backendConnections: 8, backendQueue: 300 })
      const { engine, gateway } = served
      const queries = ["silent", "endless", "stuck", "rows 5000"]
      const searches = ["", "?format=events", "?format=csv&wait=end"]
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, n) => n),
        (n) =>
          Effect.scoped(
            Effect.andThen(
              Served.dial(served, Served.post(queries[n % 4] ?? "", searches[n % 3])),
              Effect.sleep(n % 7)
            )
          ),
        { concurrency: 20, discard: true }
      )
      yield* Effect.repeat(gateway.queries, { until: (count) => count === 0 })
      yield* Poll.until("all have ended", () => engine.begun() === engine.ended())
      assert.strictEqual((yield* fetched(`${served.url}/v1/query`, sql("rows 3"))).status, 200)
      // The end of an answer comes before that of its query's place.
      yield* Poll.untilEffect(
        () => "no query is in flight",
        Effect.map(fetched(`${served.url}/v1/targets`), ({ text }) => /"inFlight":0/.test(text)),
        5
      )
    })
  )
})
