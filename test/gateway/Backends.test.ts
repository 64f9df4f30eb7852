/**
 * Several back-ends with several addresses: choice, failure, drain, and conversations.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import type { ClientService } from "../../src/client/Client.ts"
import type { PoolService } from "../../src/client/ClientPool.ts"
import * as Backends from "../../src/gateway/Backends.ts"
import * as Conversations from "../../src/gateway/Conversations.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import type * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as GatewayError from "../../src/gateway/GatewayError.ts"
import * as Instance from "../../src/gateway/Instance.ts"
import * as Address from "../../src/net/Address.ts"
import * as MemoryTransport from "../../src/net/MemoryTransport.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as RowEngine from "./RowEngine.ts"
import * as Served from "./Served.ts"

const { fetched, sql } = Served

/** A server whose rows say its name. */
const server = Effect.fnUntraced(function* (name: string, listen = "127.0.0.1:0") {
  const engine = RowEngine.make(name)
  const live = yield* LiveServer.start(engine.engine, { listen: [listen], drainTimeout: "200 millis" })
  return { ...live, engine, text: Address.format(live.address) }
})

const start = Effect.fnUntraced(function* (options: GatewayConfig.Options) {
  const gateway = yield* Gateway.make({ http: ["127.0.0.1:0"], probeInterval: "50 millis", ...options })
  const url = Served.urlOf(gateway.addresses[0] as Address.Address)
  /** The name of the server that answers, or the code of the error. */
  const who = (search: string, headers: Record<string, string> = {}, query = "echo") =>
    Effect.map(fetched(`${url}/v1/query?${search}&format=ndjson`, sql(query, headers)), ({ json }) => {
      const answer = json()
      return String(answer["name"] ?? answer["code"])
    })
  const states = Effect.map(fetched(`${url}/v1/targets`), ({ json }) =>
    (json()["targets"] as ReadonlyArray<{ addresses: ReadonlyArray<{ state: string }> }>).map(
      ({ addresses }) => addresses.map(({ state }) => state)
    )
  )
  return { gateway, url, who, states }
})

const quiet = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, Logger.layer([]))

const live = <E>(name: string, test: Effect.Effect<void, E, import("effect/Scope").Scope>) =>
  it.live(name, () => quiet(test))

describe("a back-end in the same process", () => {
  it.effect("may be silent for as long as it likes", () =>
    Effect.gen(function* () {
      const [connect] = MemoryTransport.pair()
      const backends = yield* Backends.make({
        backends: { main: [{ name: "internal", connect }] },
        pool: { heartbeatTolerance: "15 seconds" },
        ejectAfter: 3,
        probeInterval: Duration.seconds(5)
      })
      const instances = backends.get("main")?.instances ?? []
      const asking = backends.request(instances, { body: new Uint8Array(1), receipt: false })
      const fiber = yield* Effect.forkChild(Effect.scoped(asking))
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(fiber.pollUnsafe())
    })
  )
})

