/**
 * Records connections: a layer around a transport, which writes the recording to a sink as lines.
 *
 * **When to use**
 *
 * To see the messages of your own client or server, to send them to others, or to replay them (`dataconn
 * replay`): provide {@link layer} to the code that makes the client or the server.
 */
import * as NodeFs from "node:fs"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { LengthCounts } from "../framing/LengthDelimited.ts"
import * as Transport from "../net/Transport.ts"
import * as Limit from "../settings/Limit.ts"
import { type Event, Observer, type Options as ObserverOptions } from "./Observer.ts"
import * as Recording from "./Recording.ts"

export type { Event, Observer } from "./Observer.ts"

/**
 * Called with the events of connections, on the stack of the event.
 *
 * @category models
 * @since 0.1.0
 */
export type Listener = (event: Event) => void

/**
 * Options of watching.
 *
 * @category settings
 * @since 0.1.0
 */
export interface WatchOptions {
  /** As in the settings of the ends. Default `body`. */
  readonly lengthCounts?: LengthCounts | undefined
  /** The number of bytes of a body that are kept. A recording omits longer bodies. Default 16 MiB. */
  readonly maxBodySize?: number | undefined
}

/**
 * Options of recording.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options extends WatchOptions {
  /** Whether bodies are recorded with their values. Default `redacted`. */
  readonly values?: Recording.Header["values"] | undefined
}

/**
 * The default number of bytes of a body that are kept.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaultMaxBodySize: number = 16 * 1024 * 1024

/**
 * The recording could not be written.
 *
 * @category errors
 * @since 0.1.0
 */
