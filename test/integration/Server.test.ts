import { statSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Address from "../../src/net/Address.ts"
import * as Server from "../../src/server/Server.ts"
import type * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Peer from "../support/Peer.ts"
import * as Poll from "../support/Poll.ts"
import * as Response from "../support/Response.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

const hasIPv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === "::1")
)

/** The code of a reject or error, as `Peer` shows it. */
const code = (shown: string): string =>
  `${shown.slice(0, 1)} ${QueryApi.decodeError(Buffer.from(shown.slice(2))).code}`

describe.each(["127.0.0.1:0", "unix"])("a server on %s", (where) => {
  const start = Effect.fnUntraced(function* (config?: ServerConfig.Options) {
    const listen = where === "unix" ? `unix:${join(yield* Folder.make, "socket")}` : where
    const tiny = TinyEngine.make()
    const live = yield* LiveServer.start(tiny.engine, { ...config, listen: [listen] })
    return { tiny, live, peer: yield* LiveServer.connect(live.address) }
  })

  it.live("answers one request after the other on a connection", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start()
      for (const text of ["one", "two", "three"]) {
        assert.strictEqual(yield* Response.result(peer, `echo ${text}`), text)
      }
      yield* peer.request("nonsense")
      assert.strictEqual(yield* peer.next, "J rejected")
      yield* peer.request("fail")
      assert.deepStrictEqual(yield* Response.take(peer), { accept: "yes", result: "part", end: "E failed" })
      assert.strictEqual(yield* Response.result(peer, "echo still here"), "still here")
      yield* peer.close
      const closed = yield* live.event("Closed")
      assert.strictEqual(closed.control.reason, "read")
      assert.strictEqual(closed.detail, "End of file")
      assert.strictEqual(closed.control.accepted, 5)
      assert.strictEqual(closed.control.rejected, 1)
      assert.strictEqual(closed.control.messagesRead, 6)
    })
  )

  it.live("cancels a query that computes in silence, and takes the next request", () =>
    Effect.gen(function* () {
      const { peer, tiny } = yield* start()
      yield* peer.request("silent")
      assert.strictEqual(yield* peer.next, "A yes")
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "K")
      assert.strictEqual(tiny.ended(), 1)
      yield* peer.request("stuck")
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "K")
      assert.strictEqual(tiny.ended(), 2)
      assert.strictEqual(yield* Response.result(peer, "echo on"), "on")
    })
  )

  it.live("cancels a stream in full flow", () =>
    Effect.gen(function* () {
      const { peer, tiny } = yield* start()
      yield* peer.request("endless")
      assert.strictEqual(yield* peer.next, "A yes")
      assert.strictEqual((yield* peer.next).slice(0, 3), "I x")
      yield* peer.cancel
      assert.strictEqual((yield* Response.take(peer)).end, "K")
      assert.strictEqual(tiny.ended(), 1)
      assert.strictEqual(yield* Response.result(peer, "echo on"), "on")
    })
  )

  it.live("ignores the cancel that crosses the end of a response, and closes at a second one", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start()
      assert.strictEqual(yield* Response.result(peer, "echo done"), "done")
      yield* peer.cancel
      assert.strictEqual(yield* Response.result(peer, "echo next"), "next")
      yield* peer.cancel
      yield* peer.cancel
      assert.strictEqual(yield* peer.next, "closed")
      assert.strictEqual((yield* live.event("Closed")).control.reason, "protocol")
    })
  )

  it.live("closes on a second request while one is in flight, and interrupts the first", () =>
    Effect.gen(function* () {
      const { peer, live, tiny } = yield* start()
      yield* peer.send(Peer.request("silent"), Peer.request("echo no"))
      yield* live.event("Closed")
      assert.strictEqual(tiny.ended(), tiny.begun())
      assert.strictEqual((yield* live.event("Closed")).control.reason, "protocol")
    })
  )

  it.live("closes without an answer if the engine cannot initialise", () =>
    Effect.gen(function* () {
      const { peer, live } = yield* start()
      yield* peer.request("init")
      assert.strictEqual(yield* peer.next, "closed")
      const closed = yield* live.event("Closed")
      assert.strictEqual(closed.control.reason, "init")
      assert.strictEqual(closed.detail, "broken")
    })
  )

  it.live("sends a large result whole", () =>
    Effect.gen(function* () {
      const { peer } = yield* start()
      const result = yield* Response.result(peer, "large 16")
      assert.strictEqual(result.length, 16 * 1024 * 1024)
    })
  )

  it.live("takes and sends messages that are longer than a socket is handed at once", () =>
    Effect.gen(function* () {
      const size = 8 * 1024 * 1024
      const { live } = yield* start({ maxFrameSize: size, chunkSize: size })
      const client = yield* Client.connect(live.address)
      const text = Array.from({ length: 1_000_000 }, (_, i) => `${i}`).join(" ")
      for (let repeat = 0; repeat < 3; repeat++) {
        const { chunks } = yield* client.request(Buffer.from(`echo ${text}`))
        assert.isTrue(Buffer.from(text).equals(Buffer.concat(yield* Stream.runCollect(chunks))))
      }
      const { query } = yield* live.event("Completed", 2)
      assert.strictEqual(query.messages, 3)
      assert.strictEqual(query.payloadBytesTransferred, text.length)
    })
  )
})

