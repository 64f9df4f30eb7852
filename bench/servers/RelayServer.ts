/**
 * A relay in front of another server: `RelayServer.js PORT pipe|passes|copies`. `pipe` connects sockets by hand
 * with `net.Socket.pipe`. The others are a DataConn server whose engine is a DataConn client: it passes the chunks of a
 * result on as it gets them, or copies them first.
 */
import * as Net from "node:net"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import { type Engine, QueryEngine, QueryFailed, QueryInitError } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as Server from "../../src/server/Server.ts"

const [upstream = "", mode = "passes"] = process.argv.slice(2)
const host = "127.0.0.1"

const ready = (port: number): void => console.log(`port ${port}`)

const pipe = (to: number): void => {
  const server = Net.createServer({ noDelay: true }, (near) => {
    const far = Net.connect({ host, port: to, noDelay: true })
    near.on("error", () => far.destroy())
    far.on("error", () => near.destroy())
    near.pipe(far)
    far.pipe(near)
  })
  server.listen(0, host, () => ready((server.address() as Net.AddressInfo).port))
}

const copied = (chunk: Uint8Array): Uint8Array => {
  const copy = chunk.slice()
  Chunk.release(chunk)
  return copy
}

const relay: Effect.Effect<Engine, never, Client.Client> = Effect.map(Client.Client, (client) => ({
  init: (request) =>
    client.request(request).pipe(
      Effect.map(({ chunks, payload }) => ({
        payload,
        chunks: (mode === "copies" ? Stream.map(chunks, copied) : chunks).pipe(
          Stream.mapError((error) =>
            error._tag === "QueryFailed" ? error : new QueryFailed({ payload: Buffer.from(error.message) })
          )
        )
      })),
      Effect.mapError((error) =>
        error._tag === "QueryRejected" ? error : new QueryInitError({ message: error.message })
      )
    )
}))

const serve = (to: number): void =>
  Effect.gen(function* () {
    const { addresses } = yield* Server.Server
    for (const address of addresses) if (address._tag === "Tcp") ready(address.port)
    return yield* Effect.never
  }).pipe(
    Effect.provide(
      Server.layer({ listen: [`${host}:0`], chunkSize: 1024 * 1024 }).pipe(
        Layer.provide(Layer.effect(QueryEngine, relay)),
        Layer.provide(ClientPool.layerConnect(`${host}:${to}`, { maxFrameSize: 2 ** 21 }))
      )
    ),
    NodeRuntime.runMain
  )

if (mode === "pipe") pipe(Number(upstream))
else serve(Number(upstream))
