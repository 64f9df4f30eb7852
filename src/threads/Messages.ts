/**
 * The messages of the two threads beside their connections.
 */
import type * as Processes from "../process/Messages.ts"
import type { End } from "./ThreadTransport.ts"

/** A new connection; its port is transferred. */
export interface Connect {
  readonly _tag: "Connect"
  readonly end: End
}

export type ToThread = Processes.ToChild | Connect

export type FromThread = Processes.FromChild

/** The data that a thread is started with. */
export interface WorkerData {
  /** The parent's count of messages that it has taken. */
  readonly taken: SharedArrayBuffer
  /** Whether the thread may end while native calls are under way. */
  readonly isKillable: boolean
}
