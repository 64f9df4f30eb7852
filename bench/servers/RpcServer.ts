/**
 * The server of the Effect RPC peer, over TCP with schema-encoded binary messages.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Stream from "effect/Stream"
import * as SocketServer from "effect/socket/SocketServer"
import * as RpcQuery from "../support/RpcQuery.ts"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Workload from "../support/Workload.ts"

const Handlers = RpcQuery.Queries.toLayer({
  Query: ({ request }) => {
    const next = Workload.source(Workload.parse(request))
    const chunks = (function* () {
      yield Workload.accept
      for (let chunk = next(); chunk !== undefined; chunk = next()) yield chunk
    })()
    return Stream.fromIterable(chunks, { chunkSize: 16 })
  }
})

const Listening = Layer.effectDiscard(
  Effect.map(SocketServer.SocketServer, ({ address }) => {
    if (address._tag === "InetAddressV4") ServerProcess.ready(address.port)
  })
)

RpcServer.layer(RpcQuery.Queries).pipe(
  Layer.provide(Handlers),
  Layer.provide(RpcServer.layerProtocolSocketServer),
  Layer.provide(RpcSerialization.layerSchemaBinary()),
  Layer.merge(Listening),
  Layer.provide(NodeSocketServer.layer({ ...ServerProcess.listen, noDelay: true })),
  Layer.launch,
  NodeRuntime.runMain
)
