/**
 * The interface between supervision and a process of any kind: `ChildProcess` starts real ones.
 */
import * as Effect from "effect/Effect"
import type * as Transport from "../net/Transport.ts"
import type { Exit } from "./Lifecycle.ts"
import type { Reports } from "./Reports.ts"

/** A line that a process logs. */
export interface LogEntry {
  readonly level: "Trace" | "Debug" | "Info" | "Warn" | "Error" | "Fatal"
  readonly message: string
}

/** Events of a process; each comes on its own call stack. */
export interface Listener {
  /** The process answers queries from now on. */
  readonly ready: () => void
  /** The process cannot start, and will end. `isTold`: clients may see the reason, and not only the log. */
  readonly failed: (message: string, isTold?: boolean) => void
  /** An ended query of the process runs on for longer than `cancelGrace`. */
  readonly cancelIgnored: () => void
  /** A heartbeat, with the resident memory and the progress of queries. */
  readonly beat: (residentBytes: number, reports: Reports) => void
  /** The process has used up the memory that it may take, and uses little of it (`Exhaustion`). */
  readonly exhausted: () => void
  /** The process has closed a connection, or will answer no more. */
  readonly disconnected: () => void
  readonly logged: (entry: LogEntry) => void
  /** The process has something to say to those that come after it. */
  readonly noted: (note: unknown) => void
  /** All chunks of a query that commits have been emitted (`Commits`). */
  readonly handedOver: (token: number, bytes: number) => void
  /** The process has ended. This is its last event. */
  readonly exited: (exit: Exit) => void
}

export interface Process {
  /** The name of the process in the log. */
  readonly name: string
  /** The next connection of the process; there are as many as it takes queries. */
  readonly connection: Transport.Open
  /** Lets a query commit (`Commits`). */
  readonly commit: (token: number) => void
  /** Asks the process to end by itself. */
  readonly ask: () => void
  /** Ends the process at once. */
  readonly kill: () => void
  /**
   * Stops waiting for a process that has not ended although it was killed. Not all processes
   * can be abandoned.
   */
  readonly abandon?: () => void
}

/**
 * Starts the process of a place, by the place's number from 1, with the notes of earlier ones. A failure is reported
 * to the listener.
 */
export type Launch = (place: number, listener: Listener, notes: ReadonlyArray<unknown>) => Process

/** The system's error codes for no descriptors left. */
const noDescriptor = /\b(EMFILE|ENFILE)\b/

/** A process that could not be started, for a reason that arrives later. */
export const unstarted = (
  name: string,
  listener: Listener,
  reason: Promise<never>,
  isTold = false
): Process => {
  reason.catch((cause: unknown) => {
    const message = cause instanceof Error ? cause.message : String(cause)
    // Each event on its own call stack.
    setImmediate(() => {
      listener.failed(
        noDescriptor.test(message) ? `${message}: too many files and sockets are open (ulimit -n)` : message,
        isTold
      )
      listener.exited({ code: null, signal: null })
    })
  })
  return { name, connection: Effect.never, commit: () => {}, ask: () => {}, kill: () => {} }
}
