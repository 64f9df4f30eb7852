/**
 * A client's connection: a scope that owns the request in flight, in which a framed stream of messages feeds
 * the pure `ClientMachine`.
 *
 * During a response the stream is pulled only while the consumer waits. Between requests it is always pulled,
 * so that heartbeats do not accumulate and a close by the server is noticed.
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
  /** Sends a request. The connection must be open and have no request in flight. */
  readonly send: (exchange: Exchange) => void
  /** Whether the server has sent bytes in time, in milliseconds of the timers. */
  readonly isAliveAt: (now: number) => boolean
  /**
   * Checks for bytes that the socket already holds. If there are any the connection becomes free again;
   * otherwise it ends.
   */
  readonly check: () => void
  /** Whether any bytes have arrived from the server. */
  readonly hasRead: boolean
  /**
   * The time since which the response in flight has waited for its reader, if it does, in milliseconds of the
   * timers.
   */
  readonly pausedAt: number | undefined
  /**
   * Asks the response in flight, which waits for its reader, to end for the sake of waiting requests. Returns
   * whether it will.
   */
  readonly evict: () => boolean
  /** The reason why the connection has ended, if it has. */
  readonly why: Machine.Why | undefined
  /** Closes the connection before its scope does. */
  readonly close: Effect.Effect<void>
}

/** The owner of connections, which assigns requests to them. */
export interface Owner {
  /** Called when the response in flight, or a check, has ended: another request may be sent. */
  readonly freed: (connection: ClientConnection) => void
  /**
   * Called when the connection is unusable. `unsent` was about to be sent on it, or was not started by a
   * server that is going away: it may be sent on another connection.
   */
  readonly ended: (connection: ClientConnection, why: Machine.Why, unsent: Exchange | undefined) => void
}

/**
 * Opens the transport. Closing the scope drops the connection. Interruption during the opening leaves nothing
 * open; once the transport is open the connection is returned.
 */
export const make = (
  transport: Transport.Open,
  options: Options,
  owner: Owner
): Effect.Effect<ClientConnection, ClientError.ClientError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // A separate scope: a response in the same scope as the connection is cancelled while that scope
      // closes.
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
    framed: yield* FramedConnection.make(transport, codec, {
      writeTimeoutMillis: options.writeTimeoutMillis
    }).pipe(Effect.provideService(Timers.Shared, timers)),
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
