/**
 * A real server on a real socket, and clients for it. Servers listen on loopback, on a port of the system's
 * choice.
 */
import * as NodeFs from "node:fs"
import * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import type * as Address from "../../src/net/Address.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as Server from "../../src/server/Server.ts"
import type * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as Peer from "./Peer.ts"
import * as Poll from "./Poll.ts"

export interface LiveServer {
  readonly server: Server.Server["Service"]
  readonly address: Address.Address
  readonly events: ReadonlyArray<ConnectionEvent>
  /** The server's log. */
  readonly log: ReadonlyArray<string>
  /** The event of this kind that comes `nth`, from 0; waits for it. */
  readonly event: <T extends ConnectionEvent["_tag"]>(
    tag: T,
    nth?: number
  ) => Effect.Effect<ConnectionEvent & { readonly _tag: T }>
  /** Stops the server, as closing its scope does; ends when it has stopped. */
  readonly stop: Effect.Effect<void>
}

export const start = Effect.fnUntraced(function* (
  engine: QueryEngine["Service"],
  config: ServerConfig.Options = {}
) {
  const events: Array<ConnectionEvent> = []
  const log: Array<string> = []
  const logger = Logger.make(({ cause, logLevel, message }) => {
    log.push(`${logLevel}: ${message}`, ...(cause.reasons.length === 0 ? [] : [Cause.pretty(cause)]))
  })
  const outer = yield* Effect.scope
  const scope = yield* Scope.fork(outer)
  const server = yield* Server.make({ listen: ["127.0.0.1:0"], ...config }).pipe(
    Scope.provide(scope),
    Effect.provideService(QueryEngine, engine),
    Effect.provideService(ConnectionEvents, {
      publish: (event) => Effect.sync(() => void events.push(event))
    }),
    Effect.provide(Logger.layer([logger])),
    Effect.orDie
  )
  const find = <T extends ConnectionEvent["_tag"]>(tag: T, nth: number) =>
    events.filter((event) => event._tag === tag)[nth]
  const address = server.addresses[0]
  if (address === undefined) return yield* Effect.die(new Error("the server listens nowhere"))
  const live: LiveServer = {
    server,
    address,
    events,
    log,
    event: (tag, nth = 0) =>
      Effect.map(
        Poll.until(`event ${nth} of kind ${tag}`, () => find(tag, nth) !== undefined),
        () => find(tag, nth) as never
      ),
    stop: Scope.close(scope, Exit.void)
  }
  return live
})

const where = (address: Address.Address): Net.NetConnectOpts =>
  address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }

/** A client that is driven frame by frame; it leaves with the scope. */
export const connect = (address: Address.Address) =>
  Effect.flatMap(NodeSocket.makeNet(where(address) as never), Peer.make)

export interface RawClient {
  readonly socket: Net.Socket
  /** What the server has sent so far. */
  readonly received: () => Buffer
  /** Waits until the server has closed the connection, and returns all that it sent. */
  readonly closed: Effect.Effect<Buffer>
}

/** A client that sends whatever bytes it likes; it is gone with the scope. `paused`: it does not read. */
export const dial = (address: Address.Address, options: { readonly paused?: boolean } = {}) =>
  Effect.acquireRelease(
    Effect.callback<RawClient, Error>((resume) => {
      const chunks: Array<Buffer> = []
      const socket = Net.connect(where(address))
      const received = () => Buffer.concat(chunks)
      socket.setNoDelay(true)
      if (options.paused === true) socket.pause()
      else socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)))
      socket.once("error", (error) => resume(Effect.fail(error)))
      socket.on("error", () => {})
      socket.once("connect", () =>
        resume(
          Effect.succeed({
            socket,
            received,
            closed: Effect.map(
              Poll.until("the server closes the connection", () => socket.closed || socket.readableEnded),
              received
            )
          })
        )
      )
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** Takes what the system has for a client that does not read, up to so many bytes, without the event loop. */
export const take = ({ socket }: RawClient, most = Number.POSITIVE_INFINITY): number => {
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle
  const into = new Uint8Array(64 * 1024)
  let taken = 0
  try {
    while (taken < most) {
      const count = NodeFs.readSync(fd, into)
      if (count === 0) return taken
      taken += count
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error
  }
  return taken
}
