/**
 * A connection over a socket in memory, with a client and an engine that the test drives.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Socket from "effect/socket/Socket"
import { type Engine, QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Connection from "../../src/server/Connection.ts"
import { type ConnectionEvent, ConnectionEvents } from "../../src/server/ConnectionEvents.ts"
import * as Settings from "../../src/server/Settings.ts"
import { Shutdown } from "../../src/server/Shutdown.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import * as TestServer from "../../src/testing/TestServer.ts"
import * as Peer from "./Peer.ts"

export interface Options extends Partial<Settings.Settings>, StepEngine.Options, MemorySocket.Options {
  readonly refusing?: Connection.Options["refusing"]
  readonly unsent?: Transport.SocketOptions["unsent"]
  /** Puts something between the connection and its socket. */
  readonly wrap?: ((socket: Socket.Socket) => Socket.Socket) | undefined
  /** Instead of the engine of the test's steps. */
  readonly engine?: Engine | undefined
  /** Before an event is recorded. */
  readonly publish?: ((event: ConnectionEvent) => Effect.Effect<void>) | undefined
}

export const info = { id: 1, local: "server", remote: "client" }

/** Lets whatever can run without time passing do so. */
export const settle = TestServer.settle

export const open = Effect.fnUntraced(function* (options: Options = {}) {
  const { capacity, commits, engine, finalizerMillis, publish, refusing, unsent, wrap, ...settings } = options
  const [near, far] = yield* MemorySocket.pair({ capacity })
  const steps = yield* StepEngine.make({ commits, finalizerMillis })
  const events: Array<ConnectionEvent> = []
  const writes: Array<number> = []
  const transport = Transport.fromSocket(tap(wrap?.(near) ?? near, writes), { unsent })
  const shutdown = new Shutdown()
  const connection = Connection.serve(transport, {
    info: () => info,
    settings: { ...Settings.defaults, ...settings },
    refusing,
    shutdown
  })
  const record = (event: ConnectionEvent) => Effect.sync(() => void events.push(event))
  const fiber = yield* connection.pipe(
    Effect.provideService(QueryEngine, engine ?? steps.engine),
    Effect.provideService(ConnectionEvents, {
      publish: (event) => Effect.andThen(publish?.(event) ?? Effect.void, record(event))
    }),
    Effect.forkScoped
  )
  const peer = yield* Peer.make(far)
  yield* settle
  return {
    connection: { drain: shutdown.tell("drain"), drainExpired: shutdown.tell("drainExpired") },
    peer,
    steps,
    events,
    /** Bytes of each write to the socket. */
    writes,
    fiber,
    /** The statistics of the connection, once it has ended. */
    ended: Fiber.join(fiber),
    /** What happened, in short. */
    tags: () => events.map((event) => event._tag).join(" "),
    /** The event that the connection ended with. */
    closed: () => {
      const last = events.at(-1)
      if (last?._tag !== "Closed") throw new Error(`The connection is open: ${last?._tag}`)
      return last
    }
  }
})

export type Served = Effect.Success<ReturnType<typeof open>>

const size = (chunks: ReadonlyArray<Uint8Array | string>): number =>
  chunks.reduce((sum, chunk) => sum + chunk.length, 0)

const tap = (socket: Socket.Socket, writes: Array<number>): Socket.Socket =>
  Socket.make({
    reader: socket.reader,
    writer: Effect.map(socket.writer, (writer) => ({
      write: writer.write,
      writeAll: (chunks: NonEmptyReadonlyArray<Uint8Array | string>) =>
        Effect.suspend(() => {
          writes.push(size(chunks))
          return writer.writeAll(chunks)
        })
    }))
  })