describe("several addresses", () => {
  it.live("are served at once, and reported in the order of the configuration", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "socket")
      const listen = ["127.0.0.1:0", `unix:${path}`, ...(hasIPv6 ? ["[::1]:0"] : [])]
      const { server, event } = yield* LiveServer.start(TinyEngine.make().engine, { listen })
      assert.strictEqual(server.addresses.length, listen.length)
      for (const [index, address] of server.addresses.entries()) {
        const peer = yield* LiveServer.connect(address)
        assert.strictEqual(yield* Response.result(peer, `echo ${index}`), String(index))
        const { connection } = yield* event("Opened", index)
        assert.strictEqual(connection.id, index + 1)
        assert.strictEqual(connection.local, Address.format(address))
        assert.match(connection.remote, /^(127\.0\.0\.1:\d+|\[::1\]:\d+|unix#2)$/)
      }
      assert.strictEqual(yield* server.connections, listen.length)
    })
  )

  it.live("share the limits, and stop together", () =>
    Effect.gen(function* () {
      const unix = { _tag: "Unix", path: join(yield* Folder.make, "socket") } as const
      const tiny = TinyEngine.make()
      const live = yield* LiveServer.start(tiny.engine, {
        listen: ["127.0.0.1:0", Address.format(unix)],
        maxConnections: 2,
        maxConcurrentQueries: 1,
        maxQueuedQueries: 0
      })
      const [first, second] = [yield* LiveServer.connect(live.address), yield* LiveServer.connect(unix)]
      yield* first.request("held")
      assert.deepStrictEqual(yield* first.take(2), ["A yes", "I begun"])
      yield* second.request("echo beyond maxConcurrentQueries")
      assert.strictEqual(code(yield* second.next), "J overloaded")
      for (const address of live.server.addresses) {
        const beyond = yield* LiveServer.connect(address)
        yield* beyond.request("echo beyond maxConnections")
        assert.strictEqual(code(yield* beyond.next), "J overloaded")
      }
      assert.strictEqual(tiny.begun(), 1)

      const stop = yield* Effect.forkChild(live.stop, { startImmediately: true })
      assert.strictEqual(code(yield* second.next), "J shutting_down")
      assert.strictEqual(yield* second.next, "closed")
      for (const address of live.server.addresses) {
        assert.match(
          yield* Effect.flip(LiveServer.dial(address)).pipe(Effect.map(String)),
          /ECONNREFUSED|ENOENT/
        )
      }
      yield* tiny.release
      assert.strictEqual(yield* first.next, "F released")
      assert.strictEqual(code(yield* first.next), "J shutting_down")
      assert.strictEqual(yield* first.next, "closed")
      yield* Fiber.join(stop)
    })
  )

  it.live("are none of them open if one of them cannot be", () =>
    Effect.gen(function* () {
      const first = yield* LiveServer.start(TinyEngine.make().engine)
      const path = join(yield* Folder.make, "socket")
      const layer = Server.layer({ listen: [`unix:${path}`, Address.format(first.address)] }).pipe(
        Layer.provide(Layer.succeed(QueryEngine, TinyEngine.make().engine)),
        Layer.provide(Logger.layer([]))
      )
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.match(error.message, /address already in use/)
      const refused = yield* Effect.flip(Effect.scoped(LiveServer.dial({ _tag: "Unix", path })))
      assert.match(refused.message, /ENOENT/)
    })
  )
})

