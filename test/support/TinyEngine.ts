/**
 * A small engine that does what the text of a request says, and counts what became of its queries:
 *
 * - `echo TEXT` answers with the text.
 * - `reject`, `fail` and `init` fail as their names say.
 * - `silent` accepts and then computes for ever; `stuck` does so before it accepts.
 * - `endless` streams for ever, `large N` streams N MiB.
 * - `held` accepts, answers `begun`, and ends when it is released.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import {
  type AcceptedQuery,
  QueryEngine,
  QueryFailed,
  QueryInitError,
  QueryRejected
} from "../../src/engine/QueryEngine.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const blockSize = 64 * 1024
const block = new Uint8Array(blockSize).fill(0x78)

export interface TinyEngine {
  readonly engine: QueryEngine["Service"]
  /** Queries that have begun, and those of them whose scope has closed. */
  readonly begun: () => number
  readonly ended: () => number
  /** How many bytes were taken from `endless` and `large` streams. */
  readonly taken: () => number
  readonly release: Effect.Effect<void>
}

export const make = (): TinyEngine => {
  const released = Latch.makeUnsafe(false)
  let begun = 0
  let ended = 0
  let taken = 0

  const blocks = Stream.map(Stream.forever(Stream.make(block)), (bytes) => {
    taken += bytes.length
    return bytes
  })
  const accept = (chunks: AcceptedQuery["chunks"]) =>
    Effect.succeed({ payload: encoder.encode("yes"), chunks })

  const answer = (text: string): Effect.Effect<AcceptedQuery, QueryRejected | QueryInitError> => {
    const [word, ...rest] = text.split(" ")
    const argument = rest.join(" ")
    switch (word) {
      case "echo":
        return accept(Stream.make(encoder.encode(argument)))
      case "fail":
        return accept(
          Stream.concat(
            Stream.make(encoder.encode("part")),
            Stream.fail(new QueryFailed({ payload: encoder.encode("failed") }))
          )
        )
      case "silent":
        return accept(Stream.never)
      case "stuck":
        return Effect.never
      case "endless":
        return accept(blocks)
      case "large":
        return accept(Stream.take(blocks, (Number(argument) * 1024 * 1024) / blockSize))
      case "held":
        return accept(
          Stream.concat(
            Stream.make(encoder.encode("begun")),
            Stream.fromEffect(Effect.as(released.await, encoder.encode("released")))
          )
        )
      case "init":
        return Effect.fail(new QueryInitError({ message: "broken" }))
      default:
        return Effect.fail(new QueryRejected({ payload: encoder.encode("rejected") }))
    }
  }

  return {
    engine: QueryEngine.of({
      init: (request) =>
        Effect.suspend(() => {
          begun++
          return Effect.andThen(
            Effect.addFinalizer(() =>
              Effect.sync(() => {
                ended++
              })
            ),
            answer(decoder.decode(request))
          )
        })
    }),
    begun: () => begun,
    ended: () => ended,
    taken: () => taken,
    release: Effect.asVoid(released.open)
  }
}
