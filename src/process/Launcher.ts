/**
 * What supervision needs of a process, whatever it is: `ChildProcess` starts real ones.
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

/** What a process tells of itself; each comes on a stack of its own. */
export interface Listener {
  /** It answers queries from now on. */
  readonly ready: () => void
  /** It cannot, and will end. Whether clients may be told why, and not only the log. */
  readonly failed: (message: string, isTold?: boolean) => void
  /** A query of its that has ended goes on for longer than `cancelGrace`. */
  readonly cancelIgnored: () => void
  /** A sign of life, with the memory that is resident and the progress of queries. */
  readonly beat: (residentBytes: number, reports: Reports) => void
  /** It has used up the memory that it may take, and uses little of it (`Exhaustion`). */
  readonly exhausted: () => void
  /** It has closed a connection, or will answer no more. */
  readonly disconnected: () => void
  readonly logged: (entry: LogEntry) => void
  /** All chunks of a query that commits have been emitted (`Commits`). */
  readonly handedOver: (token: number, bytes: number) => void
  /** It is gone. The last that it tells. */
  readonly exited: (exit: Exit) => void
}

export interface Process {
  /** What the log calls it. */
  readonly name: string
  /** The next of its connections; there are as many as it takes queries. */
  readonly connection: Transport.Open
  /** Has a query commit (`Commits`). */
  readonly commit: (token: number) => void
  /** Asks it to end by itself. */
  readonly ask: () => void
  /** Ends it at once. */
  readonly kill: () => void
  /** It has not ended although it was killed, and is not waited for any longer. Not all let themselves be given up. */
  readonly abandon?: () => void
}

/** Starts the process of a place, by the place's number from 1. A failure is told to the listener. */
export type Launch = (place: number, listener: Listener) => Process

/** How the system says that there is no descriptor left. */
const noDescriptor = /\b(EMFILE|ENFILE)\b/

/** A process that could not be started, for a reason that may come later. */
export const unstarted = (
  name: string,
  listener: Listener,
  reason: Promise<never>,
  isTold = false
): Process => {
  reason.catch((cause: unknown) => {
    const message = cause instanceof Error ? cause.message : String(cause)
    // Each on a stack of its own.
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
