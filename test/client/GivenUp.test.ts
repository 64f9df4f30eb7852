/**
 * Requests that are given up, at whatever moment: nothing of them is sent afterwards, and nobody waits for them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as ClientPool from "../../src/client/ClientPool.ts"
import { Exchange, type Line } from "../../src/client/Exchange.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const goodbye = 'J {"code":"shutting_down","message":"bye","retryable":true,"closing":true}'

/** The socket, all of whose writes but the first one take for ever. */
const blocked = (socket: Socket.Socket): Socket.Socket => {
  let writes = 0
  return Socket.make({
    reader: socket.reader,
    writer: Effect.map(socket.writer, (writer) => ({
      write: writer.write,
      writeAll: (chunks) => (writes++ === 0 ? writer.writeAll(chunks) : Effect.never)
    }))
  })
}

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

/** Preempts a fiber before one of its operations, the only one with this number. */
class Preempting extends Scheduler.MixedScheduler {
  private readonly at: number
  private operations = 0

  constructor(at: number) {
    super()
    this.at = at
  }

  override shouldYield(): boolean {
    return this.operations++ === this.at
  }
}

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

  it.effect("while it is written is not sent again if its server goes away", () =>
    Effect.gen(function* () {
      const { client, servers } = yield* open(blocked)
      const ask = Effect.scoped(
        Effect.flatMap(client.request(new Uint8Array(1)), ({ pull }) => Effect.exit(pull))
      )
      const first = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* Served.settle
      yield* servers[0]?.send("A yes", "F") ?? Effect.void
      yield* Fiber.join(first)
      const asking = yield* Effect.forkChild(ask, { startImmediately: true })
      yield* Served.settle
      const leaving = yield* Effect.forkChild(Fiber.interrupt(asking), { startImmediately: true })
      yield* servers[0]?.send(goodbye) ?? Effect.void
      yield* Served.settle
      assert.isDefined(leaving.pollUnsafe())
      assert.lengthOf(servers, 1)
    })
  )

  it.effect("just before its consumer waits leaves nobody waiting", () =>
    Effect.gen(function* () {
      const line: Line = { starved: () => {}, finish: () => Effect.void }
      for (let operation = 0; operation < 10; operation++) {
        const exchange = new Exchange(new Uint8Array(0), line, 0)
        const pulling = yield* exchange
          .pull(() => "failed")
          .pipe(
            Effect.forkChild({ startImmediately: true }),
            Effect.provideService(Scheduler.Scheduler, new Preempting(operation))
          )
        exchange.abandon()
        exchange.end({ _tag: "Cancelled" })
        exchange.resume()
        yield* Served.settle
        assert.isDefined(pulling.pollUnsafe(), `preempted before operation ${operation}`)
      }
    })
  )
})
