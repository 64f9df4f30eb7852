/**
 * `dataconn/testing`: connections in memory, for tests on a `TestClock`, and what can go wrong with them.
 */
export * as FaultySocket from "./FaultySocket.ts"
export * as MemorySocket from "./MemorySocket.ts"
export * as ScriptedPeer from "./ScriptedPeer.ts"
export * as StepEngine from "./StepEngine.ts"
export * as TestServer from "./TestServer.ts"
