/**
 * The receipt of a result: counted while the result is sent, and completed at its end.
 */
import { crc32 } from "node:zlib"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { encodeReceipt } from "./QueryBodies.ts"

/** The running totals of a result that is being sent. */
export interface Account {
  /** The same chunks, counted as they pass. */
  readonly counted: <E>(chunks: Stream.Stream<Uint8Array, E>) => Stream.Stream<Uint8Array, E>
  /** The body of the final message, once the chunks have ended. */
  readonly encode: () => Uint8Array
}

/** Eight hexadecimal digits. */
export const hex = (crc: number): string => crc.toString(16).padStart(8, "0")

/** Begins the totals of a query, whose time counts from now. */
export const make = Effect.fnUntraced(function* (
  queryId: string,
  rows: (() => number | undefined) | undefined
): Effect.fn.Return<Account> {
  const started = yield* Clock.monotonicTimeNanos
  let ended = started
  let bytes = 0
  let crc = 0
  const counted: Account["counted"] = (chunks) =>
    Stream.concat(
      Stream.mapArray(chunks, (batch) => {
        for (const chunk of batch) {
          bytes += chunk.length
          crc = crc32(chunk, crc)
        }
        return batch
      }),
      Stream.fromEffectDrain(
        Effect.map(Clock.monotonicTimeNanos, (now) => {
          ended = now
        })
      )
    )
  return {
    counted,
    encode: () =>
      encodeReceipt({
        queryId,
        rows: rows?.(),
        bytes,
        crc32: hex(crc),
        durationMs: Math.round(Number(ended - started) / 1e6)
      })
  }
})
