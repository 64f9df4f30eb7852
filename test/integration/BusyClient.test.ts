/**
 * Clients before real sockets: their thread is busy for longer than they wait for a server, or a server takes nothing.
 */
import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

/**
 * A server in a thread of its own, which answers while this one is busy: each request with an accept and a result
 * without an end, of which so much is on its way that the cancel's K comes long after the C.
 */
const source = `
  const { createServer } = require("node:net")
  const { parentPort } = require("node:worker_threads")
  const chunk = Buffer.alloc(5 + 64 * 1024, "x")
  chunk.writeUInt32LE(64 * 1024)
  chunk[4] = 0x49
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      if (bytes[4] === 0x52) {
        socket.write(Buffer.from("\\0\\0\\0\\0A"))
        for (let i = 0; i < 128; i++) socket.write(chunk)
      }
      if (bytes.at(-1) === 0x43) socket.write(Buffer.from("\\0\\0\\0\\0K"))
    })
  })
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))
`

const serve = Effect.map(
  Effect.acquireRelease(
    Effect.callback<readonly [Worker, number]>((resume) => {
      const worker = new Worker(source, { eval: true })
      worker.once("message", (port: number) => resume(Effect.succeed([worker, port])))
    }),
    ([worker]) => Effect.promise(() => worker.terminate())
  ),
  ([, port]) => Address.tcp("127.0.0.1", port)
)

/** How long a client waits for a server, in milliseconds. */
const millis = 400

const compute = (): void => {
  const end = performance.now() + 1.2 * millis
  while (performance.now() < end);
}

/** Moments in a turn of the event loop. */
const moments: Record<string, (work: () => void) => void> = {
  "at once": (work) => work(),
  "after a poll": (work) => void setImmediate(work),
  "before a poll": (work) => void setTimeout(work, 1)
}

describe("a client whose thread was busy for longer than it waits for its server", () => {
  for (const [name, when] of Object.entries(moments)) {
    it.live(`has a connection that was made meanwhile: ${name}`, () =>
      Effect.gen(function* () {
        const address = yield* serve
        const connecting = yield* Effect.forkChild(Client.connect(address, { connectTimeout: millis }), {
          startImmediately: true
        })
        when(compute)
        assert.isTrue((yield* Fiber.join(connecting)).isOpen())
      })
    )

    it.live(`goes on after a cancel that was acknowledged meanwhile: ${name}`, () =>
      Effect.gen(function* () {
        const client = yield* Client.connect(yield* serve, { cancelTimeout: millis })
        const scope = yield* Scope.make()
        const { chunks } = yield* Scope.provide(client.request(new Uint8Array(1)), scope)
        yield* Stream.runForEach(Stream.take(chunks, 1), () => Effect.sync(() => when(compute)))
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(client.isOpen())
      })
    )
  }
})

describe("a client that is closed while a server does not take its request", () => {
  it.live("does not keep the process alive", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(({ socket }) => void socket.pause())
      const at = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)
      const program = `
        import * as Effect from "effect/Effect"
        import * as Exit from "effect/Exit"
        import * as Scope from "effect/Scope"
        const Client = await import(${at("../../src/client/Client.ts")})
        await Effect.runPromise(Effect.gen(function* () {
          const scope = yield* Scope.make()
          const client = yield* Scope.provide(Client.connect(${JSON.stringify(server.address)}), scope)
          const asking = client.request(new Uint8Array(64 * 1024 * 1024))
          yield* Effect.forkDetach(Effect.scoped(asking), { startImmediately: true })
          yield* Effect.sleep(50)
          yield* Scope.close(scope, Exit.void)
        }))
        console.log("closed")
      `
      const child = yield* Dataconn.run(["--input-type=module", "--eval", program], {
        program: [process.execPath]
      })
      yield* child.line(/closed/)
      assert.strictEqual(yield* child.exit, 0)
    })
  )
})
