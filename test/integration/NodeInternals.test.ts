import { Buffer } from "node:buffer"
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import { Duplex } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { vi } from "vitest"
import * as NodeInternals from "../../src/net/NodeInternals.ts"
import type * as Transport from "../../src/net/Transport.ts"
import * as Poll from "../support/Poll.ts"
import { pair } from "../support/TcpPair.ts"

type Pair = Effect.Success<typeof pair>

/** The members of a socket that are nobody's business. */
type Private = Record<string, unknown> & { readonly _handle: Record<string, unknown> }
const privateOf = (socket: Net.Socket) => socket as unknown as Private

const hide = (object: object, name: string | symbol, value: unknown = undefined): void => {
  Object.defineProperty(object, name, { value, writable: true, configurable: true })
}

const kBuffer = (socket: Net.Socket): symbol => {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "kBuffer")
  return symbol ?? assert.fail("this Node has no kBuffer")
}

const outgoing = [Buffer.from("a"), Buffer.alloc(32 * 1024 * 1024, "large "), Buffer.from("z")] as const
const incoming = Buffer.alloc(3 * 1024 * 1024 + 1, "from the peer ")

/** Writes and reads through the transport, and gives what came at each end. */
const exchange = Effect.fnUntraced(function* ({ peer, transport }: Pick<Pair, "peer" | "transport">) {
  const atPeer: Array<Buffer> = []
  peer.on("data", (chunk) => void atPeer.push(chunk as Buffer))
  const here: Array<Uint8Array> = []
  let end: Cause.Cause<Socket.SocketError> | undefined
  transport.read({
    received: (chunks) => void here.push(...chunks),
    ended: (cause) => {
      end = cause
    }
  })
  peer.write(incoming)
  let most = 0
  const write = (parts: ReadonlyArray<Buffer>) =>
    Effect.callback<void, Socket.SocketError>((resume) => {
      const exit = transport.write(parts as unknown as Transport.Chunks, resume)
      most = Math.max(most, transport.unsent())
      if (exit !== undefined) resume(exit)
    })
  yield* write(outgoing)
  yield* write([outgoing[0]])
  peer.end()
  yield* Poll.until("all has come, and the end", () => end !== undefined)
  const total = Buffer.concat([...outgoing, outgoing[0]])
  yield* Poll.until("all is at the peer", () => Buffer.concat(atPeer).length === total.length)
  assert.isTrue(Buffer.concat(here).equals(incoming))
  assert.isTrue(Buffer.concat(atPeer).equals(total))
  assert.strictEqual(transport.unsent(), 0)
  return { mostUnsent: most }
})

describe("a transport", () => {
  it.live("brings and writes the same bytes by Node's private ways, which this Node has", () =>
    Effect.gen(function* () {
      const one = yield* pair
      const writev = vi.spyOn(one.near as unknown as { _writev: () => void }, "_writev")
      const cork = vi.spyOn(one.near, "cork")
      assert.isAbove((yield* exchange(one)).mostUnsent, 0)
      assert.strictEqual(writev.mock.calls.length, 1)
      assert.strictEqual(cork.mock.calls.length, 0)
      assert.instanceOf((one.near as unknown as Record<symbol, unknown>)[kBuffer(one.near)], Uint8Array)
    })
  )

  const missing: ReadonlyArray<readonly [name: string, remove: (near: Net.Socket) => void]> = [
    ["_writev", (near) => hide(near, "_writev")],
    ["_handle.writeQueueSize", (near) => hide(privateOf(near)._handle, "writeQueueSize")],
    ["_handle.useUserBuffer", (near) => hide(privateOf(near)._handle, "useUserBuffer")],
    ["a free kBuffer", (near) => hide(near, kBuffer(near), undefined)]
  ]
  for (const [name, remove] of missing) {
    it.live(`brings and writes the same bytes where ${name} is missing`, () =>
      Effect.gen(function* () {
        const one = yield* pair
        remove(one.near)
        const cork = vi.spyOn(one.near, "cork")
        const { mostUnsent } = yield* exchange(one)
        // The stream does not know what its queue has not seen.
        if (name !== "_handle.writeQueueSize") assert.isAbove(mostUnsent, 0)
        assert.strictEqual(cork.mock.calls.length > 0, name === "_writev")
      })
    )
  }

  for (const name of ["kBuffer", "kBufferCb"]) {
    it.live(`brings and writes the same bytes where no socket has ${name}`, () =>
      Effect.gen(function* () {
        const one = yield* pair
        const transport = yield* withoutSymbol(name, one.near)
        yield* exchange({ peer: one.peer, transport })
      })
    )
  }
})

