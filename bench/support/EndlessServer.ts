/**
 * A server whose engine streams the same chunk for ever, in a process of its own: prints its port when ready.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Server from "../../src/server/Server.ts"

const chunk = new Uint8Array(64 * 1024).fill(0x61)
const batch = [chunk, chunk, chunk, chunk] as const

const engine = Layer.succeed(QueryEngine, {
  init: () =>
    Effect.succeed({
      payload: new Uint8Array(0),
      chunks: Stream.fromPull(Effect.succeed(Effect.succeed(batch)))
    })
})

const program = Effect.gen(function* () {
  const server = yield* Server.Server
  const [address] = server.addresses
  if (address?._tag === "Tcp") process.stdout.write(`port ${address.port}\n`)
  return yield* Effect.never
})

program.pipe(
  Effect.provide(
    Server.layer({ listen: ["127.0.0.1:0"], maxConcurrentQueries: 1000 }).pipe(Layer.provide(engine))
  ),
  NodeRuntime.runMain
)
