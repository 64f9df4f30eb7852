/**
 * The client of the Effect RPC peer.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LoadClient from "../support/LoadClient.ts"
import * as RpcQuery from "../support/RpcQuery.ts"

await LoadClient.main(async (port) => {
  const scope = Scope.makeUnsafe()
  const protocol = RpcClient.layerProtocolSocket().pipe(
    Layer.provide(NodeSocket.layerNet({ host: "127.0.0.1", port, noDelay: true })),
    Layer.provide(RpcSerialization.layerSchemaBinary())
  )
  const client = await Layer.buildWithScope(protocol, scope).pipe(
    Effect.flatMap((context) => Effect.provide(RpcClient.make(RpcQuery.Queries), context)),
    Scope.provide(scope),
    Effect.runPromise
  )
  return {
    request: (body, onBytes) => {
      let frames = 0
      return client.Query({ request: body }).pipe(
        Stream.runForEachArray((chunks) =>
          Effect.sync(() => {
            for (const bytes of chunks) if (frames++ > 0) onBytes(bytes)
          })
        ),
        Effect.map(() => frames),
        Effect.runPromise
      )
    },
    close: () => Effect.runFork(Scope.close(scope, Exit.void))
  }
})
