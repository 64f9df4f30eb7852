/**
 * A server of the v1 API on a free port, whose engine does what its query's first word says.
 *
 * - `echo` gives the query, parameters and format it was asked with, as JSON.
 * - `reject` is rejected with a syntax error at the position that follows, `busy` as overloaded; `fail` fails after a
 *   first chunk.
 * - `csv` gives what follows as CSV with CRLF for each `|`.
 * - `endless` gives lines without an end, `stuck` a first chunk and nothing more.
 */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Connection from "../../src/server/Connection.ts"
import { ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as Settings from "../../src/server/Settings.ts"

const encoder = new TextEncoder()
const line = encoder.encode(`${"x".repeat(99)}\n`)

const chunks = (request: QueryApi.ResolvedRequest): Stream.Stream<Uint8Array, QueryApi.QueryError> => {
  const { format, metadata, parameters, query, timeout } = request
  const first = Stream.succeed(line)
  switch (query.split(" ")[0]) {
    case "fail":
      return Stream.concat(first, Stream.fail(QueryApi.queryError("execution_failed", "Division by zero")))
    case "endless":
      return Stream.forever(first)
    case "stuck":
      return Stream.concat(first, Stream.never)
    case "csv":
      return Stream.succeed(encoder.encode(query.slice("csv ".length).replaceAll("|", "\r\n")))
    default:
      return Stream.succeed(
        encoder.encode(
          JSON.stringify({
            query,
            parameters,
            format,
            timeout: timeout && String(timeout),
            metadata: Object.keys(metadata).length > 0 ? metadata : undefined
          })
        )
      )
  }
}

const engineOf = (formats: ReadonlyArray<QueryApi.Format>) =>
  QueryApi.makeEngine({
    formats,
    run: (request) => {
      const [word, position] = request.query.replace(/^(\s*--.*\n)*/, "").split(/\s+/)
      if (word === "busy")
        return Effect.fail(QueryApi.queryError("overloaded", "too many", { retryAfterMs: 5 }))
      return word === "reject"
        ? Effect.fail(
            QueryApi.queryError("syntax_error", "syntax error at or near", { position: Number(position) })
          )
        : Effect.succeed({ chunks: chunks(request) })
    }
  })

/** The engine. */
export const engine = engineOf(QueryApi.Format.literals)

/** Starts a server in the scope whose engine has these formats. */
export const ofFormats = Effect.fnUntraced(function* (...formats: ReadonlyArray<QueryApi.Format>) {
  const events = yield* Queue.unbounded<string>()
  const server = yield* NodeSocketServer.make({ host: "127.0.0.1", port: 0 })
  const serve = server.run((socket) =>
    Connection.serve(Transport.fromSocket(socket), {
      info: () => ({ id: 1, local: "server", remote: "client" }),
      settings: Settings.defaults
    })
  )
  yield* serve.pipe(
    Effect.provideService(QueryEngine, engineOf(formats)),
    Effect.provideService(ConnectionEvents, {
      publish: (event) => Effect.asVoid(Queue.offer(events, event._tag))
    }),
    Effect.forkScoped
  )
  const { address } = server
  /** Waits until a connection has had this event. */
  const happened = (tag: string): Effect.Effect<void> =>
    Effect.flatMap(Queue.take(events), (event) => (event === tag ? Effect.void : happened(tag)))
  return { address: `127.0.0.1:${"port" in address ? address.port : 0}`, happened }
})

/** Starts the server with all formats in the scope. */
export const make = ofFormats(...QueryApi.Format.literals)