describe("maxConnections", () => {
  it.live("gets those beyond it one reject as overloaded, and its places are used again", () =>
    Effect.gen(function* () {
      const tiny = TinyEngine.make()
      const { address, event, server } = yield* LiveServer.start(tiny.engine, { maxConnections: 2 })
      const first = yield* LiveServer.connect(address)
      const second = yield* LiveServer.connect(address)
      yield* event("Opened", 1)

      const beyond = yield* LiveServer.connect(address)
      yield* beyond.request("echo no")
      assert.strictEqual(code(yield* beyond.next), "J overloaded")
      assert.strictEqual(yield* beyond.next, "closed")
      assert.strictEqual(tiny.begun(), 0)
      assert.strictEqual((yield* event("Closed")).detail, "Too many connections")

      yield* first.close
      yield* event("Closed", 1)
      const next = yield* LiveServer.connect(address)
      for (const peer of [second, next]) {
        assert.strictEqual(yield* Response.result(peer, "echo yes"), "yes")
      }
      assert.strictEqual(yield* server.connections, 2)
    })
  )

  it.live("drops those far beyond it, and still serves when there is room again", () =>
    Effect.gen(function* () {
      const { address, event, server } = yield* LiveServer.start(TinyEngine.make().engine, {
        maxConnections: 1
      })
      const first = yield* LiveServer.connect(address)
      yield* event("Opened")
      const crowd = yield* Effect.replicateEffect(LiveServer.dial(address), 100)
      yield* Poll.until(
        "some are dropped",
        () => crowd.filter(({ socket }) => socket.readableEnded).length >= 36
      )
      assert.isAtMost(yield* server.connections, 65)
      for (const { socket } of crowd) socket.destroy()
      yield* first.close
      while ((yield* server.connections) > 0) yield* Effect.sleep(5)
      const next = yield* LiveServer.connect(address)
      assert.strictEqual(yield* Response.result(next, "echo yes"), "yes")
    })
  )
})

describe("a connection beyond maxConnections", () => {
  it.live("does not keep its place by asking nothing: it has requestTimeout for that", () =>
    Effect.gen(function* () {
      const { address, event } = yield* LiveServer.start(TinyEngine.make().engine, {
        maxConnections: 1,
        requestTimeout: "50 millis"
      })
      const first = yield* LiveServer.connect(address)
      yield* event("Opened")
      const beyond = yield* LiveServer.dial(address)
      yield* beyond.closed
      assert.strictEqual((yield* event("Closed")).connection.id, 2)
      assert.strictEqual(yield* Response.result(first, "echo on"), "on")
    })
  )
})

