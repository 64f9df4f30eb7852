import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import * as Descriptors from "../../src/cli/Descriptors.ts"
import * as Dataconn from "../support/Dataconn.ts"

const byDefault: Descriptors.Wanted = { connections: 4096, http: 0, processes: 4, queries: 288 }

describe("the connections that a server lets in", () => {
  it("leave descriptors for the start of its engine, and are as many as that allows", () => {
    assert.strictEqual(Descriptors.needed(byDefault), 6708)
    assert.strictEqual(Descriptors.within(6708, byDefault), byDefault)
    assert.include(Descriptors.within(1024, byDefault), { connections: 140, queries: 140 })
    const wanted = fc.record({
      connections: fc.integer({ min: 1, max: 10_000 }),
      http: fc.nat(10_000),
      processes: fc.nat(8),
      queries: fc.integer({ min: 1, max: 288 })
    })
    fc.assert(
      fc.property(wanted, fc.nat(20_000), (wanted, limit) => {
        const had = Descriptors.within(limit, wanted)
        if (had === undefined) return limit < 4000
        assert.isAtMost(Descriptors.needed(had), limit)
        assert.isAtMost(had.connections, wanted.connections)
        assert.isAtMost(had.http, wanted.http)
        const oneMore = { ...had, connections: had.connections + 1, queries: wanted.queries }
        return had === wanted || Descriptors.needed(oneMore) > limit
      })
    )
  })

  it.effect("leave a gateway descriptors for its back-ends", () =>
    Effect.gen(function* () {
      const gateway = {
        http: ["127.0.0.1:1", "127.0.0.1:2"],
        httpMaxConnections: 1000,
        backends: { main: ["a:1", "b:1"] },
        backendConnections: 32,
        backendQueue: 1000
      }
      const most = (limit: number) =>
        Effect.map(Descriptors.fitGateway(gateway, limit), ({ httpMaxConnections }) => httpMaxConnections)
      assert.strictEqual(yield* most(128 + 2 * 288 + 2000), 1000)
      assert.strictEqual(yield* most(128 + 2 * 288 + 1998), 999)
      assert.strictEqual(yield* most(128 + 40), 10)
      assert.match((yield* Effect.flip(most(100))).message, /ulimit -n/)
    })
  )

  it.live.runIf(process.platform === "linux")(
    "are so few that it does not start, and it says what it needs",
    () =>
      Effect.gen(function* () {
        const server = yield* Dataconn.serveTiny([], {
          ...Dataconn.isolated,
          program: ["/bin/sh", "-c", 'ulimit -n 100 && exec "$0" "$@"', ...Dataconn.program]
        })
        assert.strictEqual(yield* server.exit, 1)
        assert.match(
          server.stderr(),
          /^dataconn: ulimit -n: this process may have 100 files .* needs 212 at least\n$/
        )
      })
  )
})
