/**
 * Clients that read nothing: others are answered beside them, and are told what to expect where there is no room.
 */
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Browser from "../../src/browser/index.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as QueryEngine from "../../src/engine/QueryEngine.ts"
import * as Address from "../../src/net/Address.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as TcpPair from "../support/TcpPair.ts"
import * as Raw from "./Raw.ts"
import * as RowEngine from "./RowEngine.ts"
import * as Served from "./Served.ts"

const { fetched, sql } = Served

const live = <E>(name: string, test: Effect.Effect<void, E, import("effect/Scope").Scope>) =>
  it.live(name, () => Effect.provide(test, Logger.layer([])))

interface Verdict {
  readonly state: string
  readonly error?: { readonly code: string; readonly message: string; readonly retryable: boolean }
}

const verdicts = ({ url }: Served.Served, state: string) =>
  Effect.map(fetched(`${url}/v1/queries`), ({ json }) =>
    (json()["queries"] as ReadonlyArray<Verdict>).filter((verdict) => verdict.state === state)
  )

/** So many verdicts of one kind. A query's verdict comes after the end of what it ran. */
const settled = Effect.fnUntraced(function* (served: Served.Served, state: string, count: number) {
  let found: ReadonlyArray<Verdict> = []
  const look = Effect.map(verdicts(served, state), (all) => {
    found = all
    return all.length === count
  })
  yield* Poll.untilEffect(() => `${count} are ${state}: ${JSON.stringify(found)}`, look, 5)
  return found
})

const connected = (served: Served.Served) =>
  Effect.acquireRelease(
    Effect.promise(() => Browser.connect(`${served.url.replace("http", "ws")}/v1/stream`)),
    (connection) => Effect.sync(() => connection.close())
  )

/** Places for two queries at a time, here and in the server, and for two that are not read. */
const start = Served.make(
  { backendConnections: 2, backendQueue: 2, backendStallTimeout: "100 millis" },
  { maxConcurrentQueries: 2, maxQueuedQueries: 2, stallTimeout: "100 millis" }
)

describe("clients that read nothing", () => {
  live(
    "keep no other from an answer, over HTTP and WebSocket, however many they are",
    Effect.gen(function* () {
      const served = yield* start
      const asked = { query: "endless", credit: 0 }
      const stream = yield* connected(served)
      const first = stream.query(asked)
      yield* Effect.promise(() => first.accepted)
      for (let begun = 2; begun <= 6; begun++) {
        yield* Served.dial(served, Served.post("endless"))
        yield* Poll.until(`${begun} run`, () => served.engine.begun() === begun)
      }
      const { json, status } = yield* fetched(`${served.url}/v1/query`, sql("rows 1"))
      assert.strictEqual(status, 200)
      assert.lengthOf(json() as unknown as ReadonlyArray<unknown>, 1)
      assert.strictEqual((yield* fetched(`${served.url}/v1/catalog`)).status, 200)
      // Those that have not been read for longest have made room, and their verdicts say why.
      const failed = yield* verdicts(served, "failed")
      assert.isAtLeast(failed.length, 2)
      for (const { error } of failed) {
        assert.deepInclude(error, { code: "overloaded", retryable: true })
        assert.match(error?.message ?? "", /read nothing/)
      }
      assert.isAtLeast((yield* verdicts(served, "running")).length, 2)
    })
  )

  live(
    "are told by the verdict that they were given up, over HTTP and WebSocket",
    Effect.gen(function* () {
      const served = yield* Served.make({ httpStallTimeout: "100 millis" })
      for (const [index, search] of ["?format=csv", "?format=events"].entries()) {
        yield* Served.dial(served, Served.post("endless", search))
        yield* Poll.until("it has ended", () => served.engine.ended() === index + 1)
      }
      const deaf = yield* Served.dial(served, Raw.handshake())
      // The other one of the connection is not even accepted.
      for (const [id, query] of ["endless", "stuck"].entries()) {
        deaf.write(Raw.text({ type: "query", id, query, credit: 16_000_000 }))
      }
      const ended = yield* settled(served, "cancelled", 4)
      for (const { error } of ended)
        assert.match(error?.message ?? "", /no byte for 100ms \(httpStallTimeout\)/)
    })
  )
})

describe("/readyz", () => {
  live(
    "says whether a back-end answers: none was asked yet, none is there, and it is there again",
    Effect.gen(function* () {
      const port = yield* TcpPair.listen(Net.createServer((socket) => socket.destroy()))
      const engine = RowEngine.make()
      const { address } = yield* LiveServer.start(engine.engine)
      const dead = Address.format(Address.tcp("127.0.0.1", port))
      const options = { ejectAfter: 2, probeInterval: "1 hour" } as const
      const readiness = (served: Served.Served) =>
        Effect.map(fetched(`${served.url}/readyz`), ({ json, status }) => [status, json()["status"]])
      const states = (served: Served.Served) =>
        Effect.map(fetched(`${served.url}/v1/targets`), ({ text }) =>
          Array.from(text.matchAll(/"state":"(\w+)"/g), ([, state]) => state)
        )
      const lost = yield* Served.make({ ...options, backends: { main: [dead] } })
      assert.deepStrictEqual(yield* states(lost), ["unknown"])
      for (const state of ["unknown", "ejected", "ejected"]) {
        assert.deepStrictEqual(yield* readiness(lost), [503, "unavailable"])
        assert.deepStrictEqual(yield* states(lost), [state])
      }
      const half = yield* Served.make({ ...options, backends: { main: [dead, Address.format(address)] } })
      assert.deepStrictEqual(yield* readiness(half), [200, "ready"])
      // An answer is good for a while.
      for (let i = 0; i < 5; i++) assert.deepStrictEqual(yield* readiness(half), [200, "ready"])
      assert.strictEqual(engine.begun(), 1)
    })
  )

  live(
    "says when no back-end can start its engine, and does not when one is busy",
    Effect.gen(function* () {
      for (const [code, status] of [
        ["engine_lost", 503],
        ["overloaded", 200]
      ] as const) {
        const error = QueryApi.queryError(code, "no", { retryable: true })
        const { address } = yield* LiveServer.start({
          init: () => Effect.fail(new QueryEngine.QueryRejected({ payload: QueryApi.encodeError(error) }))
        })
        const served = yield* Served.make({ backends: { main: [Address.format(address)] } })
        assert.strictEqual((yield* fetched(`${served.url}/readyz`)).status, status)
      }
    })
  )
})
