/**
 * An engine of the v1 API that makes rows by the words of its query, and counts what became of its queries:
 *
 * - `rows N` gives N rows, `fail N` fails after N of them, `die N` has a defect there.
 * - `hang N` computes for ever after N rows, `held N` fails there once it is released.
 * - `silent` gives no row and no end, and says that half of it is done; `endless` gives rows without an end; `stuck` is
 *   not even accepted.
 * - `reject CODE` is rejected with that code.
 * - `echo` gives the request back as one row.
 *
 * Rows are JSON objects, or lines of CSV; a JSON result is a list of them, and other formats are these bytes too.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Rows of one chunk. */
const batch = 500

const filler = "x".repeat(80)

const row = (format: QueryApi.Format, n: number): string =>
  format === "text/csv" ? `${n},${filler}\r\n` : `${JSON.stringify({ n, filler })}`

const join = (format: QueryApi.Format, from: number, count: number): string => {
  const rows = Array.from({ length: count }, (_, index) => row(format, from + index))
  if (format === "text/csv") return rows.join("")
  return format === "application/json" ? `${from > 0 ? "," : ""}${rows.join(",")}` : `${rows.join("\n")}\n`
}

const frame = (
  format: QueryApi.Format,
  chunks: Stream.Stream<string, QueryApi.QueryError>
): Stream.Stream<string, QueryApi.QueryError> => {
  if (format === "text/csv") return Stream.concat(Stream.make("n,filler\r\n"), chunks)
  return format === "application/json"
    ? Stream.make("[").pipe(Stream.concat(chunks), Stream.concat(Stream.make("]")))
    : chunks
}

export interface RowEngine {
  readonly engine: QueryEngine["Service"]
  readonly begun: () => number
  readonly ended: () => number
  /** Rows that were asked for. */
  readonly made: () => number
  /** The last requests, as they arrived. */
  readonly requests: ReadonlyArray<Record<string, unknown>>
  readonly release: Effect.Effect<void>
}

export const make = (
  name = "engine",
  formats: ReadonlyArray<QueryApi.Format> = QueryApi.Format.literals
): RowEngine => {
  let begun = 0
  let ended = 0
  let made = 0
  const requests: Array<Record<string, unknown>> = []
  const released = Latch.makeUnsafe(false)

  const rows = (format: QueryApi.Format, count: number) =>
    Stream.unfold(0, (from) => {
      if (from >= count) return Effect.succeed(undefined)
      const size = Math.min(batch, count - from)
      made += size
      return Effect.succeed([join(format, from, size), from + size] as const)
    })

  const failure = QueryApi.queryError("execution_failed", "Division by zero")
  const conflict = new QueryApi.QueryError({
    code: "execution_failed",
    message: "Conflict on update!",
    retryable: true
  })

  const run = ({ format, query }: QueryApi.ResolvedRequest) => {
    const [word, argument = "0"] = query.split(/\s+/)
    const count = Number(argument)
    const accept = (chunks: Stream.Stream<string, QueryApi.QueryError>) =>
      Effect.succeed({
        columns: [
          { name: "n", type: "INTEGER" },
          { name: "filler", type: "VARCHAR" }
        ],
        chunks: Stream.map(frame(format, chunks), (text) => encoder.encode(text))
      })
    switch (word) {
      case "rows":
        return accept(rows(format, count))
      case "fail":
        return accept(Stream.concat(rows(format, count), Stream.fail(failure)))
      case "conflict":
        return Effect.fail(conflict)
      case "die":
        return accept(Stream.concat(rows(format, count), Stream.die(new Error("a fault"))))
      case "hang":
        return accept(Stream.concat(rows(format, count), Stream.never))
      case "held":
        return accept(
          rows(format, count).pipe(
            Stream.concat(Stream.fromEffectDrain(released.await)),
            Stream.concat(Stream.fail(failure))
          )
        )
      case "silent":
        return Effect.map(accept(Stream.never), (result) => ({
          ...result,
          progress: () => ({ fraction: 0.5 })
        }))
      case "endless":
        return accept(rows(format, Number.POSITIVE_INFINITY))
      case "stuck":
        return Effect.never
      case "reject":
        return Effect.fail(QueryApi.queryError(argument as QueryApi.ErrorCode, "rejected", { position: 3 }))
      default:
        return accept(Stream.make(`${JSON.stringify({ name, ...requests.at(-1) })}\n`))
    }
  }

  const inner = QueryApi.makeEngine({
    formats,
    run: (request) =>
      Effect.suspend(() => {
        begun++
        return Effect.andThen(
          Effect.addFinalizer(() =>
            Effect.sync(() => {
              ended++
            })
          ),
          run(request)
        )
      })
  })
  return {
    engine: QueryEngine.of({
      ...inner,
      init: (body) => {
        requests.push(JSON.parse(decoder.decode(body)))
        if (requests.length > 100) requests.shift()
        return inner.init(body)
      }
    }),
    begun: () => begun,
    ended: () => ended,
    made: () => made,
    requests,
    release: Effect.asVoid(released.open)
  }
}
