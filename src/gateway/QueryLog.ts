/** The log line for the end of a query. */
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import type { Origin } from "./Dispatcher.ts"
import type { Entry } from "./Queries.ts"

/** Logs the caller, the route and the end of a query, without its text. */
export const ended = (entry: Entry, origin: Origin, nanos: bigint): Effect.Effect<void> =>
  Effect.flatMap(isWanted, (wanted) => (wanted ? line(entry, origin, nanos) : Effect.void))

const isWanted = LogLevel.isEnabled("Info")

const line = (entry: Entry, { caller, client }: Origin, nanos: bigint): Effect.Effect<void> => {
  const { backend, address, bytes, durationMs, queryId, rows, state } = entry.verdict(nanos)
  const who = [client, caller.name].filter((part) => part !== undefined).join(" ")
  const to = [backend, address].filter((part) => part !== undefined).join(" ")
  const size = `${rows === undefined ? "" : `${rows} rows, `}${bytes} bytes, ${durationMs} ms`
  const why = entry.error === undefined ? "" : `: ${entry.error.code}`
  const text = `${who} => ${to} ${state} (queryId ${queryId}, ${size})${why}`
  const fields = {
    event: "Query",
    queryId,
    state,
    ...(caller.name === undefined ? {} : { token: caller.name }),
    client,
    backend,
    address,
    rows,
    bytes,
    durationMs,
    code: entry.error?.code
  }
  return Effect.logInfo(text, fields)
}
