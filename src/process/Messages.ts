/**
 * The messages of parent and child beside their connections, over Node's channel between processes.
 */
import type { Listener, LogEntry } from "./Launcher.ts"
import type { Reports } from "./Reports.ts"

/** Descriptors of the channel and of the first connection. */
export const channel = 3
export const firstConnection = channel + 1

/** The first message to a child. */
export interface Start {
  readonly _tag: "Start"
  /** The module whose `make` makes the engine, as a URL. */
  readonly module: string
  readonly options: unknown
  /** How many connections the child has. */
  readonly connections: number
  readonly title: string
  /** The interval of heartbeats. */
  readonly beatMillis: number
  /** How long an ended query may run on in the engine. */
  readonly cancelGraceMillis: number
  /** What earlier children have noted. */
  readonly notes: ReadonlyArray<unknown>
}

export type ToChild =
  | Start
  | { readonly _tag: "End" }
  /** The result of this query has been handed to its client: the query commits. */
  | { readonly _tag: "Commit"; readonly token: number }

/** The child cannot answer, or can answer no more, and ends. */
export interface Failed {
  readonly _tag: "Failed"
  readonly message: string
}

export type FromChild =
  | { readonly _tag: "Ready" }
  | Failed
  /** An ended query runs on for longer than `cancelGrace`. */
  | { readonly _tag: "CancelIgnored" }
  /** Something that later children should know. */
  | { readonly _tag: "Note"; readonly note: unknown }
  | { readonly _tag: "Beat"; readonly residentBytes: number; readonly reports: Reports }
  | { readonly _tag: "Log"; readonly entry: LogEntry }
  /** All chunks of a query that commits have been emitted, with so many bytes. */
  | { readonly _tag: "HandedOver"; readonly token: number; readonly bytes: number }

/** Dispatches a child's message to the listener. */
export const tell = (listener: Listener, message: FromChild): void => {
  switch (message._tag) {
    case "Ready":
      listener.ready()
      break
    case "Failed":
      listener.failed(message.message)
      break
    case "CancelIgnored":
      listener.cancelIgnored()
      break
    case "Beat":
      listener.beat(message.residentBytes, message.reports)
      break
    case "Log":
      listener.logged(message.entry)
      break
    case "Note":
      listener.noted(message.note)
      break
    case "HandedOver":
      listener.handedOver(message.token, message.bytes)
  }
}
