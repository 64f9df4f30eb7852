/**
 * A client's connection: a scope in which a framed stream of messages feeds the pure `ClientMachine`, and that owns the
 * request in flight.
 *
 * During a response the stream is not pulled unless the consumer waits. Between requests it is, so that heartbeats do
 * not pile up and a server that closes is noticed.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Scheduler as EffectScheduler } from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as FramedConnection from "../framing/FramedConnection.ts"
import * as Writer from "../framing/Writer.ts"
import * as Timers from "../loop/Timers.ts"
import { TurnScheduler } from "../loop/TurnScheduler.ts"
import * as Transport from "../net/Transport.ts"
import type * as Machine from "../protocol/ClientMachine.ts"
import * as Message from "../protocol/Message.ts"
import type * as ClientError from "./ClientError.ts"
import * as ClientFailure from "./ClientFailure.ts"
import { Session } from "./ClientSession.ts"
import type { Options } from "./ConnectionOptions.ts"
import type { Exchange } from "./Exchange.ts"

export { type Options, options } from "./ConnectionOptions.ts"

export interface ClientConnection {
  /** Sends a request. To be called while the connection is open and has none in flight. */
  readonly send: (exchange: Exchange) => void
  /** Whether the server has given a sign of life in time, in milliseconds of the timers. */
  readonly isAliveAt: (now: number) => boolean
  /** Looks for a sign of life that the socket holds already: the connection is free again then, and ends otherwise. */
  readonly check: () => void
  /** Whether anything at all has come from the server. */
  readonly hasRead: boolean
  /** Since when the response in flight has been waiting for its reader, if it is. In milliseconds of the timers. */
  readonly pausedAt: number | undefined
  /** Others wait for the connection, and the response in flight for its reader. Whether it ends. */
  readonly evict: () => boolean
  /** Why the connection has ended, if it has. */
  readonly why: Machine.Why | undefined
  /** Closes it before its scope does. */
  readonly close: Effect.Effect<void>
}

/** The owner of requests for connections. */
export interface Owner {
  /** The response in flight has ended, or a check has: another request may be sent. */
  readonly freed: (connection: ClientConnection) => void
  /**
   * The connection is of no more use. `unsent` was about to be sent on it, or the server that goes away has not begun
   * it: it may be sent on another one.
   */
  readonly ended: (connection: ClientConnection, why: Machine.Why, unsent: Exchange | undefined) => void
}

/**
 * Opens the transport. Closing the scope drops the connection. Interruption ends the opening, and leaves nothing open;
 * once the transport is open there is a connection.
 */
export const make = (
  transport: Transport.Open,
  options: Options,
  owner: Owner
): Effect.Effect<ClientConnection, ClientError.ClientError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // A scope of its own: a response in the same scope as the connection is cancelled while that one closes.
      const scope = yield* Scope.fork(yield* Effect.scope)
      return yield* Scope.provide(open(transport, options, owner, scope, restore), scope).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
    })
  )

const open = Effect.fnUntraced(function* (
  opening: Transport.Open,
  options: Options,
  owner: Owner,
  scope: Scope.Closeable,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.fn.Return<ClientConnection, ClientError.ClientError, Scope.Scope> {
  const timers = yield* Timers.use
  const wrap = yield* Transport.Wrapper
  const opened = Effect.mapError(wrap(opening, { end: "client", peer: () => options.server }), (error) =>
    ClientFailure.connectFailed(options.server, Writer.describe(error))
  )
  const transport = yield* restore(
    timers.within(opened, options.connectTimeoutMillis, () =>
      Effect.fail(ClientFailure.connectTimedOut(options))
    )
  )
  const codec = Message.codec({ ...options, splitChunks: () => !session.holdsFinal })
  const session: Session = new Session({
    framed: yield* FramedConnection.make(transport, codec, options).pipe(
      Effect.provideService(Timers.Shared, timers)
    ),
    timers,
    scheduler: yield* TurnScheduler,
    effects: yield* EffectScheduler,
    options,
    owner,
    close: Scope.close(scope, Exit.void)
  })
  yield* Effect.forkScoped(session.run, { startImmediately: true })
  yield* Effect.addFinalizer(() => session.end)
  return session
})
