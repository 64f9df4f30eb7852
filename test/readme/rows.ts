import { Client } from "dataconn"
import { BigDecimal, Effect, Schema, Stream } from "effect"

const Trade = Schema.Struct({
  ts: Schema.DateTimeUtc,
  price: Schema.BigDecimal,
  size: Schema.BigInt
})

/** What was paid for a symbol in all, to the last digit. */
export const turnover = Effect.fnUntraced(function* (address: string, token: string, symbol: string) {
  const client = yield* Client.connect(address, { metadata: { token } })
  const query = "SELECT ts, price, size FROM trades WHERE symbol = $symbol"
  return yield* client.rows({ query, parameters: { symbol } }, Trade).pipe(
    Stream.map(({ price, size }) => BigDecimal.multiply(price, BigDecimal.fromBigInt(size))),
    Stream.runFold(() => BigDecimal.fromBigInt(0n), BigDecimal.sum)
  )
}, Effect.scoped)
