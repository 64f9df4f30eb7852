/**
 * Accepts connections on one address.
 */
import * as NodeFs from "node:fs/promises"
import * as Net from "node:net"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Address from "./Address.ts"

/** The server cannot listen on an address. */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  address: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    const problem = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `Cannot listen on ${this.address} (listen): ${problem}`
  }
}

export interface Options {
  readonly address: Address.Address
  readonly backlog: number
  readonly keepAlive: Duration.Duration
  /** Called with each connection, paused. Whoever takes it owns it. */
  readonly onConnection: (socket: Net.Socket) => void
  /** Called when a connection could not be accepted, for want of file descriptors for example. */
  readonly onAcceptError: (error: Error) => void
}

export interface Listener {
  /** The address with the port that the system chose. */
  readonly address: Address.Address
  /** Accepts no further connection. Those accepted go on. */
  readonly stop: Effect.Effect<void>
}

const target = (address: Address.Address) =>
  address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }

const listen = (server: Net.Server, { address, backlog }: Options): Effect.Effect<void, ListenError> =>
  Effect.callback((resume) => {
    const onError = (cause: Error) =>
      resume(Effect.fail(new ListenError({ address: Address.format(address), cause })))
    server.once("error", onError)
    server.listen({ ...target(address), backlog }, () => {
      server.off("error", onError)
      resume(Effect.void)
    })
  })

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException).code

/** Whether nobody listens on a Unix socket any more. One that is only busy refuses in another way. */
const isStale = (path: string): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const probe = Net.connect({ path })
    probe.once("connect", () => {
      probe.destroy()
      resume(Effect.succeed(false))
    })
    probe.once("error", (error) => resume(Effect.succeed(codeOf(error) === "ECONNREFUSED")))
  })

/** The path of a socket that its server left behind when it was killed is free again. */
const removeStale = (path: string, error: ListenError): Effect.Effect<void, ListenError> =>
  Effect.gen(function* () {
    if (codeOf(error.cause) !== "EADDRINUSE") return yield* error
    const stat = yield* Effect.tryPromise({ try: () => NodeFs.lstat(path), catch: () => error })
    if (!stat.isSocket() || !(yield* isStale(path))) return yield* error
    yield* Effect.tryPromise({ try: () => NodeFs.unlink(path), catch: () => error })
  })

/** Listens from now on, for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Listener, ListenError, Scope.Scope> {
  const { address } = options
  const server = Net.createServer({
    noDelay: true,
    keepAlive: Duration.isFinite(options.keepAlive),
    keepAliveInitialDelay: Duration.isFinite(options.keepAlive) ? Duration.toMillis(options.keepAlive) : 0
  })
  server.on("connection", (socket) => {
    // Nothing is read before the connection's own reader pulls, and a reset before that is nobody's error yet.
    socket.pause()
    socket.on("error", () => {})
    options.onConnection(socket)
  })
  const stop = Effect.sync(() => {
    if (server.listening) server.close()
  })
  yield* Effect.addFinalizer(() => stop)
  const attempt = listen(server, options)
  yield* address._tag === "Unix"
    ? Effect.catch(attempt, (error) => Effect.andThen(removeStale(address.path, error), attempt))
    : attempt
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
