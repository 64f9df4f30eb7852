/**
 * Transports over loopback, with the other end as Node has it.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Tcp from "../../src/net/Tcp.ts"

/** Has a server listen on loopback, and returns its port. */
export const listen = Effect.fnUntraced(function* (server: Net.Server) {
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  yield* Effect.callback<void>((resume) => {
    server.listen(0, "127.0.0.1", () => resume(Effect.void))
  })
  return (server.address() as Net.AddressInfo).port
})

/** A transport that has dialled a peer, which is what Node accepts. */
export const dialled = Effect.fnUntraced(function* (onPeer: (peer: Net.Socket) => void) {
  const port = yield* listen(Net.createServer(onPeer))
  return yield* Tcp.connect({ address: Address.tcp("127.0.0.1", port), timeout: "10 seconds" })
})

/** A connection over loopback: the end under test in a scope of its own, and the peer as Node has it. */
export const pair = Effect.gen(function* () {
  const server = Net.createServer({ noDelay: true, pauseOnConnect: true })
  const port = yield* listen(server)
  const accepted = yield* Effect.forkChild(
    Effect.callback<Net.Socket>((resume) => {
      server.once("connection", (socket) => resume(Effect.succeed(socket)))
    }),
    { startImmediately: true }
  )
  const peer = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
  peer.on("error", () => {})
  yield* Effect.addFinalizer(() => Effect.sync(() => peer.destroy()))
  const near = yield* Fiber.join(accepted)
  near.on("error", () => {})
  yield* Effect.addFinalizer(() => Effect.sync(() => near.destroy()))
  const scope = yield* Scope.make()
  const transport = yield* Scope.provide(Tcp.fromSocket(near), scope)
  return { near, peer, transport, close: Scope.close(scope, Exit.void) }
})
