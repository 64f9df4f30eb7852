/**
 * A server without a socket: one connection in memory, with a client at its other end.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Client from "../client/Client.ts"
import type { ClientError } from "../client/ClientError.ts"
import type { Settings as ClientSettings } from "../client/Settings.ts"
import type { QueryEngine } from "../engine/QueryEngine.ts"
import * as Transport from "../net/Transport.ts"
import * as Connection from "../server/Connection.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Settings from "../server/Settings.ts"
import * as Limit from "../settings/Limit.ts"
import * as MemorySocket from "./MemorySocket.ts"

/**
 * Settings of both ends, and of the connection between them.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options extends MemorySocket.Options {
  /** Limits of the server's end that differ from the defaults, which have no `firstRequestTimeout`. */
  readonly server?: Partial<Settings.Settings> | undefined
  /** Settings of the client's end that differ from the defaults. */
  readonly client?: Partial<ClientSettings> | undefined
}

const checks: Limit.Checks<Options> = {
  // Checked by their own constructors.
  capacity: Limit.any,
  // A server's own settings may stand there too.
  server: (_, given: object) => Limit.members("a server", given, ServerConfig.names),
  client: Limit.any
}

/**
 * Serves one connection with the `QueryEngine` of the context, and connects a client to it. Both ends are the
 * real ones; only the socket between them is in memory. All waiting is on the Clock. The scope owns both.
 *
 * **Gotchas**
 *
 * The server's end has the default limits of a connection, to which a server adds one: `firstRequestTimeout`
 * is 1 minute there, and off here.
 *
 * **Example** (An engine and a client, without a socket)
 *
 * ```ts
 * import { assert, it } from "@effect/vitest"
 * import { StepEngine, TestServer } from "dataconn/testing"
 * import { QueryEngine } from "dataconn"
 * import { Effect, Stream } from "effect"
 *
 * it.effect("delivers the result", () =>
 *   Effect.gen(function* () {
 *     const { engine, step } = yield* StepEngine.make()
 *     yield* step(StepEngine.accept, StepEngine.chunk("42"), StepEngine.end)
 *     const client = yield* Effect.provideService(TestServer.connect(), QueryEngine.QueryEngine, engine)
 *     const { chunks } = yield* client.request(new Uint8Array(0))
 *     assert.strictEqual(yield* Stream.mkString(Stream.decodeText(chunks)), "42")
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Client.ClientService, ClientError, QueryEngine | Scope.Scope> {
  const { client, server = {}, ...socket } = Limit.settings("a test server", options, checks)
  const settings = { ...Settings.defaults, ...Limit.present(server) }
  // Throws here, and not in the fiber of the connection, for invalid limits.
  Settings.limits(settings)
  const [near, far] = yield* MemorySocket.pair(socket)
  const connection = Connection.serve(Transport.fromSocket(near), {
    info: () => ({ id: 1, local: "server", remote: "client" }),
    settings
  })
  yield* Effect.forkScoped(connection)
  return yield* Client.make(far, client)
})

/**
 * Lets everything run that can run without the passing of time.
 *
 * **When to use**
 *
 * Before a test moves its `TestClock` while a request is in flight: a forked query has not reached the server
 * yet, whose timers would start only after the move.
 *
 * @category testing
 * @since 0.1.0
 */
export const settle: Effect.Effect<void> = Effect.asVoid(Effect.replicateEffect(Effect.yieldNow, 50))
