/**
 * DataConn's own client, with a result's chunks as it lends them, or to keep.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import * as Address from "../../src/wire/Address.ts"
import * as LoadClient from "./LoadClient.ts"

export const main = (which: "chunks" | "lentChunks"): Promise<void> =>
  LoadClient.main(async (port) => {
    const scope = Scope.makeUnsafe()
    const client = await Effect.runPromise(
      Scope.provide(Client.connect(Address.tcp("127.0.0.1", port), { maxFrameSize: 2 ** 21 }), scope)
    )
    return {
      request: (body, onBytes) => {
        let frames = 1
        return Effect.flatMap(client.request(body), (response) =>
          Stream.runForEachArray(response[which], (parts) =>
            Effect.sync(() => {
              frames += parts.length
              for (const part of parts) onBytes(part)
            })
          )
        ).pipe(
          Effect.scoped,
          Effect.map(() => frames),
          Effect.runPromise
        )
      },
      close: () => Effect.runFork(Scope.close(scope, Exit.void))
    }
  })
