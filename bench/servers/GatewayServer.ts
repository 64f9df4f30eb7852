/** The gateway in front of a DataConn server, without a log, as the relay by hand, and with the heap of the command: `GatewayServer.js PORT`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as Heap from "../../src/cli/Heap.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"

const [upstream = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  yield* Heap.keepYoung
  const { addresses } = yield* Gateway.make({
    http: ["127.0.0.1:0"],
    backends: { main: [`127.0.0.1:${upstream}`] },
    backendConnections: 256
  })
  for (const address of addresses) if (address._tag === "Tcp") console.log(`port ${address.port}`)
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.provideService(Effect.scoped(program), References.MinimumLogLevel, "Warn"))