describe("limits per address", () => {
  it.live("keep connections beyond maxConnectionsPerAddress out, and not those of other addresses", () =>
    Effect.gen(function* () {
      const unix = { _tag: "Unix", path: join(yield* Folder.make, "socket") } as const
      const tiny = TinyEngine.make()
      const { address, event } = yield* LiveServer.start(tiny.engine, {
        listen: ["127.0.0.1:0", Address.format(unix)],
        maxConnectionsPerAddress: 1
      })
      for (const [i, where] of [address, unix].entries()) {
        const first = yield* LiveServer.connect(where)
        assert.strictEqual(yield* Response.result(first, "echo in"), "in")
        const beyond = yield* LiveServer.connect(where)
        yield* beyond.request("echo out")
        const reject = yield* beyond.next
        assert.strictEqual(code(reject), "J overloaded")
        assert.include(reject, "maxConnectionsPerAddress")
        assert.strictEqual(yield* beyond.next, "closed")
        yield* first.close
        yield* event("Closed", 2 * i + 1)
        assert.strictEqual(yield* Response.result(yield* LiveServer.connect(where), "echo in"), "in")
      }
    })
  )

  it.live("reject queries beyond maxQueriesPerAddress, and not those of other addresses", () =>
    Effect.gen(function* () {
      const unix = { _tag: "Unix", path: join(yield* Folder.make, "socket") } as const
      const tiny = TinyEngine.make()
      const { address } = yield* LiveServer.start(tiny.engine, {
        listen: ["127.0.0.1:0", Address.format(unix)],
        maxQueriesPerAddress: 1
      })
      const [first, second] = [yield* LiveServer.connect(address), yield* LiveServer.connect(address)]
      yield* first.request("held")
      assert.deepStrictEqual(yield* first.take(2), ["A yes", "I begun"])
      yield* second.request("echo no")
      const reject = yield* second.next
      assert.strictEqual(code(reject), "J overloaded")
      assert.include(reject, "maxQueriesPerAddress")
      assert.strictEqual(yield* Response.result(yield* LiveServer.connect(unix), "echo other"), "other")
      yield* tiny.release
      yield* first.take(1)
      assert.strictEqual(yield* Response.result(second, "echo now"), "now")
    })
  )
})

describe("a reject of a connection", () => {
  it.live("names maxConnections if that keeps it out", () =>
    Effect.gen(function* () {
      const { address, event } = yield* LiveServer.start(TinyEngine.make().engine, { maxConnections: 1 })
      yield* LiveServer.connect(address)
      yield* event("Opened")
      const beyond = yield* LiveServer.connect(address)
      yield* beyond.request("echo no")
      assert.match(yield* beyond.next, /^J \{"code":"overloaded".*\(maxConnections\)/)
    })
  )
})

describe("firstRequestTimeout", () => {
  it.live("closes a connection that says nothing", () =>
    Effect.gen(function* () {
      const { address, event } = yield* LiveServer.start(TinyEngine.make().engine, {
        firstRequestTimeout: "50 millis"
      })
      yield* (yield* LiveServer.dial(address)).closed
      assert.strictEqual((yield* event("Closed")).detail, "No request came (firstRequestTimeout)")
    })
  )
})

describe("maxUnfinishedBytes", () => {
  it.live("bounds what requests that are not complete take of the memory, and names itself", () =>
    Effect.gen(function* () {
      const live = yield* LiveServer.start(TinyEngine.make().engine, {
        maxUnfinishedBytes: 4 * 1024 * 1024,
        maxFrameSize: 1024 * 1024
      })
      const bytes = new Uint8Array(900_000)
      bytes.set([0, 0, 0x0f, 0, "R".charCodeAt(0)])
      const all = yield* Effect.replicateEffect(LiveServer.dial(live.address), 20)
      for (const { socket } of all) socket.write(bytes)
      // Each that stays holds what it has sent, and that of four of them fits.
      const closed = () => live.events.filter(({ _tag }) => _tag === "Closed").length
      yield* Poll.until("those that do not fit are closed", () => closed() >= 16)
      const last = yield* live.event("Closed", 15)
      assert.strictEqual(last.control.reason, "read")
      assert.include(last.detail, "(maxUnfinishedBytes)")
      // A request that is complete needs no room, and when the others have gone there is room again.
      const peer = yield* LiveServer.connect(live.address)
      assert.strictEqual(yield* Response.result(peer, "echo whole"), "whole")
      for (const { socket } of all) socket.destroy()
      yield* live.event("Closed", 19)
      const large = `echo ${"x".repeat(1_000_000)}`
      assert.lengthOf(yield* Response.result(peer, large), 1_000_000)
    })
  )
})

describe("socketMode", () => {
  it.live("is 0600 unless it is set", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      for (const [name, socketMode, mode] of [
        ["default", undefined, 0o600],
        ["group", 0o660, 0o660]
      ] as const) {
        const path = join(folder, name)
        yield* LiveServer.start(TinyEngine.make().engine, { listen: [`unix:${path}`], socketMode })
        assert.strictEqual(statSync(path).mode & 0o777, mode)
      }
    })
  )
})

