/**
 * Requests that are given up, at whatever moment: nothing of them is sent afterwards, and nobody waits for them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

/** A pool whose connections' servers the test drives. */
const open = Effect.fnUntraced(function* (
  wrap: (socket: Socket.Socket) => Socket.Socket = (socket) => socket
) {
  const servers: Array<ServerPeer.ServerPeer> = []
  const scope = yield* Effect.scope
  const connect = Effect.gen(function* () {
    const [near, far] = yield* Scope.provide(MemorySocket.pair(), scope)
    servers.push(yield* Effect.orDie(Scope.provide(ServerPeer.make(far), scope)))
    return wrap(near)
  })
  return { client: yield* ClientPool.make(connect, { heartbeatTolerance: "Infinity" }), servers }
})

describe("a request that is given up", () => {
  it.effect("before it was there is not sent", () =>
    Effect.gen(function* () {
      const { client, servers } = yield* open()
      const scope = yield* Scope.make()
      yield* Scope.close(scope, Exit.void)
      const asking = yield* Effect.forkChild(Scope.provide(client.request(new Uint8Array(1)), scope))
      yield* Served.settle
      assert.isDefined(asking.pollUnsafe())
      assert.lengthOf(servers, 0)
    })
  )
})
