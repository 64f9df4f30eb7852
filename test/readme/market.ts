import { QueryApi, Server } from "dataconn"
import { DuckDbEngine } from "dataconn/duckdb"
import { Effect, Layer } from "effect"

/** Serves a file of trades to those who know the token. */
export const marketServer = (file: string, address: string, token: string) =>
  Server.layer({ listen: [address], maxConcurrentQueries: 8 }).pipe(
    Layer.provide(
      DuckDbEngine.layer({
        tables: { trades: file },
        memoryLimit: "1GB",
        admit: ({ metadata }) =>
          metadata["token"] === token
            ? Effect.void
            : Effect.fail(QueryApi.queryError("not_allowed", "metadata.token is not one of this server's"))
      })
    )
  )
