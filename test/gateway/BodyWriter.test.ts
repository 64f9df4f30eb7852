import * as crypto from "node:crypto"
import { once } from "node:events"
import * as Http from "node:http"
import type * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { BodyWriter } from "../../src/gateway/BodyWriter.ts"

/** The response to a request, and a way for its client to leave. */
const response = Effect.gen(function* () {
  const server = Http.createServer()
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  const asked = once(server, "request")
  server.listen(0, "127.0.0.1")
  yield* Effect.promise(() => once(server, "listening"))
  const { port } = server.address() as Net.AddressInfo
  const client = Http.get({ port, host: "127.0.0.1" }, (message) => message.pause().on("error", () => {}))
  client.on("error", () => {})
  const [, made] = (yield* Effect.promise(() => asked)) as [Http.IncomingMessage, Http.ServerResponse]
  const leave = Effect.promise(() => {
    const closed = once(made, "close")
    client.destroy()
    return closed
  })
  return { made, leave }
})

describe("the body of a response whose client has gone", () => {
  for (const encoding of [undefined, "gzip", "zstd"] as const) {
    const options = { encoding, stallTimeout: Duration.infinity }

    it.live(`ends all the same (${encoding ?? "identity"})`, () =>
      Effect.gen(function* () {
        const { leave, made } = yield* response
        const writer = new BodyWriter(made, options)
        writer.write([Buffer.from("rows")])
        yield* leave
        yield* writer.end
        yield* writer.drained
      })
    )

    it.live(`is waited for no longer (${encoding ?? "identity"})`, () =>
      Effect.gen(function* () {
        const { leave, made } = yield* response
        const writer = new BodyWriter(made, options)
        // More than the system takes of a client that does not read.
        writer.write([crypto.randomBytes(16 * 1024 * 1024)])
        assert.isTrue(writer.isFull)
        yield* Effect.all([writer.drained, leave], { concurrency: "unbounded" })
        assert.isTrue(made.closed)
      })
    )
  }
})
