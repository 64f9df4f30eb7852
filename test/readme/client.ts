import { Client } from "dataconn"
import { Effect, Stream } from "effect"

export const printTrades = Effect.gen(function* () {
  const client = yield* Client.connect("127.0.0.1:11653")
  const { chunks } = yield* client.query({ query: "SELECT * FROM trades", format: "application/x-ndjson" })
  yield* chunks.pipe(
    Stream.decodeText,
    Stream.runForEach((text) => Effect.sync(() => process.stdout.write(text)))
  )
}).pipe(Effect.scoped)
