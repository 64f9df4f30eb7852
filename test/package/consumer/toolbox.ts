/**
 * The same of `dataconn/toolbox`, alone.
 */
import {
  ClientMachine,
  Connection,
  FramedConnection,
  LengthDelimited,
  Message,
  QueryLimit,
  Response,
  ServerMachine,
  Settings,
  Tcp,
  Timers,
  Transport,
  TurnScheduler,
  Writer
} from "dataconn/toolbox"
import { Effect } from "effect"
import * as Socket from "effect/socket/Socket"

export const codec = Message.codec()
export const plain = LengthDelimited.codec({
  fieldWidth: 2,
  byteOrder: "big",
  typeBytes: 0,
  lengthCounts: "body",
  maxFrameSize: 1024
})
export const decoder = codec.makeDecoder()
export const transport = Effect.flatMap(Socket.Socket, Transport.fromSocket)
export const connected = Tcp.connect({ address: { _tag: "Tcp", host: "::1", port: 1 }, timeout: "1 second" })
export const framed = Effect.flatMap(connected, (transport) =>
  FramedConnection.make(transport, codec, { writeTimeoutMillis: 1000 })
)
export const messages = Effect.map(framed, (framed) => framed.messages)
export const writer = Effect.gen(function* () {
  return yield* Writer.make(yield* connected, codec, yield* Timers.use, { writeTimeoutMillis: 1000 })
})
export const served = Connection.serve(connected, {
  info: () => ({ id: 1, local: "here", remote: "there" }),
  settings: Settings.defaults
})
export const places = new QueryLimit.Limit({ maxConcurrentQueries: 1, maxQueuedQueries: 0 })
export const response = new Response.Response({ chunkSize: 1, prefetchSize: 1, batchSize: 1 })
export const scheduler = new TurnScheduler.Scheduler()
export const serverStep = ServerMachine.step(ServerMachine.initial, { _tag: "Request" })
export const clientStep = ClientMachine.step(ClientMachine.initial, { _tag: "Request" })
