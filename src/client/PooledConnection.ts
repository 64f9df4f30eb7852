/** A pool's records of its connections and of its connection attempts. */
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as ClientConnection from "./ClientConnection.ts"
import type * as ClientError from "./ClientError.ts"

/** A pool's record of a connection. */
export interface Use {
  /** Whether no request has been sent on it yet, nor could have been for a while. */
  isNew: boolean
  /** The time at which its opening began, and at which it last became free, in milliseconds of the timers. */
  readonly beganAt: number
  freeSince: number
  isClosing: boolean
}

/** A connection attempt. */
export type Dial = { readonly beganAt: number; fiber: Fiber.Fiber<unknown, unknown> | undefined }

export type Made = Exit.Exit<ClientConnection.ClientConnection, ClientError.ClientError>
