/**
 * Accepts connections on one address.
 */
import * as Net from "node:net"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Address from "./Address.ts"
import * as UnixSocket from "./UnixSocket.ts"

/**
 * The server cannot listen on an address.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  address: Schema.String,
  /** The setting that contains the address, if it is not `listen`. */
  setting: Schema.optional(Schema.String),
  cause: Schema.Defect()
}) {
  override get message() {
    const problem = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `Cannot listen on ${this.address} (${this.setting ?? "listen"}): ${problem}`
  }
}

export interface Options {
  readonly address: Address.Address
  readonly backlog: number
  /** Permissions of a Unix socket. Default: those of all files that the process creates. */
  readonly socketMode?: number | undefined
  readonly keepAlive: Duration.Duration
  /** Called with each connection, which is paused. The callee owns it. */
  readonly onConnection: (socket: Net.Socket) => void
  /** Called when accepting a connection fails, for example for lack of file descriptors. */
  readonly onAcceptError: (error: Error) => void
}

export interface Listener {
  /** The address with the port that the system chose. */
  readonly address: Address.Address
  /** Accepts no further connections. Open connections are unaffected. */
  readonly stop: Effect.Effect<void>
}

const ignore = (): void => {}

const failed =
  ({ address }: Options) =>
  (cause: unknown): ListenError =>
    new ListenError({ address: Address.format(address), cause })

type Target = Pick<Net.ListenOptions, "host" | "port" | "path">

const listen = (server: Net.Server, target: Target, options: Options): Effect.Effect<void, ListenError> =>
  Effect.callback((resume) => {
    const onError = (cause: Error) => resume(Effect.fail(failed(options)(cause)))
    server.once("error", onError)
    server.listen({ ...target, backlog: options.backlog }, () => {
      server.off("error", onError)
      resume(Effect.void)
    })
  })

/** Listens at a path that no other server uses. Returns the function that removes it. */
const listenUnix = (
  server: Net.Server,
  path: string,
  options: Options
): Effect.Effect<() => void, ListenError> =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => UnixSocket.stage(path), catch: failed(options) }),
    (staged) =>
      listen(server, { path: staged.path }, options).pipe(
        Effect.andThen(
          Effect.mapError(UnixSocket.publish(staged, path, options.socketMode), failed(options))
        ),
        Effect.map((own) => () => UnixSocket.withdraw(path, own))
      ),
    (staged) => Effect.sync(() => UnixSocket.discard(staged))
  )

/** Listens for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Listener, ListenError, Scope.Scope> {
  const { address } = options
  const server = Net.createServer({
    noDelay: true,
    keepAlive: Duration.isFinite(options.keepAlive),
    keepAliveInitialDelay: Duration.isFinite(options.keepAlive) ? Duration.toMillis(options.keepAlive) : 0
  })
  let accepted = 0
  server.on("connection", (socket) => {
    accepted++
    // Nothing is read before the connection's reader pulls, and a reset before that has no handler yet.
    socket.pause()
    socket.on("error", ignore)
    options.onConnection(socket)
  })
  let withdraw = () => {}
  const close = Effect.sync(() => {
    if (!server.listening) return
    // Before the close: after it, another socket may have this one's identity.
    try {
      withdraw()
    } finally {
      server.close()
    }
  }).pipe(Effect.catchDefect((error) => Effect.logWarning(`Cannot remove ${Address.format(address)}`, error)))
  // Closing the socket makes the system reset connections that were not accepted. Node accepts one in each
  // turn of its event loop, so this waits until a turn accepts none.
  const stop = Effect.gen(function* () {
    for (let turns = 0, before = -1; before < accepted && turns < options.backlog; turns++) {
      before = accepted
      yield* Effect.yieldNow
      yield* Effect.yieldNow
    }
    yield* close
  })
  yield* Effect.addFinalizer(() => stop)
  yield* address._tag === "Tcp"
    ? listen(server, { host: address.host, port: address.port }, options)
    : Effect.uninterruptible(
        Effect.map(listenUnix(server, address.path, options), (own) => {
          withdraw = own
        })
      )
  server.on("error", options.onAcceptError)
  const bound = server.address()
  return {
    address:
      bound !== null && typeof bound === "object"
        ? { _tag: "Tcp", host: bound.address, port: bound.port }
        : address,
    stop
  }
})
