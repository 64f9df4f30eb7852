/**
 * What a pool knows of its connections, those that are being made included.
 */
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as ClientConnection from "./ClientConnection.ts"
import type * as ClientError from "./ClientError.ts"

/** What the pool knows of a connection. */
export interface Use {
  /** Whether no request has been sent on it yet, nor could have been for a while. */
  isNew: boolean
  /** When it began to be made, and when it last had nothing to do, in milliseconds of the timers. */
  readonly beganAt: number
  freeSince: number
  isClosing: boolean
}

/** A connection that is being made. */
export type Dial = { readonly beganAt: number; fiber: Fiber.Fiber<unknown, unknown> | undefined }

export type Made = Exit.Exit<ClientConnection.ClientConnection, ClientError.ClientError>