describe("layerConfig", () => {
  const build = (settings: Record<string, unknown>) =>
    Layer.build(
      Server.layerConfig.pipe(
        Layer.provide(Layer.succeed(QueryEngine, TinyEngine.make().engine)),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(settings))),
        Layer.provide(Logger.layer([]))
      )
    )

  it.live("starts a server with the settings of Effect's Config", () =>
    Effect.gen(function* () {
      const context = yield* build({ listen: ["127.0.0.1:0"], maxFrameSize: "20 B" })
      const [address] = Context.get(context, Server.Server).addresses
      assert.isDefined(address)
      const peer = yield* LiveServer.connect(address)
      assert.strictEqual(yield* Response.result(peer, "echo short"), "short")
      yield* peer.request("echo much too long")
      assert.match(yield* peer.next, /^J \{"code":"too_large"/)
      assert.strictEqual(yield* Response.result(peer, "echo after"), "after")
    })
  )

  it.live("fails with the setting that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(build({ maxFrameSize: "huge" })))
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, "maxFrameSize")
    })
  )
})

describe("maxConcurrentQueries", () => {
  it.live("makes queries of other connections wait, and rejects those beyond the queue", () =>
    Effect.gen(function* () {
      const tiny = TinyEngine.make()
      const { address, event } = yield* LiveServer.start(tiny.engine, {
        maxConcurrentQueries: 1,
        maxQueuedQueries: 1
      })
      const running = yield* LiveServer.connect(address)
      yield* running.request("held")
      assert.deepStrictEqual(yield* running.take(2), ["A yes", "I begun"])
      const waiting = yield* LiveServer.connect(address)
      yield* waiting.request("echo waited")
      yield* event("Request", 1)
      const beyond = yield* LiveServer.connect(address)
      yield* beyond.request("echo no")
      assert.strictEqual(code(yield* beyond.next), "J overloaded")
      assert.strictEqual(tiny.begun(), 1)
      yield* tiny.release
      assert.deepStrictEqual(yield* Response.take(running), {
        accept: undefined,
        result: "released",
        end: "F"
      })
      assert.strictEqual((yield* Response.take(waiting)).result, "waited")
      assert.strictEqual(yield* Response.result(beyond, "echo now"), "now")
    })
  )

  it.live("frees the place of a client that leaves while its query waits", () =>
    Effect.gen(function* () {
      const tiny = TinyEngine.make()
      const { address, event } = yield* LiveServer.start(tiny.engine, {
        maxConcurrentQueries: 1,
        maxQueuedQueries: 1
      })
      const running = yield* LiveServer.connect(address)
      yield* running.request("held")
      assert.deepStrictEqual(yield* running.take(2), ["A yes", "I begun"])
      const waiting = yield* LiveServer.connect(address)
      yield* waiting.request("echo never")
      yield* event("Request", 1)
      yield* waiting.close
      yield* event("Closed")
      const next = yield* LiveServer.connect(address)
      yield* next.request("echo next")
      yield* event("Request", 2)
      yield* tiny.release
      assert.strictEqual((yield* Response.take(next)).result, "next")
      assert.strictEqual(tiny.begun(), 2)
    })
  )
})

describe("a defect of the engine", () => {
  it.live("is logged with its cause and answered, and the connection goes on", () =>
    Effect.gen(function* () {
      const engine: QueryEngine["Service"] = {
        init: (payload) => {
          const text = Buffer.from(payload).toString()
          if (text === "init") throw new Error("init is broken")
          const broken = Stream.die(new Error("run is broken"))
          return Effect.succeed({ payload, chunks: text === "run" ? broken : Stream.make(payload) })
        }
      }
      const live = yield* LiveServer.start(engine)
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request("init")
      assert.match(yield* peer.next, /^J \{"code":"internal"/)
      yield* peer.request("run")
      assert.match((yield* Response.take(peer)).end, /^E \{"code":"internal"/)
      assert.strictEqual(yield* Response.result(peer, "after"), "after")
      const log = live.log.join("\n")
      assert.include(log, "init is broken")
      assert.include(log, "run is broken")
      assert.notInclude(log, "disconnected")
    })
  )
})
