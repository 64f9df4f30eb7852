/**
 * Runs one query: asks the engine, takes its result ahead of the socket by a bounded number of bytes, and
 * writes the response.
 *
 * Two fibers share a {@link ResponseBuffer}: one fills it from the engine while the other sends what is there.
 * The one that fills owns the query's scope, so the query's finalizers have run before the message that ends
 * the response is written. Interruption is cancel: it ends both, and the driver writes nothing afterwards.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import {
  type QueryEngine,
  type QueryFailed,
  QueryInitError,
  type QueryRejected
} from "../engine/QueryEngine.ts"
import * as Frame from "../wire/Frame.ts"
import type * as FrameWriter from "../wire/FrameWriter.ts"
import { type End, ResponseBuffer, type Settings } from "./ResponseBuffer.ts"
import type { QueryDriverReason, QueryDriverStatistics } from "./Statistics.ts"

export interface Options {
  readonly engine: QueryEngine["Service"]
  readonly request: Uint8Array
  readonly writer: FrameWriter.FrameWriter
  readonly settings: Settings
  /** The body of the error for a defect of the engine, which says nothing of the cause to the client. */
  readonly internalError: () => Uint8Array
  /** The engine accepted. Runs before the accept is written. */
  readonly onAccepted: (payload: Uint8Array, timeout: Duration.Input | undefined) => Effect.Effect<void>
  /** The accept, or the message that ends the response, is about to be written; nothing can precede it now. */
  readonly onBegin: (what: "accept" | "terminal") => void
}

export interface QueryDriver {
  /**
   * Runs the query until the message that ends the response has been written, and says how it ended.
   * Fails if the engine could not initialise it, or if the socket failed.
   */
  readonly run: Effect.Effect<End, QueryInitError | FrameWriter.Failure>
  readonly statistics: (reason: QueryDriverReason) => QueryDriverStatistics
}

const complete: End = { _tag: "Complete" }

const isChunk = (type: Frame.Type): boolean => type === Frame.Type.Intermediate || type === Frame.Type.Final

const initMessage = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

/** Constructs a driver; nothing happens before `run`. */
export const make = (options: Options): QueryDriver => {
  const buffer = new ResponseBuffer(options.settings)
  let initFailure: QueryInitError | undefined
  let bytes = 0
  let payloadBytes = 0
  let messages = 0
  let runs = 0

  const stream = Effect.gen(function* () {
    const accepted = yield* options.engine.init(options.request)
    yield* options.onAccepted(accepted.payload, accepted.timeout)
    yield* buffer.accepted(accepted.payload)
    yield* Stream.runForEachArray(accepted.chunks, (chunks) => {
      runs++
      return buffer.offer(chunks)
    })
  })

  const fill = Effect.onExit(Effect.scoped(stream), (exit) => {
    if (Exit.isFailure(exit)) return failed(exit.cause)
    buffer.ended(complete)
    return Effect.void
  })

  const failed = (cause: Cause.Cause<QueryRejected | QueryFailed | QueryInitError>): Effect.Effect<void> => {
    const error = Cause.findErrorOption(cause)
    if (error._tag === "Some" && error.value._tag === "QueryRejected") {
      buffer.ended({ _tag: "Rejected", payload: error.value.payload })
    } else if (error._tag === "Some" && error.value._tag === "QueryFailed") {
      buffer.ended({ _tag: "Failed", payload: error.value.payload })
    } else if (!buffer.isAccepted) {
      initFailure = Cause.hasInterruptsOnly(cause)
        ? new QueryInitError({ message: "The engine interrupted its own query" })
        : new QueryInitError({ message: initMessage(cause), cause: Cause.squash(cause) })
      buffer.ended(complete)
    } else {
      buffer.ended({ _tag: "Failed", payload: options.internalError() })
      if (!Cause.hasInterruptsOnly(cause)) {
        return Effect.logError("The engine died while streaming a result", cause)
      }
    }
    return Effect.void
  }

  const take = (): ReadonlyArray<Frame.Frame> => {
    const frames = buffer.take()
    for (const frame of frames) {
      bytes += Frame.size(frame)
      if (isChunk(frame.type)) payloadBytes += frame.body.length
      messages++
    }
    if (frames[0]?.type === Frame.Type.Accept) options.onBegin("accept")
    if (buffer.done) options.onBegin("terminal")
    return frames
  }

  // The socket has the frames by the time that the engine works on the next ones.
  const release = () => buffer.release()

  const send: Effect.Effect<End, QueryInitError | FrameWriter.Failure> = Effect.gen(function* () {
    while (true) {
      yield* buffer.ready
      if (initFailure !== undefined) return yield* initFailure
      yield* options.writer.write(take, { onStarted: release })
      if (buffer.done) return buffer.end ?? complete
    }
  })

  const run = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkChild(fill, { startImmediately: true }), (filling) =>
      Effect.onExit(restore(send), () =>
        filling.pollUnsafe() === undefined ? Fiber.interrupt(filling) : Effect.void
      )
    )
  )

  return {
    run,
    statistics: (reason) => ({
      bytesTransferred: bytes,
      payloadBytesTransferred: payloadBytes,
      messages,
      runs,
      reason
    })
  }
}