export class RecordError extends Schema.TaggedError<RecordError>()("RecordError", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot write the recording ${this.file}: ${this.detail}`
  }
}

const checks: Limit.Checks<Options> = {
  lengthCounts: (name, given: LengthCounts) => Limit.oneOf(name, given, LengthCounts.literals),
  maxBodySize: (name, given: number) => Limit.size(name, given, 0),
  values: (name, given: Recording.Header["values"]) => Limit.oneOf(name, given, ["redacted", "kept"])
}

/** Milliseconds since this effect ran. */
const stopwatch: Effect.Effect<() => number> = Effect.map(Clock.Clock, (clock) => {
  const started = clock.monotonicTimeNanosUnsafe()
  return () => Number(clock.monotonicTimeNanosUnsafe() - started) / 1e6
})

/**
 * Makes observers of connections, and numbers the connections.
 *
 * @category constructors
 * @since 0.1.0
 */
export const observers = (
  listener: Listener,
  given: WatchOptions = {}
): Effect.Effect<(place: Transport.Place) => Observer> =>
  Effect.map(stopwatch, (now) => {
    const { lengthCounts = "body", maxBodySize = defaultMaxBodySize } = Limit.settings<Options>(
      "a recording",
      given,
      checks
    )
    let connection = 0
    const options: Omit<ObserverOptions, "connection" | "end" | "peer"> = {
      lengthCounts,
      maxBodySize,
      now,
      on: Limit.callback("listener", listener)
    }
    return ({ end, peer }) => new Observer({ ...options, end, peer: peer(), connection: ++connection })
  })

/**
 * Calls a user's function, whose failure must not affect the watched connection: after a failure it is not
 * called again.
 */
const guarded = <A>(name: string, call: (value: A) => unknown): Effect.Effect<(value: A) => void> =>
  Effect.map(Effect.context<never>(), (context) => {
    Limit.callback(name, call)
    let hasFailed = false
    const failed = (cause: unknown): void => {
      if (hasFailed) return
      hasFailed = true
      const log = Effect.logError(
        `${name} of a recording has failed: nothing more is recorded`,
        Cause.die(cause)
      )
      Effect.runForkWith(context)(log)
    }
    return (value) => {
      if (hasFailed) return
      try {
        const given = call(value)
        if (Effect.isEffect(given)) throw new TypeError(`${name} returned an Effect, which nobody runs`)
        if (given instanceof Promise) given.catch(failed)
      } catch (cause) {
        failed(cause)
      }
    }
  })

class WatchedTransport implements Transport.Transport {
  private readonly transport: Transport.Transport
  private readonly observer: Observer

  constructor(transport: Transport.Transport, observer: Observer) {
    this.transport = transport
    this.observer = observer
  }

  read(receiver: Transport.Receiver): void {
    const { observer } = this
    this.transport.read({
      received: (chunks) => {
        for (const chunk of chunks) observer.received(chunk)
        receiver.received(chunks)
      },
      ended: (cause) => {
        const { detail, how } = endOf(cause)
        observer.lost(how, detail)
        receiver.ended(cause)
      }
    })
  }

  pause(): void {
    this.transport.pause()
  }

  resume(): void {
    this.transport.resume()
  }

  write(
    parts: Transport.Chunks,
    written: (exit: Exit.Exit<void, Socket.SocketError>) => void
  ): Exit.Exit<void, Socket.SocketError> | undefined {
    for (const part of parts) this.observer.sent(part)
    return this.transport.write(parts, written)
  }

  destroy(): void {
    this.observer.left("broken")
    this.transport.destroy()
  }

  unsent(): number {
    return this.transport.unsent()
  }
}

const endOf = (cause: Cause.Cause<Socket.SocketError>): { how: Recording.Ending; detail?: string } => {
  const error = Cause.squash(cause)
  const reason = (error as Partial<Socket.SocketError>).reason
  if (reason?._tag === "SocketCloseError" && reason.code === 1000) return { how: "closed" }
  return { how: "broken", detail: error instanceof Error ? error.message : String(error) }
}

/**
 * The transport with an observer. `make` is called once the transport is open.
 *
 * @category combinators
 * @since 0.1.0
 */
export const watched = (open: Transport.Open, make: () => Observer): Transport.Open =>
  Effect.flatMap(open, (transport) =>
    Effect.map(
      Effect.acquireRelease(Effect.sync(make), (observer) => Effect.sync(() => observer.left("closed"))),
      (observer) => new WatchedTransport(transport, observer)
    )
  )

/**
 * Reports to the listener all connections that clients and servers open within the effect. Like `write` of
 * {@link layer}, it must neither throw nor return an Effect.
 *
 * @category combinators
 * @since 0.1.0
 */
export const watch =
  (listener: Listener, options?: WatchOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(guarded("listener", listener), (listener) =>
      Effect.flatMap(observers(listener, options), (observe) => observedBy(observe)(effect))
    )

/**
 * Like {@link watch}, with observers that the caller makes.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observedBy =
  (observe: (place: Transport.Place) => Observer) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.updateService(
      effect,
      Transport.Wrapper,
      (outer) => (open, place) => watched(outer(open, place), () => observe(place))
    )

/** A listener that writes lines. */
const lines = (write: (line: string) => void, header: Recording.Header): Listener => {
  write(Recording.formatHeader(header))
  return (event) => write(Recording.formatEntry(Recording.entry(event, header)))
}

const headerOf = (options: Options): Recording.Header => {
  const { lengthCounts = "body", values = "redacted" } = Limit.settings("a recording", options, checks)
  return { lengthCounts, values }
}

/**
 * Writes a recording to a file that only the user may read, until the scope closes.
 *
 * **Details**
 *
 * Lines are written at once, so that the recording survives the process. A file of that name is replaced. If
 * a later line cannot be written, no more lines are, and `check` fails.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toFile = Effect.fnUntraced(function* (
  file: string,
  options: Options = {}
): Effect.fn.Return<
  { readonly listener: Listener; readonly check: Effect.Effect<void, RecordError> },
  RecordError,
  Scope.Scope
> {
  Limit.text("file", file, "a path")
  const header = headerOf(options)
  const failed = (cause: unknown) =>
    new RecordError({ file, detail: cause instanceof Error ? cause.message : String(cause) })
  const descriptor = yield* Effect.acquireRelease(
    Effect.try({
      try: () => {
        const opened = NodeFs.openSync(file, "w", 0o600)
        // An existing file may have been readable by others.
        if (NodeFs.fstatSync(opened).isFile()) NodeFs.fchmodSync(opened, 0o600)
        return opened
      },
      catch: failed
    }),
    (descriptor) => Effect.sync(() => NodeFs.closeSync(descriptor))
  )
  let error: RecordError | undefined
  const write = (line: string): void => {
    if (error !== undefined) return
    try {
      NodeFs.appendFileSync(descriptor, `${line}\n`)
    } catch (cause) {
      error = failed(cause)
    }
  }
  return {
    listener: lines(write, header),
    check: Effect.suspend(() => (error === undefined ? Effect.void : Effect.fail(error)))
  }
})

/**
 * Calls `write` with the lines of a recording of all connections that are opened with this layer.
 *
 * **Gotchas**
 *
 * `write` is called on the stack of the event, and must not take long. It is a plain function. If it throws
 * or returns an Effect it is not called again, and the log reports it. The recorded connections are not
 * affected.
 *
 * **Example** (Recording a client)
 *
 * ```ts
 * import { Client, Recorder } from "dataconn"
 * import { Effect } from "effect"
 *
 * const lines: Array<string> = []
 *
 * export const program = Client.connect("127.0.0.1:11653").pipe(
 *   Effect.scoped,
 *   Effect.provide(Recorder.layer((line) => lines.push(line)))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (write: (line: string) => void, options: Options = {}): Layer.Layer<never> =>
  Layer.effect(
    Transport.Wrapper,
    Effect.gen(function* () {
      const outer = yield* Transport.Wrapper
      const line = yield* guarded("write", write)
      const observe = yield* observers(lines(line, headerOf(options)), options)
      return (open, place) => watched(outer(open, place), () => observe(place))
    })
  )
