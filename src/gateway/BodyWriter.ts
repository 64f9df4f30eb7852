/**
 * Writes the body of a response: compressed where the client wants that, no further ahead of the client than Node's
 * buffers, and broken off where the result is not whole.
 */
import type * as Http from "node:http"
import type { Writable } from "node:stream"
import * as Zlib from "node:zlib"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Chunk from "../net/Chunk.ts"
import * as GatewayError from "./GatewayError.ts"
import type { Encoding } from "./Negotiation.ts"

/** A compressor that hands out all it has after each write, so that rows do not wait in it. */
const compressor: Record<Encoding, () => Zlib.Gzip | Zlib.ZstdCompress> = {
  gzip: () => Zlib.createGzip({ flush: Zlib.constants.Z_SYNC_FLUSH }),
  zstd: () => Zlib.createZstdCompress({ flush: Zlib.constants.ZSTD_e_flush })
}

export interface Options {
  readonly encoding: Encoding | undefined
  /** How long the client may take no byte. */
  readonly stallTimeout: Duration.Duration
}

/** Why a query ends whose client takes nothing. */
export const stalled = (timeout: Duration.Duration): GatewayError.GatewayError =>
  GatewayError.make("cancelled", `The client took no byte for ${Duration.format(timeout)} (httpStallTimeout)`)

export class BodyWriter {
  private readonly response: Http.ServerResponse
  private readonly sink: Writable
  private readonly options: Options
  private wake: (() => void) | undefined
  private given: GatewayError.GatewayError | undefined

  constructor(response: Http.ServerResponse, options: Options) {
    this.response = response
    this.options = options
    this.sink = options.encoding === undefined ? response : this.compressed(options.encoding)
  }

  private compressed(encoding: Encoding): Writable {
    const { response } = this
    const stream = compressor[encoding]()
    // It ends with the response; nothing is left of it but its memory.
    response.once("close", () => stream.destroy())
    stream.on("error", () => this.breakOff())
    stream.pipe(response)
    return stream
  }

  /** Why the client has been given up, if it has. */
  get givenUp(): GatewayError.GatewayError | undefined {
    return this.given
  }

  /** Whether the client has yet to take what was written: nothing more should be. */
  get isFull(): boolean {
    return this.sink.writableNeedDrain
  }

  /** Writes chunks and releases each once it has been sent. */
  write(chunks: ReadonlyArray<Uint8Array>): void {
    this.sink.cork()
    for (const chunk of chunks) {
      if (chunk.length > 0) this.sink.write(chunk, () => Chunk.release(chunk))
    }
    this.sink.uncork()
  }

  /** Waits until the client has taken what was written, if there is much of it, or until {@link hurry}. */
  get drained(): Effect.Effect<void, GatewayError.GatewayError> {
    const { stallTimeout } = this.options
    if (!this.isFull) return Effect.void
    const drain = this.until(this.sink, "drain")
    return Duration.isFinite(stallTimeout)
      ? Effect.timeoutOrElse(drain, {
          duration: stallTimeout,
          orElse: () =>
            Effect.suspend(() => {
              this.given = stalled(stallTimeout)
              return Effect.fail(this.given)
            })
        })
      : drain
  }

  /** Waits for an event, or for the end of the response, after which it does not come, or until {@link hurry}. */
  private until(of: Writable, event: "drain" | "finish"): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const { response } = this
      const forget = () => {
        of.off(event, done)
        response.off("close", done)
        this.wake = undefined
      }
      const done = () => {
        forget()
        resume(Effect.void)
      }
      if (response.closed) return resume(Effect.void)
      of.once(event, done)
      response.once("close", done)
      this.wake = done
      return Effect.sync(forget)
    })
  }

  /** The one who waits for the client waits no longer. */
  hurry(): void {
    this.wake?.()
  }

  /** Ends a whole body, and waits until it has been handed to the connection. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    const { stallTimeout } = this.options
    // The last bytes may be those that the client never takes.
    if (Duration.isFinite(stallTimeout)) {
      this.response.setTimeout(Duration.toMillis(stallTimeout), () => this.response.destroy())
    }
    this.sink.end()
    return this.sink === this.response ? Effect.void : this.until(this.response, "finish")
  })

  /** Ends the connection within the body, so that no client takes it for whole. */
  breakOff(): void {
    const { response } = this
    // A body of HTTP/1.0 is as long as its connection: only a reset tells a broken one from a whole one.
    if (response.req.httpVersion === "1.0") response.socket?.resetAndDestroy()
    response.destroy()
  }
}
