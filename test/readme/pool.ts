import { Client, ClientPool } from "dataconn"
import { Effect, Stream } from "effect"

const count = Effect.fnUntraced(function* (symbol: string) {
  const client = yield* Client.Client
  const { chunks } = yield* client.query({
    query: "SELECT count(*) FROM trades WHERE symbol = $symbol",
    parameters: { symbol },
    format: "application/x-ndjson"
  })
  return yield* Stream.mkString(Stream.decodeText(chunks))
}, Effect.scoped)

/** Asks for several symbols side by side, each on a connection of its own. */
export const counts = (address: string, token: string) =>
  Effect.forEach(["ABC", "DEF", "GHI"], count, { concurrency: 3 }).pipe(
    Effect.provide(ClientPool.layerConnect(address, { maxConnections: 16, metadata: { token } }))
  )
