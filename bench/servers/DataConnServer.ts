/**
 * DataConn with an engine that answers workloads. Limits are out of the way, and chunks may be as long as a
 * workload's; everything else is as it comes. `DataConnServer.js SECONDS receipt` counts what it sends for a receipt, which it does not
 * send: clients here take a last body for a part of the result.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Receipts from "../../src/engine/Receipts.ts"
import * as Server from "../../src/server/Server.ts"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Workload from "../support/Workload.ts"

const ended = Cause.done()
/** What a stream hands over at once of a result that is there: as much as the DuckDB engine does. */
const runSize = 256 * 1024

const ready = (next: () => Uint8Array | undefined) =>
  Effect.suspend(() => {
    const first = next()
    if (first === undefined) return ended
    const run: [Uint8Array, ...Array<Uint8Array>] = [first]
    for (let bytes = first.length; bytes < runSize; ) {
      const chunk = next()
      if (chunk === undefined) break
      run.push(chunk)
      bytes += chunk.length
    }
    return Effect.succeed(run)
  })

const streamed = (next: () => Uint8Array | undefined) => {
  const later = async () => next()
  return Effect.flatMap(
    Effect.promise(later),
    (chunk): Effect.Effect<readonly [Uint8Array], Cause.Done> =>
      chunk === undefined ? ended : Effect.succeed([chunk])
  )
}

const chunks = (workload: Workload.Workload) => {
  const next = Workload.source(workload)
  return Stream.fromPull(Effect.succeed(workload.mode === "ready" ? ready(next) : streamed(next)))
}

const [, mode] = process.argv.slice(2)

const received = (workload: Workload.Workload) =>
  Effect.map(Receipts.make("1", undefined), ({ counted, encode }) =>
    Stream.concat(counted(chunks(workload)), Stream.fromEffectDrain(Effect.sync(() => encode())))
  )

const engine = Layer.succeed(QueryEngine, {
  init: (request) => {
    const workload = Workload.parse(request)
    const result = mode === "receipt" ? received(workload) : Effect.succeed(chunks(workload))
    return Effect.map(result, (chunks) => ({ payload: Workload.accept, chunks }))
  }
})

const program = Effect.gen(function* () {
  const server = yield* Server.Server
  const [address] = server.addresses
  if (address?._tag === "Tcp") ServerProcess.ready(address.port)
  return yield* Effect.never
})

program.pipe(
  Effect.provide(
    Server.layer({
      listen: [`${ServerProcess.listen.host}:${ServerProcess.listen.port}`],
      backlog: ServerProcess.listen.backlog,
      heartbeatInterval: `${ServerProcess.heartbeatSeconds} seconds`,
      maxConnections: 20_000,
      maxConcurrentQueries: 20_000,
      firstRequestTimeout: "1 hour",
      chunkSize: 1024 * 1024
    }).pipe(Layer.provide(engine))
  ),
  NodeRuntime.runMain
)
