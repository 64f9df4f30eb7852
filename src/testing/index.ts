/** `dataconn/testing`: connections in memory and their faults, for tests on a `TestClock`. */
export * as FaultySocket from "./FaultySocket.ts"
export * as MemorySocket from "./MemorySocket.ts"
export * as ScriptedPeer from "./ScriptedPeer.ts"
export * as StepEngine from "./StepEngine.ts"
export * as TestServer from "./TestServer.ts"
