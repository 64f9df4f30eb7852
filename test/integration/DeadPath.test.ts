/**
 * Paths that are cut without a word, in network namespaces, which only root may make.
 */
import { spawn, spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Address from "../../src/net/Address.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

const ip = (...args: ReadonlyArray<string>): boolean => spawnSync("ip", args).status === 0

const name = `dc${process.pid % 100_000}`
const net = `10.${200 + (process.pid % 50)}.${(process.pid >> 6) % 250}`
const server = `${net}.1`

/** A namespace, and a cable from it to here. Whether the machine allows that. */
const makeNetwork = (): boolean =>
  ip("netns", "add", name) &&
  ip("link", "add", `${name}a`, "type", "veth", "peer", "name", `${name}b`, "netns", name) &&
  ip("addr", "add", `${server}/30`, "dev", `${name}a`) &&
  ip("link", "set", `${name}a`, "up") &&
  ip("-n", name, "addr", "add", `${net}.2/30`, "dev", `${name}b`) &&
  ip("-n", name, "link", "set", `${name}b`, "up")

const network = Effect.acquireRelease(Effect.sync(makeNetwork), () =>
  Effect.sync(() => {
    ip("link", "del", `${name}a`)
    ip("netns", "del", name)
  })
)

const client = (port: number, request: string): string => `
  const socket = require("node:net").connect(${port}, "${server}")
  const body = Buffer.from("${request}")
  socket.on("connect", () => socket.write(Buffer.concat([Buffer.from([body.length, 0, 0, 0, 0x52]), body])))
  socket.on("data", () => {})
`

describe("a path that is cut", () => {
  const canMake = process.getuid?.() === 0 && ip("netns", "list")

  it.live.skipIf(!canMake)("ends the connection within peerTimeout, and its query", () =>
    Effect.gen(function* () {
      if (!(yield* network)) return
      const tiny = TinyEngine.make()
      const live = yield* LiveServer.start(tiny.engine, {
        listen: [`${server}:0`],
        heartbeatInterval: "50 millis",
        peerTimeout: "1500 millis"
      })
      const { address } = live
      const port = address._tag === "Tcp" ? address.port : assert.fail(Address.format(address))
      for (const request of ["silent", "endless"]) {
        const child = spawn("ip", ["netns", "exec", name, process.execPath, "-e", client(port, request)])
        yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
      }
      yield* live.event("Accepted", 1)
      // What the clients send, acknowledgements too, goes nowhere from now on.
      assert.isTrue(ip("-n", name, "route", "add", "blackhole", `${server}/32`))
      const { control, detail } = yield* live.event("Closed", 1)
      assert.strictEqual(control.reason, "read")
      assert.include(detail, "peerTimeout")
      yield* Poll.until("the queries have ended", () => tiny.ended() === 2)
    }).pipe(Effect.scoped)
  )

  it.live.skipIf(!canMake)("does not take a client for dead that answers", () =>
    Effect.gen(function* () {
      const tiny = TinyEngine.make()
      const live = yield* LiveServer.start(tiny.engine, {
        heartbeatInterval: "20 millis",
        peerTimeout: "200 millis"
      })
      const stalled = yield* LiveServer.dial(live.address, { paused: true })
      stalled.socket.write(Buffer.from([7, 0, 0, 0, 0x52, ...Buffer.from("endless")]))
      const peer = yield* LiveServer.connect(live.address)
      yield* peer.request("silent")
      for (let beats = 0; beats < 40; beats++) yield* peer.next
      assert.isFalse(live.events.some(({ _tag }) => _tag === "Closed"))
    }).pipe(Effect.scoped)
  )
})
