/**
 * A pool over sockets in memory, with servers that the test drives.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Socket from "effect/socket/Socket"
import * as ClientPool from "../../src/client/ClientPool.ts"
import type { PoolSettings } from "../../src/client/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Served from "./Served.ts"
import * as ServerPeer from "./ServerPeer.ts"

export const bytes = (text: string) => new TextEncoder().encode(text)

/** A pool whose connections' servers the test drives, in the order in which they were made. */
export const open = Effect.fnUntraced(function* (
  settings: Partial<PoolSettings> = {},
  before: (count: number) => Effect.Effect<void, Socket.SocketError> = () => Effect.void
) {
  const servers: Array<ServerPeer.ServerPeer> = []
  const scope = yield* Effect.scope
  const closed: Array<number> = []
  const closing = { hook: Effect.void }
  let count = 0
  const connect = Effect.gen(function* () {
    const id = count++
    yield* before(id)
    const [near, far] = yield* Scope.provide(MemorySocket.pair(), scope)
    const server = yield* Effect.orDie(Scope.provide(ServerPeer.make(far), scope))
    servers.push(server)
    yield* Effect.addFinalizer(() => {
      closed.push(id)
      return closing.hook
    })
    return near
  })
  const own = yield* Scope.fork(scope)
  const client = yield* Scope.provide(ClientPool.make(connect, settings), own)
  return { client, servers, closed, closing, close: Scope.close(own, Exit.void), made: () => count }
})

export type Opened = Effect.Success<ReturnType<typeof open>>

export const server = ({ servers }: Opened, index: number): ServerPeer.ServerPeer => {
  const server = servers[index]
  if (server === undefined) throw new Error(`There are ${servers.length} connections`)
  return server
}

/** Starts a request and reads its response to the end, in a scope of its own. */
export const start = ({ client }: Opened, name: string) =>
  client.request(bytes(name)).pipe(
    Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
    Effect.scoped,
    Effect.forkChild({ startImmediately: true }),
    Effect.tap(() => Served.settle)
  )

/** Answers a request on one of the connections. */
export const answer = Effect.fnUntraced(function* (opened: Opened, index: number, name: string) {
  assert.strictEqual(yield* server(opened, index).next, `R ${name}`)
  yield* server(opened, index).send("A yes", `F of ${name}`)
})
