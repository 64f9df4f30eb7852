import { Client, ClientPool } from "dataconn"
import { Effect, Schema, Stream } from "effect"

const Count = Schema.Struct({ n: Schema.Int })

const count = Effect.fnUntraced(function* (symbol: string) {
  const client = yield* Client.Client
  const query = "SELECT count(*) AS n FROM trades WHERE symbol = $symbol"
  const [row] = yield* Stream.runCollect(client.rows({ query, parameters: { symbol } }, Count))
  return row?.n
})

/** Asks for several symbols side by side, each on a connection of its own. */
export const counts = (address: string, token: string) =>
  Effect.forEach(["ABC", "DEF", "GHI"], count, { concurrency: 3 }).pipe(
    Effect.provide(ClientPool.layerConnect(address, { maxConnections: 16, metadata: { token } }))
  )
