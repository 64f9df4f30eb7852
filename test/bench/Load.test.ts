import { once } from "node:events"
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Load from "../../bench/support/Load.ts"
import * as Native from "../../bench/support/Native.ts"
import * as Processes from "../../bench/support/Processes.ts"
import * as Workload from "../../bench/support/Workload.ts"
import * as Message from "../../src/protocol/Message.ts"

const onThreads: Processes.Command = [...Processes.script("clients/NodeClient"), "--threads=2"]
const clients = [
  ["on threads of Node", onThreads],
  ...(Native.hasCompiler ? ([["that is native", [Native.binary("load")]]] as const) : [])
] as const

const load: Load.Load = {
  connections: 5,
  requests: 3,
  workload: { total: 1_000_003, chunkSize: 1000, mode: "ready" },
  padding: 100_000
}

/** Answers every request with these frames. */
const answering = async (frames: ReadonlyArray<Message.Message>) => {
  const bytes = Buffer.concat(frames.map((frame) => Message.encode(frame)))
  const server = Net.createServer((socket) => socket.on("data", () => socket.write(bytes)))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return { port: String((server.address() as Net.AddressInfo).port), [Symbol.dispose]: () => server.close() }
}

const accept = Message.make(Message.Type.Accept, Workload.accept)
const final = (body: Uint8Array) => Message.make(Message.Type.Final, body)

const failure = async (run: Promise<Load.Result>): Promise<string> =>
  run.then(
    () => "none",
    (error) => String(error)
  )

for (const [what, client] of clients) {
  describe(`the load client ${what}`, () => {
    it("takes every byte of every result", async () => {
      const result = await Processes.using(Processes.script("servers/RawServer"), [], async (server) =>
        Load.run(client, await server.line("port"), load, { verify: true })
      )
      assert.strictEqual(result.responses, 15)
      assert.strictEqual(result.bytes, 15 * load.workload.total)
      // An accept and 1001 chunks each.
      assert.strictEqual(result.frames, 15 * 1002)
    })

    const one: Load.Load = {
      connections: 1,
      requests: 1,
      workload: { total: 4, chunkSize: 4, mode: "ready" }
    }

    it("fails if a result is not the one that was asked for", async () => {
      using server = await answering([accept, final(Buffer.from("ABCd"))])
      assert.include(
        await failure(Load.run(client, server.port, one, { verify: true })),
        "not what was asked for"
      )
    })

    it("fails if a result is short", async () => {
      using server = await answering([accept, final(Buffer.from("ABC"))])
      assert.include(await failure(Load.run(client, server.port, one)), '"bytes":3')
    })

    it("fails if a request is rejected", async () => {
      using server = await answering([Message.make(Message.Type.Reject, Buffer.from("{}"))])
      assert.include(await failure(Load.run(client, server.port, one)), "ended with 1")
    })
  })
}
