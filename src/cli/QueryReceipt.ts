/**
 * Compares a result with the server's receipt for it.
 */
import { crc32 } from "node:zlib"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { QueryResponse } from "../client/Client.ts"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Receipts from "../engine/Receipts.ts"

const differs = (message: string): QueryApi.QueryError => QueryApi.queryError("internal", message)

/**
 * The chunks of a response. They fail at their end if they differ from the receipt. Fails at once if the
 * server gives no receipt.
 */
export const verified = ({
  accepted,
  chunks,
  receipt
}: QueryResponse): Effect.Effect<QueryResponse["chunks"], QueryApi.QueryError> => {
  if (accepted.receipt !== true) {
    return Effect.fail(differs("The server gives no receipt, so the result cannot be verified (--verify)"))
  }
  let bytes = 0
  let crc = 0
  const counted = Stream.mapArray(chunks, (batch) => {
    for (const chunk of batch) {
      bytes += chunk.length
      crc = crc32(chunk, crc)
    }
    return batch
  })
  const check = Effect.suspend(() => {
    const given = receipt() ?? Result.fail(differs("The server gave no receipt"))
    if (Result.isFailure(given)) return Effect.fail(given.failure)
    const said = `${given.success.bytes} bytes with the checksum ${given.success.crc32}`
    const found = `${bytes} bytes with the checksum ${Receipts.hex(crc)}`
    return said === found
      ? Effect.void
      : Effect.fail(
          differs(`The result is not what was sent: the server says ${said}, and ${found} have come`)
        )
  })
  return Effect.succeed(Stream.concat(counted, Stream.fromEffectDrain(check)))
}
