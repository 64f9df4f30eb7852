/**
 * `dataconn/toolbox`: the parts that DataConn is made of, for other protocols and other shapes of server.
 */
export * as Codec from "./framing/Codec.ts"
export * as FramedConnection from "./framing/FramedConnection.ts"
export * as LengthDelimited from "./framing/LengthDelimited.ts"
export * as Writer from "./framing/Writer.ts"
export * as Timers from "./loop/Timers.ts"
export * as TurnScheduler from "./loop/TurnScheduler.ts"
export * as Chunk from "./net/Chunk.ts"
export * as Tcp from "./net/Tcp.ts"
export * as Transport from "./net/Transport.ts"
export * as ClientMachine from "./protocol/ClientMachine.ts"
export * as Message from "./protocol/Message.ts"
export * as Response from "./protocol/Response.ts"
export * as ServerMachine from "./protocol/ServerMachine.ts"
export * as Connection from "./server/Connection.ts"
export * as QueryLimit from "./server/QueryLimit.ts"
export * as Settings from "./server/Settings.ts"
