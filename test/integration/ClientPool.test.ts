import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as Address from "../../src/net/Address.ts"
import { failure } from "../support/Failure.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

describe("a pool of connections to a real server", () => {
  const listen = Effect.map(Folder.make, (folder) => `unix:${join(folder, "socket")}`)

  const text = (client: Effect.Success<ReturnType<typeof ClientPool.connect>>, request: string) =>
    client.request(new TextEncoder().encode(request)).pipe(
      Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
      Effect.scoped
    )

  const connect = Effect.fnUntraced(function* (listen: string, maxConnections: number) {
    const address = yield* Effect.orDie(Effect.fromResult(Address.parse(listen)))
    return yield* ClientPool.connect(address, { maxConnections })
  })

  const fourAtOnce = (client: Effect.Success<ReturnType<typeof ClientPool.connect>>) =>
    Effect.replicateEffect(text(client, "echo before"), 4, { concurrency: "unbounded", discard: true })

  it.live("answers more requests than it has connections, side by side", () =>
    Effect.gen(function* () {
      const where = yield* listen
      const tiny = TinyEngine.make()
      const live = yield* LiveServer.start(tiny.engine, { listen: [where] })
      const client = yield* connect(where, 4)
      const names = Array.from({ length: 200 }, (_, i) => `echo ${i}`)
      const answers = yield* Effect.forEach(names, (name) => text(client, name), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        answers,
        names.map((name) => name.slice(5))
      )
      assert.strictEqual(live.events.filter(({ _tag }) => _tag === "Opened").length, 4)
      assert.strictEqual(yield* live.server.connections, 4)
    })
  )

  it.live("outlives the server: requests fail while there is none, and succeed with the next one", () =>
    Effect.gen(function* () {
      const where = yield* listen
      const tiny = TinyEngine.make()
      const first = yield* LiveServer.start(tiny.engine, { listen: [where], drainTimeout: 0 })
      const client = yield* connect(where, 4)
      yield* fourAtOnce(client)
      const held = yield* Effect.forkChild(Effect.exit(text(client, "held")), { startImmediately: true })
      yield* Poll.until("the query runs", () => tiny.begun() === 5)
      yield* first.stop
      assert.strictEqual(failure(yield* Fiber.join(held)), "QueryFailed")
      const error = yield* Effect.flip(text(client, "echo none"))
      assert.strictEqual(error._tag === "ClientError" && error.reason._tag, "ConnectFailed")

      const second = yield* LiveServer.start(tiny.engine, { listen: [where] })
      for (let i = 0; i < 6; i++) assert.strictEqual(yield* text(client, `echo ${i}`), String(i))
      assert.strictEqual(yield* second.server.connections, 1)
    })
  )

  it.live("does not notice that a server was replaced between requests", () =>
    Effect.gen(function* () {
      const where = yield* listen
      const tiny = TinyEngine.make()
      const first = yield* LiveServer.start(tiny.engine, { listen: [where] })
      const client = yield* connect(where, 4)
      yield* fourAtOnce(client)
      yield* first.stop
      yield* LiveServer.start(tiny.engine, { listen: [where] })
      const after = Array.from({ length: 8 }, (_, i) => text(client, `echo ${i}`))
      const answers = yield* Effect.all(after, { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, ["0", "1", "2", "3", "4", "5", "6", "7"])
    })
  )
})
