/**
 * The connection of a repl: reconnected when it has ended, and replaceable by another server's.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Client from "../../client/Client.ts"
import type { ClientError } from "../../client/ClientError.ts"
import type { Settings } from "../../client/Settings.ts"
import * as Address from "../../net/Address.ts"
import * as Transport from "../../net/Transport.ts"

interface Opened {
  readonly client: Client.ClientService
  readonly scope: Scope.Closeable
}

export interface Connection {
  /** The server of the statements. */
  readonly server: () => Address.Address
  /** A client whose connection is open as far as known; reconnects if it is not. */
  readonly client: Effect.Effect<Client.ClientService, ClientError>
  /**
   * Switches to another server, or reconnects to the same one. The previous connection stays if that fails.
   */
  readonly connect: (server: Address.Address) => Effect.Effect<void, ClientError>
}

/** Connects to the server. `onAgain` is called after each reconnection. */
export const make = Effect.fnUntraced(function* (
  first: Address.Address,
  settings: Partial<Settings>,
  onAgain: (server: string) => Effect.Effect<void>
): Effect.fn.Return<Connection, ClientError, Scope.Scope> {
  const outer = yield* Effect.scope
  const wrapper = yield* Transport.Wrapper
  const open = Effect.fnUntraced(function* (server: Address.Address) {
    const scope = yield* Scope.fork(outer)
    const client = yield* Client.connect(server, settings).pipe(
      Scope.provide(scope),
      // The observers of the first connection also observe later ones.
      Effect.provideService(Transport.Wrapper, wrapper),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    return { client, scope } satisfies Opened
  })
  let server = first
  let current: Opened = yield* open(first)
  const connect = (to: Address.Address) =>
    Effect.flatMap(open(to), (opened) => {
      const before = current
      server = to
      current = opened
      return Scope.close(before.scope, Exit.void)
    })
  return {
    server: () => server,
    client: Effect.suspend(() =>
      current.client.isOpen()
        ? Effect.succeed(current.client)
        : connect(server).pipe(
            Effect.andThen(Effect.suspend(() => onAgain(Address.format(server)))),
            Effect.map(() => current.client)
          )
    ),
    connect
  }
})