describe("a gateway with several back-ends", () => {
  live(
    "sends a query where its target or a rule says, and tells the back-end in its id",
    Effect.gen(function* () {
      const [one, two] = [yield* server("one"), yield* server("two")]
      const rules = join(yield* Folder.make, "rules.json")
      writeFileSync(
        rules,
        JSON.stringify({
          rules: [
            { target: "research", backend: "b" },
            { header: { "x-region": "eu" }, backend: "b" },
            { table: "eu_*", backend: "b" }
          ]
        })
      )
      const { url, who } = yield* start({
        backends: { a: [one.text], b: [two.text], gone: ["127.0.0.1:1"] },
        httpRules: rules
      })
      assert.strictEqual(yield* who(""), "one")
      assert.strictEqual(yield* who("target=a"), "one")
      assert.strictEqual(yield* who("target=b"), "two")
      assert.strictEqual(yield* who("target=research"), "two")
      assert.strictEqual(yield* who("target=c"), "unknown_target")
      assert.strictEqual(yield* who("", { "x-region": "eu" }), "two")
      assert.strictEqual(yield* who("", {}, "echo FROM eu_trades"), "two")
      const answer = yield* fetched(`${url}/v1/query?target=research`, sql("echo"))
      const id = answer.headers.get("x-dataconn-query-id")
      assert.match(String(id), /^b\./)
      const verdict = (yield* fetched(`${url}/v1/queries/${id}`)).json()
      assert.deepInclude(verdict, { target: "research", backend: "b", address: two.text })
      // One that was rejected, or could not be sent, has been somewhere too.
      yield* fetched(`${url}/v1/query?target=b&queryId=rejected`, sql("reject not_found"))
      yield* fetched(`${url}/v1/query?target=gone&queryId=unsent`, sql("echo"))
      for (const [id, place] of [
        ["rejected", { backend: "b", address: two.text }],
        ["unsent", { backend: "gone", address: "127.0.0.1:1" }]
      ] as const) {
        assert.deepInclude((yield* fetched(`${url}/v1/queries/${id}`)).json(), { state: "failed", ...place })
      }
    })
  )

  live(
    "sends each query to the least busy address",
    Effect.gen(function* () {
      const [one, two] = [yield* server("one"), yield* server("two")]
      const { gateway, url, who } = yield* start({ backends: { main: [one.text, two.text] } })
      assert.strictEqual(yield* who(""), "one")
      const busy = yield* Effect.forkChild(Effect.exit(fetched(`${url}/v1/query`, sql("silent"))))
      yield* Poll.until("the first one is busy", () => one.engine.begun() > one.engine.ended())
      assert.strictEqual(yield* who(""), "two")
      yield* Fiber.interrupt(busy)
      yield* Effect.repeat(gateway.queries, { until: (count) => count === 0 })
      assert.strictEqual(yield* who(""), "one")
    })
  )

  live(
    "goes to another address where nothing was run, leaves one that fails, and comes back to it",
    Effect.gen(function* () {
      const [one, two] = [yield* server("one"), yield* server("two")]
      const { states, who } = yield* start({ backends: { main: [one.text, two.text] }, ejectAfter: 2 })
      assert.strictEqual(yield* who(""), "one")
      yield* one.stop
      assert.strictEqual(yield* who(""), "two")
      assert.strictEqual(yield* who(""), "two")
      assert.deepStrictEqual(yield* states, [["ejected", "up"]])
      yield* two.stop
      assert.strictEqual(yield* who(""), "backend_unavailable")
      yield* server("again", one.text)
      yield* Effect.repeat(states, { until: ([main]) => main?.[0] === "up" })
      assert.strictEqual(yield* who(""), "again")
    })
  )

  live(
    "does not send a query again that may have run",
    Effect.gen(function* () {
      const [one, two] = [yield* server("one"), yield* server("two")]
      const { url } = yield* start({ backends: { main: [one.text, two.text] } })
      const running = yield* Effect.forkChild(fetched(`${url}/v1/query?wait=end`, sql("endless")))
      yield* Poll.until("it runs", () => one.engine.made() > 0)
      yield* Effect.forkChild(one.stop)
      const lost = yield* Effect.exit(Fiber.join(running))
      assert.isTrue(Exit.isFailure(lost) || (Exit.isSuccess(lost) && lost.value.status >= 500))
      assert.strictEqual(two.engine.begun(), 0)
    })
  )

  live(
    "leaves an address at once that says that it stops",
    Effect.gen(function* () {
      const two = yield* server("two")
      const refusing = RowEngine.make("one")
      const one = yield* LiveServer.start(
        {
          init: (body) =>
            String(Buffer.from(body)).includes("echo")
              ? refusing.engine.init(
                  Buffer.from(String(Buffer.from(body)).replace("echo", "reject shutting_down"))
                )
              : Effect.never
        },
        {}
      )
      const { states, who } = yield* start({
        backends: { main: [Address.format(one.address), two.text] },
        ejectAfter: 100
      })
      assert.strictEqual(yield* who(""), "two")
      assert.deepStrictEqual(yield* states, [["draining", "up"]])
    })
  )

  live(
    "keeps a conversation at the address of its first query, and sends it nowhere else if that is gone",
    Effect.gen(function* () {
      const [one, two, three] = [yield* server("one"), yield* server("two"), yield* server("three")]
      const rules = join(yield* Folder.make, "rules.json")
      writeFileSync(rules, JSON.stringify({ rules: [{ header: { "x-region": "eu" }, backend: "b" }] }))
      const { gateway, url, who } = yield* start({
        backends: { a: [one.text, two.text], b: [three.text] },
        httpRules: rules,
        ejectAfter: 1,
        conversationTimeout: "1 hour"
      })
      assert.strictEqual(yield* who("conversation=c&target=a"), "one")
      const busy = yield* Effect.forkChild(Effect.exit(fetched(`${url}/v1/query?target=a`, sql("silent"))))
      yield* Poll.until("the first one is busy", () => one.engine.begun() > one.engine.ended())
      assert.strictEqual(yield* who("target=a"), "two")
      // The least busy address would be another one, and the rules another back-end.
      assert.strictEqual(yield* who("conversation=c&target=a"), "one")
      assert.strictEqual(yield* who("conversation=c&target=a", { "x-region": "eu" }), "one")
      // Each target has names of its own.
      assert.strictEqual(yield* who("conversation=c&target=b"), "three")
      assert.strictEqual(yield* who("conversation=d&target=a"), "two")
      yield* Fiber.interrupt(busy)
      yield* Effect.repeat(gateway.queries, { until: (count) => count === 0 })
      yield* one.stop
      assert.strictEqual(yield* who("conversation=c&target=a"), "conversation_lost")
      assert.strictEqual(yield* who("conversation=c&target=a"), "conversation_lost")
      assert.strictEqual(yield* who("conversation=e&target=a"), "two")
      assert.strictEqual(yield* gateway.queries, 0)
    })
  )

  it("forgets conversations that are idle, and has room for no more than it may", () => {
    const conversations = new Conversations.Conversations({ timeoutNanos: 100n, maxConversations: 2 })
    const instance = new Instance.Instance({
      backend: "main",
      index: 0,
      address: "one",
      client: {} as PoolService,
      prober: {} as ClientService
    })
    const begin = (key: string, now: bigint) => {
      const begun = conversations.begin(key, instance, now)
      if (begun instanceof GatewayError.GatewayError) return begun.code
      const leave = conversations.use(key, begun)
      conversations.bind(key, begun, instance)
      return leave
    }
    const first = begin("a", 0n)
    const second = begin("b", 10n)
    assert.strictEqual(begin("c", 20n), "overloaded")
    assert.isFunction(first)
    if (typeof first !== "function" || typeof second !== "function") return
    second(30n)
    // The first one has a query that runs, however long that takes.
    assert.isDefined(conversations.get("a", 1000n))
    assert.isDefined(conversations.get("b", 129n))
    assert.isUndefined(conversations.get("b", 130n))
    first(200n)
    assert.isDefined(conversations.get("a", 299n))
    assert.isFunction(begin("c", 299n))
    assert.isUndefined(conversations.get("a", 300n))
    // A query that was never accepted leaves nothing behind.
    const unbound = conversations.begin("d", instance, 300n)
    assert.notInstanceOf(unbound, GatewayError.GatewayError)
    conversations.use("d", unbound as Conversations.Conversation)(310n)
    assert.isUndefined(conversations.get("d", 310n))
  })
})

