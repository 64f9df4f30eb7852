import { once } from "node:events"
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Processes from "../../bench/support/Processes.ts"
import * as Workload from "../../bench/support/Workload.ts"
import * as Client from "../../src/client/Client.ts"
import * as Address from "../../src/net/Address.ts"
import { isLong } from "../support/Long.ts"

const withServer = <A>(
  use: (client: Client.ClientService, port: number) => Effect.Effect<A, unknown>,
  ...args: ReadonlyArray<string>
): Promise<A> =>
  Processes.using(Processes.script("servers/RawServer"), args, async (server) => {
    const port = Number(await server.line("port"))
    return Client.connect(Address.tcp("127.0.0.1", port)).pipe(
      Effect.flatMap((client) => use(client, port)),
      Effect.scoped,
      Effect.runPromise
    )
  })

const result = (client: Client.ClientService, workload: Workload.Workload) =>
  client.request(Buffer.from(Workload.format(workload))).pipe(
    Effect.flatMap(({ chunks }) => Stream.runCollect(chunks)),
    Effect.map((chunks) => Buffer.concat(chunks)),
    Effect.scoped
  )

describe.runIf(isLong)("the hand-written server that others are measured against", () => {
  it("answers as the protocol says, whatever the size of the result", () =>
    withServer((client) =>
      Effect.gen(function* () {
        for (const mode of ["ready", "streamed"] as const) {
          for (const total of [0, 1, 120, 5000, 3_000_000]) {
            const bytes = yield* result(client, { total, chunkSize: 1000, mode })
            assert.strictEqual(bytes.length, total)
            assert.isTrue(Workload.matches(bytes, 0))
          }
        }
      })
    ))

  it("ends a response that is cancelled and takes the next request", () =>
    withServer((client) =>
      Effect.gen(function* () {
        const endless = Buffer.from(Workload.format(Workload.endless))
        // The scope's end cancels, and waits for the acknowledgement.
        yield* Effect.scoped(
          Effect.flatMap(client.request(endless), ({ chunks }) => Stream.runDrain(Stream.take(chunks, 3)))
        )
        const bytes = yield* result(client, { total: 10, chunkSize: 10, mode: "ready" })
        assert.strictEqual(bytes.toString(), "ABCDEFGHIJ")
      })
    ))

  it("sends heartbeats to those that ask for nothing", () =>
    withServer(
      (_, port) =>
        Effect.promise(async () => {
          const socket = Net.connect(port, "127.0.0.1")
          const [bytes] = await once(socket, "data")
          socket.destroy()
          assert.strictEqual(Buffer.from(bytes).toString("latin1"), "\0\0\0\0H")
        }),
      "1"
    ))
})
