/**
 * DataConn with an engine that answers workloads, in a process of its own: prints its port when ready.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Server from "../../src/server/Server.ts"
import * as Workload from "./Workload.ts"

const ended = Cause.done()

const chunks = ({ chunkSize, mode, total }: Workload.Workload) => {
  const whole = [Workload.chunkOf(chunkSize)] as const
  let left = total
  const next = Effect.suspend(() => {
    if (left <= 0) return ended
    const size = Math.min(left, chunkSize)
    left -= size
    return Effect.succeed(size === chunkSize ? whole : ([Workload.chunkOf(size)] as const))
  })
  const pull =
    mode === "ready"
      ? next
      : Effect.andThen(
          Effect.promise(() => Promise.resolve()),
          next
        )
  return Stream.fromPull(Effect.succeed(pull))
}

const engine = Layer.succeed(QueryEngine, {
  init: (request) => Effect.succeed({ payload: Workload.accept, chunks: chunks(Workload.parse(request)) })
})

const program = Effect.gen(function* () {
  const server = yield* Server.Server
  const [address] = server.addresses
  if (address?._tag === "Tcp") process.stdout.write(`port ${address.port}\n`)
  return yield* Effect.never
})

program.pipe(
  Effect.provide(
    Server.layer({ listen: ["127.0.0.1:0"], maxConcurrentQueries: 20_000, maxConnections: 20_000 }).pipe(
      Layer.provide(engine)
    )
  ),
  NodeRuntime.runMain
)