live(
  "a back-end's lack of JSON is explained to clients that asked for no format, and by the catalog",
  Effect.gen(function* () {
    const { address } = yield* LiveServer.start(RowEngine.make("csv", ["text/csv"]).engine)
    const { url } = yield* start({ backends: { main: [Address.format(address)] } })
    const detail = (search: string, accept = "*/*") =>
      Effect.map(
        fetched(`${url}/v1/query?${search}`, sql("rows 1", { accept })),
        ({ json }) => json()["detail"]
      )
    const said = "is not supported; use one of text/csv"
    assert.strictEqual(
      yield* detail(""),
      "No format was asked for, so the gateway chose application/json (format or Accept asks for another one). " +
        `The back-end says: format: "application/json" ${said}`
    )
    assert.strictEqual(
      yield* detail("format=events"),
      `format=events is made of NDJSON. The back-end says: format: "application/x-ndjson" ${said}`
    )
    for (const named of [detail("format=json"), detail("", "application/json")]) {
      assert.strictEqual(yield* named, `format: "application/json" ${said}`)
    }
    const { targets } = (yield* fetched(`${url}/v1/catalog`)).json() as {
      targets: ReadonlyArray<{ error: Error }>
    }
    assert.match(targets[0]?.error.message ?? "", /^The catalog needs JSON\. The back-end says: .*text\/csv$/)
  })
)
