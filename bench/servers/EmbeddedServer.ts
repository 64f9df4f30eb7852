/**
 * The built package embedded as its README shows, with an engine that answers at once.
 */
import { NodeRuntime } from "@effect/platform-node"
import { QueryEngine, Server } from "dataconn"
import { Effect, Layer, Stream } from "effect"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Workload from "../support/Workload.ts"

const Answers = Layer.succeed(QueryEngine.QueryEngine, {
  init: (request) => {
    const { total } = Workload.parse(request)
    return Effect.succeed({ payload: Workload.accept, chunks: Stream.make(Workload.bytesAt(0, total)) })
  }
})

const Listening = Layer.effectDiscard(
  Effect.map(Server.Server, ({ addresses: [address] }) => {
    if (address?._tag === "Tcp") ServerProcess.ready(address.port)
  })
)

Listening.pipe(
  Layer.provide(Server.layer({ listen: ["127.0.0.1:0"] })),
  Layer.provide(Answers),
  Layer.launch,
  NodeRuntime.runMain
)
