/**
 * DataConn for Effect: stream query results between services.
 *
 * One namespace for each concept. The embedded DuckDB engine is `dataconn/duckdb`, test support is
 * `dataconn/testing`, and the building blocks of the protocol are `dataconn/toolbox`.
 */
import "./NodeVersion.ts"

export * as Client from "./client/Client.ts"
export * as ClientError from "./client/ClientError.ts"
export * as ClientPool from "./client/ClientPool.ts"
export * as Rows from "./client/Rows.ts"
export * as PolledQuery from "./engine/PolledQuery.ts"
export * as QueryApi from "./engine/QueryApi.ts"
export * as QueryEngine from "./engine/QueryEngine.ts"
export * as Gateway from "./gateway/Gateway.ts"
export * as Address from "./net/Address.ts"
export * as Chunk from "./net/Chunk.ts"
export * as ProcessEngine from "./process/ProcessEngine.ts"
export * as Recorder from "./recording/Recorder.ts"
export * as Recording from "./recording/Recording.ts"
export * as ConnectionEvents from "./server/ConnectionEvents.ts"
export * as ConnectionLog from "./server/ConnectionLog.ts"
export * as ConnectionMetrics from "./server/ConnectionMetrics.ts"
export * as Log from "./server/Log.ts"
export * as Server from "./server/Server.ts"
export * as ServerConfig from "./server/ServerConfig.ts"
export * as ThreadEngine from "./threads/ThreadEngine.ts"
export * as ThreadPool from "./threads/ThreadPool.ts"
