/**
 * Writes the body of a response: compressed if the client accepts that, ahead of the client by no more than
 * Node's buffers, and broken off if the result is incomplete.
 */
import type * as Http from "node:http"
import type { Writable } from "node:stream"
import * as Zlib from "node:zlib"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Chunk from "../net/Chunk.ts"
import * as GatewayError from "./GatewayError.ts"
import type { Encoding } from "./Negotiation.ts"

/** A compressor that flushes after each write, so that rows are not delayed in it. */
const compressor: Record<Encoding, () => Zlib.Gzip | Zlib.ZstdCompress> = {
  gzip: () => Zlib.createGzip({ flush: Zlib.constants.Z_SYNC_FLUSH }),
  zstd: () => Zlib.createZstdCompress({ flush: Zlib.constants.ZSTD_e_flush })
}

export interface Options {
  readonly encoding: Encoding | undefined
  /** How long the client may take no byte. */
  readonly stallTimeout: Duration.Duration
}

/** The reason for the end of a query whose client takes no bytes. */
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
    // The compressor ends with the response; this frees its memory.
    response.once("close", () => stream.destroy())
    stream.on("error", () => this.breakOff())
    stream.pipe(response)
    return stream
  }

  /** The reason why the client was given up, if it was. */
  get givenUp(): GatewayError.GatewayError | undefined {
    return this.given
  }

  /** Whether nothing more should be written until the client has taken earlier bytes. */
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

  /** Waits until the client has taken pending bytes, if there are many, or until {@link hurry}. */
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

  /**
   * Waits for an event, for the end of the response, after which the event does not come, or for {@link
   * hurry}.
   */
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

  /** Ends the wait for the client. */
  hurry(): void {
    this.wake?.()
  }

  /** Ends a complete body, and waits until the connection has been given all of it. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    const { stallTimeout } = this.options
    // The client may never take the last bytes.
    if (Duration.isFinite(stallTimeout)) {
      this.response.setTimeout(Duration.toMillis(stallTimeout), () => this.response.destroy())
    }
    this.sink.end()
    return this.sink === this.response ? Effect.void : this.until(this.response, "finish")
  })

  /** Ends the connection within the body, so that no client treats it as complete. */
  breakOff(): void {
    const { response } = this
    // A body of HTTP/1.0 ends with its connection: only a reset distinguishes a broken one from a complete
    // one.
    if (response.req.httpVersion === "1.0") response.socket?.resetAndDestroy()
    else leaveChunkOpen(response)
    response.destroy()
  }
}

/**
 * Begins a chunk that never comes: some clients overlook the end of a connection between two chunks, as
 * Python's `http.client` does if it reads by lines.
 */
const leaveChunkOpen = (response: Http.ServerResponse): void => {
  const { socket } = response
  if (socket === null || socket.destroyed || !response.headersSent || response.writableEnded) return
  response.flushHeaders()
  socket.write("1\r\n")
  // Node sends what was written in this turn in the next one.
  while (socket.writableCorked > 0) socket.uncork()
}
