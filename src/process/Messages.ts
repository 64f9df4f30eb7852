/**
 * What parent and child tell each other beside their connections, over Node's channel between processes.
 */
import type { Listener, LogEntry } from "./Launcher.ts"
import type { Reports } from "./Reports.ts"

/** Descriptors of the channel and of the first connection. */
export const channel = 3
export const firstConnection = channel + 1

/** The first that a child hears. */
export interface Start {
  readonly _tag: "Start"
  /** The module whose `make` makes the engine, as a URL. */
  readonly module: string
  readonly options: unknown
  /** How many connections it has. */
  readonly connections: number
  readonly title: string
  /** How often it gives a sign of life. */
  readonly beatMillis: number
  /** How long a query that has ended may go on in the engine. */
  readonly cancelGraceMillis: number
}

export type ToChild =
  | Start
  | { readonly _tag: "End" }
  /** The result of this query has been handed to its client: it commits. */
  | { readonly _tag: "Commit"; readonly token: number }

/** It can answer nothing, or nothing more, and ends. */
export interface Failed {
  readonly _tag: "Failed"
  readonly message: string
}

export type FromChild =
  | { readonly _tag: "Ready" }
  | Failed
  /** A query that has ended goes on for longer than `cancelGrace`. */
  | { readonly _tag: "CancelIgnored" }
  | { readonly _tag: "Beat"; readonly residentBytes: number; readonly reports: Reports }
  | { readonly _tag: "Log"; readonly entry: LogEntry }
  /** All chunks of a query that commits have been emitted, so many bytes. */
  | { readonly _tag: "HandedOver"; readonly token: number; readonly bytes: number }

/** Tells the listener what a child has told. */
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
    case "HandedOver":
      listener.handedOver(message.token, message.bytes)
  }
}