/** The transport of modules that are loaded when sockets have no symbol of this name. */
const withoutSymbol = (name: string, near: Net.Socket) =>
  Effect.gen(function* () {
    const symbols = Object.getOwnPropertySymbols
    const fresh = yield* Effect.promise(async () => {
      vi.resetModules()
      const spy = vi
        .spyOn(Object, "getOwnPropertySymbols")
        .mockImplementation((object) => symbols(object).filter(({ description }) => description !== name))
      try {
        return {
          Internals: await import("../../src/net/NodeInternals.ts"),
          Tcp: await import("../../src/net/Tcp.ts")
        }
      } finally {
        spy.mockRestore()
      }
    })
    assert.isFalse(fresh.Internals.readIntoShared(near, () => {}))
    return yield* fresh.Tcp.fromSocket(near) as Effect.Effect<
      Transport.Transport,
      Socket.SocketError,
      Scope.Scope
    >
  })

describe("sockets of others", () => {
  it("are written to in public where they have no private way", () => {
    const calls: Array<string> = []
    const socket = {
      cork: () => void calls.push("cork"),
      uncork: () => void calls.push("uncork"),
      write: (part: Uint8Array, written?: () => void) => {
        calls.push(`write ${Buffer.from(part)}`)
        written?.()
      }
    } as unknown as Net.Socket
    const written = () => void calls.push("written")
    NodeInternals.write(socket, [Buffer.from("a"), Buffer.from("b")], written)
    assert.deepStrictEqual(calls.splice(0), ["cork", "write a", "write b", "written", "uncork"])
    NodeInternals.write(socket, [Buffer.from("c")], written)
    assert.deepStrictEqual(calls, ["cork", "write c", "written", "uncork"])
  })

  it("tell what is unsent by what the stream holds where their handle does not know", () => {
    const unsent = (socket: object) => NodeInternals.unsent(socket as Net.Socket)
    assert.strictEqual(unsent({ _handle: { writeQueueSize: 3 }, writableLength: 7 }), 3)
    for (const handle of [undefined, null, {}]) {
      assert.strictEqual(unsent({ _handle: handle, writableLength: 7 }), 7)
    }
  })
})

describe("a connection of an HTTP server", () => {
  const listening = Effect.acquireRelease(
    Effect.promise(async () => {
      const server = Http.createServer().listen(0, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  )

  it.effect("says whose turn it is, and whether a request is being read", () =>
    Effect.gen(function* () {
      const server = yield* listening
      const { port } = server.address() as Net.AddressInfo
      yield* Effect.promise(async () => {
        const client = Net.connect(port, "127.0.0.1")
        client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        const [request, response]: [Http.IncomingMessage, Http.ServerResponse] = (await once(
          server,
          "request"
        )) as never
        const { socket } = request
        assert.strictEqual(NodeInternals.currentResponse(socket), response)
        assert.isTrue(NodeInternals.isWithinRequest(socket))
        request.resume()
        client.write("b")
        await once(request, "end")
        assert.isFalse(NodeInternals.isWithinRequest(socket))
        response.end()
        await once(response, "close")
        assert.isUndefined(NodeInternals.currentResponse(socket))
        client.destroy()
      })
    })
  )

  it("has no response under way, and no request, where Node does not say", () => {
    const socket = new Duplex()
    assert.isUndefined(NodeInternals.currentResponse(socket))
    assert.isFalse(NodeInternals.isWithinRequest(socket))
  })
})
