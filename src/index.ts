/**
 * DataConn for Effect: stream query results between services.
 *
 * One namespace a concept. The embedded DuckDB engine is `dataconn/duckdb`, what tests need `dataconn/testing`.
 */
export * as Client from "./client/Client.ts"
export * as ClientError from "./client/ClientError.ts"
export * as ClientPool from "./client/ClientPool.ts"
export * as Connection from "./connection/Connection.ts"
export * as ConnectionEvents from "./connection/ConnectionEvents.ts"
export * as Control from "./connection/Control.ts"
export * as QueryLimit from "./connection/QueryLimit.ts"
export * as Settings from "./connection/Settings.ts"
export * as Statistics from "./connection/Statistics.ts"
export * as PolledQuery from "./engine/PolledQuery.ts"
export * as QueryApi from "./engine/QueryApi.ts"
export * as QueryEngine from "./engine/QueryEngine.ts"
export * as ConnectionLog from "./server/ConnectionLog.ts"
export * as Log from "./server/Log.ts"
export * as Server from "./server/Server.ts"
export * as ServerConfig from "./server/ServerConfig.ts"
export * as Address from "./wire/Address.ts"
export * as Frame from "./wire/Frame.ts"
export * as FrameSocket from "./wire/FrameSocket.ts"
export * as FrameWriter from "./wire/FrameWriter.ts"
export * as LengthDelimited from "./wire/LengthDelimited.ts"
export * as Transport from "./wire/Transport.ts"
export * as TurnBudget from "./wire/TurnBudget.ts"
