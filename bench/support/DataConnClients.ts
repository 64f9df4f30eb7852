/**
 * DataConn's own client: a connection for each user or a pool for all, with a result's chunks released or kept.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as Address from "../../src/net/Address.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as LoadClient from "./LoadClient.ts"

type Chunks = "released" | "kept"
type Made<E> = Effect.Effect<Client.ClientService, E, Scope.Scope>

const settings = { maxFrameSize: 2 ** 21 }
const server = (port: number): Address.Address => Address.tcp("127.0.0.1", port)

const connect = async <E>(client: Made<E>, which: Chunks): Promise<LoadClient.Connection> => {
  const scope = Scope.makeUnsafe()
  const { request } = await Effect.runPromise(Scope.provide(client, scope))
  return {
    request: (body, onBytes) => {
      let frames = 1
      return Effect.flatMap(request(body), (response) =>
        Stream.runForEachArray(response.chunks, (parts) =>
          Effect.sync(() => {
            frames += parts.length
            for (const part of parts) {
              onBytes(part)
              if (which === "released") Chunk.release(part)
            }
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
}

export const main = (which: Chunks): Promise<void> =>
  LoadClient.main((port) => connect(Client.connect(server(port), settings), which))

/** As many connections as there are users: each has one request in flight. */
export const pool = (which: Chunks): Promise<void> => {
  let shared: Promise<LoadClient.Connection> | undefined
  return LoadClient.main((port) => {
    shared ??= connect(ClientPool.connect(server(port), { ...settings, maxConnections: 1000 }), which)
    return shared
  })
}
