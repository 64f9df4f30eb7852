/**
 * A connection without a protocol: sends arbitrary bytes, and does to the socket everything that a client may
 * do, well or badly. Observers see its traffic.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Address from "../../net/Address.ts"
import type { Observer } from "../../recording/Observer.ts"

/** There is no connection. */
export class WireError extends Schema.TaggedError<WireError>()("WireError", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot connect to ${this.server}: ${this.detail} (is a server running there? See --server)`
  }
}

/** How long connecting may take. */
const patience = "10 seconds"

/** An open connection. Data are read as they arrive, unless reading is stopped. */
export class Wire {
  private readonly socket: Net.Socket
  private readonly observers: ReadonlyArray<Observer>
  /** Whether this end has closed its half. */
  private hasEnded = false

  constructor(socket: Net.Socket, observers: ReadonlyArray<Observer>) {
    this.socket = socket
    this.observers = observers
    socket.on("data", (bytes) => this.tell((observer) => observer.received(bytes as Uint8Array)))
    socket.on("end", () => this.tell((observer) => observer.lost("closed")))
    socket.on("error", (error) => this.broke(error.message))
    socket.on("close", () => {
      // Observers are not notified of an end that this side has caused.
      if (!this.hasEnded) this.broke("the connection is closed")
    })
  }

  private tell(what: (observer: Observer) => void): void {
    for (const observer of this.observers) what(observer)
  }

  private broke(detail: string): void {
    this.tell((observer) => observer.lost("broken", detail))
  }

  /** Whether bytes can be sent. */
  get isWritable(): boolean {
    return !this.hasEnded && this.socket.writable
  }

  /**
   * Sends bytes, and waits until the system has taken them. If the server does not read, that may not happen.
   */
  send(bytes: Uint8Array): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (!this.isWritable) return resume(Effect.void)
      this.tell((observer) => observer.sent(bytes))
      this.socket.write(bytes, () => resume(Effect.void))
    })
  }

  /** Closes this half; the server's stays open. */
  readonly halfClose: Effect.Effect<void> = Effect.sync(() => {
    this.left("closed")
    this.socket.end()
  })

  /** Aborts the connection. A Unix socket has no reset, and closes. */
  readonly reset: Effect.Effect<void> = Effect.sync(() => {
    this.left("broken")
    if (this.socket.remoteFamily === undefined) this.socket.destroy()
    else this.socket.resetAndDestroy()
  })

  /** Closes the connection, without reading the remaining data. */
  readonly close: Effect.Effect<void> = Effect.sync(() => {
    this.left("closed")
    this.socket.destroy()
  })

  /** Whether data of the server are read, and more may come. */
  get isReading(): boolean {
    return this.socket.readable && !this.socket.isPaused()
  }

  readonly stopReading: Effect.Effect<void> = Effect.sync(() => {
    this.socket.pause()
  })

  readonly readOn: Effect.Effect<void> = Effect.sync(() => {
    this.socket.resume()
  })

  private left(how: "closed" | "broken"): void {
    this.hasEnded = true
    this.tell((observer) => observer.left(how))
  }
}

const dial = (address: Address.Address): Net.Socket =>
  Net.connect({
    ...(address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }),
    // Sends pieces one by one.
    noDelay: true,
    // This half stays open when the server closes its own.
    allowHalfOpen: true
  })

/** Connects. The scope owns the connection; `observe` makes its observers once it is open. */
export const connect = (
  address: Address.Address,
  observe: () => ReadonlyArray<Observer>
): Effect.Effect<Wire, WireError, Scope.Scope> => {
  const server = Address.format(address)
  const open = Effect.callback<Wire, WireError>((resume) => {
    const socket = dial(address)
    const failed = (error: Error) =>
      resume(Effect.fail(new WireError({ server, detail: error.message || String(error) })))
    socket.once("error", failed)
    socket.once("connect", () => {
      socket.off("error", failed)
      resume(Effect.sync(() => new Wire(socket, observe())))
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(new WireError({ server, detail: "it took too long" }))
    })
  )
  return Effect.acquireRelease(open, (wire) => wire.close, { interruptible: true })
}
