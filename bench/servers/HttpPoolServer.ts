/**
 * The least that a gateway on Effect's HTTP server and the package's client pool can be: `HttpPoolServer.js PORT`. One
 * route, whose body is the query, and whose response is the whole result. It has no ids, limits, formats or errors.
 */
import * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Pull from "effect/Pull"
import type * as Client from "../../src/client/Client.ts"
import type { ClientError } from "../../src/client/ClientError.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { QueryFailed } from "../../src/engine/QueryEngine.ts"

const [upstream = ""] = process.argv.slice(2)
const headers = { "cache-control": "no-store" }

const formatOf = ({ headers }: HttpServerRequest): QueryApi.Format =>
  headers["accept"] === "application/x-ndjson" ? "application/x-ndjson" : "application/json"

const whole = ({ hasEnded, pull }: Client.Response) => {
  const chunks: Array<Uint8Array> = []
  const done = Effect.sync(() => Buffer.concat(chunks))
  const more: Effect.Effect<Buffer, ClientError | QueryFailed> = Pull.matchEffect(pull, {
    onSuccess: (batch) => {
      chunks.push(...batch)
      return hasEnded() ? done : more
    },
    onFailure: Effect.failCause,
    onDone: () => done
  })
  return more
}

const program = Effect.gen(function* () {
  const client = yield* ClientPool.connect(`127.0.0.1:${upstream}`, { maxConnections: 256 })
  const server = Http.createServer({ highWaterMark: 256 * 1024, noDelay: true })
  const http = yield* NodeHttpServer.make(() => server, { port: 0, host: "127.0.0.1" })
  const router = yield* HttpRouter.make
  const answer = HttpRouter.route("POST", "/v1/query", (request) =>
    request.text.pipe(
      Effect.flatMap((query) => client.request(QueryApi.encodeRequest({ query, format: formatOf(request) }))),
      Effect.flatMap(whole),
      Effect.map((bytes) =>
        HttpServerResponse.uint8Array(bytes, { headers, contentType: formatOf(request) })
      ),
      Effect.orDie
    )
  )
  yield* router.addAll([answer])
  yield* http.serve(router.asHttpEffect())
  const address = server.address()
  if (address !== null && typeof address === "object") console.log(`port ${address.port}`)
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.scoped(program))
