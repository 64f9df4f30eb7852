/**
 * `dataconn/testing`: connections in memory, for tests on a `TestClock`.
 */
export * as MemorySocket from "./MemorySocket.ts"
export * as TestServer from "./TestServer.ts"
