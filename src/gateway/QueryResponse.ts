/**
 * The HTTP response of a query: whole with a real status, or streamed and broken off if it fails, or as
 * events.
 */
import type * as Http from "node:http"
import { promisify } from "node:util"
import * as Zlib from "node:zlib"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as Chunk from "../net/Chunk.ts"
import type { Asked } from "./Asked.ts"
import * as BackendProgress from "./BackendProgress.ts"
import { BodyWriter } from "./BodyWriter.ts"
import type { Running } from "./Dispatcher.ts"
import * as Events from "./Events.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"
import { queryIdHeader } from "./Problem.ts"
import type { Control, Entry } from "./Queries.ts"

export interface Settings {
  /** The size up to which a result is held back for `wait=end`. */
  readonly maxHeldSize: number
  /** Longest row of `format=events`. */
  readonly maxEventRowSize: number
  readonly progressInterval: Duration.Duration
  readonly stallTimeout: Duration.Duration
}

/** The chunks that have been pulled, and whether they are the whole result. */
interface Held {
  readonly chunks: ReadonlyArray<Uint8Array>
  readonly isWhole: boolean
}

/**
 * Pulls until the result has ended, or more than `maxSize` bytes have been pulled and the rest would have to
 * be waited for.
 */
const hold = (
  { hasEnded, pull }: Running,
  maxSize: number
): Effect.Effect<Held, GatewayError.GatewayError> => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  const more = Pull.matchEffect(pull, {
    onSuccess: (batch) => {
      for (const chunk of batch) size += chunk.length
      chunks.push(...batch)
      return next()
    },
    onFailure: Effect.failCause,
    onDone: () => Effect.succeed<Held>({ chunks, isWhole: true })
  })
  const next = (): Effect.Effect<Held, GatewayError.GatewayError> =>
    size <= maxSize || hasEnded() ? more : Effect.succeed({ chunks, isWhole: false })
  return next()
}

/** The maximum length of the header with the columns, in bytes: proxies refuse long ones. */
const maxColumnsHeader = 4096

/** The headers that are known before a query runs. */
export const headersOf = ({ format }: Pick<Asked, "format">) => ({
  "content-type": format,
  "cache-control": "no-store",
  vary: "accept, accept-encoding"
})

const headersOfResult = (asked: Asked, { accepted, entry }: Running): Record<string, string> => {
  // Header values are Latin-1; escapes make any name ASCII.
  const columns = JSON.stringify(accepted.columns ?? []).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
  return {
    ...headersOf(asked),
    [queryIdHeader]: entry.id,
    ...(accepted.columns !== undefined && columns.length <= maxColumnsHeader
      ? { "x-dataconn-columns": columns }
      : {})
  }
}

/** No compression for Parquet, which is compressed already. */
const encodingOf = (
  asked: Asked,
  request: HttpServerRequest.HttpServerRequest
): Negotiation.Encoding | undefined =>
  asked.format === Negotiation.formats.parquet
    ? undefined
    : Negotiation.encodingFor(request.headers["accept-encoding"])

const compress: Record<Negotiation.Encoding, (bytes: Uint8Array) => Promise<Uint8Array>> = {
  gzip: (bytes) => promisify(Zlib.gzip)(bytes),
  zstd: (bytes) => promisify(Zlib.zstdCompress)(bytes)
}

/** Compressing shorter bodies is not worth it. */
const minCompressed = 1024

/** The response of an accepted query. An early error comes before the first byte, so it has a real status. */
export const make = (
  running: Running,
  asked: Asked,
  request: HttpServerRequest.HttpServerRequest,
  settings: Settings
): Effect.Effect<HttpServerResponse.HttpServerResponse, GatewayError.GatewayError> => {
  const node = NodeHttpServerRequest.toServerResponse(request) as Http.ServerResponse
  const headers = headersOfResult(asked, running)
  const encoding = encodingOf(asked, request)
  const writer = () => new BodyWriter(node, { encoding, stallTimeout: settings.stallTimeout })
  const streamed = (body: Effect.Effect<void>) =>
    HttpServerResponse.stream(Stream.fromEffectDrain(body), {
      contentType: asked.format,
      headers: encoding === undefined ? headers : { ...headers, "content-encoding": encoding }
    })
  if (asked.format === Negotiation.events && !asked.waitsForEnd) {
    return Effect.succeed(streamed(Effect.suspend(() => events(running, writer(), settings))))
  }
  return Effect.flatMap(hold(running, asked.waitsForEnd ? settings.maxHeldSize : 0), (held) => {
    if (asked.format === Negotiation.events) {
      return Effect.succeed(
        streamed(Effect.suspend(() => events(withHeld(running, held), writer(), settings)))
      )
    }
    return held.isWhole
      ? whole(held.chunks, headers, encoding)
      : Effect.succeed(streamed(Effect.suspend(() => relay(running, held.chunks, writer()))))
  })
}

/** A result with its length. */
const whole = (
  chunks: ReadonlyArray<Uint8Array>,
  headers: Record<string, string>,
  encoding: Negotiation.Encoding | undefined
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const bytes = Buffer.concat(chunks)
  for (const chunk of chunks) Chunk.release(chunk)
  const contentType = headers["content-type"]
  if (encoding === undefined || bytes.length < minCompressed) {
    return Effect.succeed(HttpServerResponse.uint8Array(bytes, { headers, contentType }))
  }
  return Effect.map(
    Effect.promise(() => compress[encoding](bytes)),
    (compressed) =>
      HttpServerResponse.uint8Array(compressed, {
        headers: { ...headers, "content-encoding": encoding },
        contentType
      })
  )
}

/** The same query, whose first chunks have been pulled. */
const withHeld = (running: Running, { chunks, isWhole }: Held): Running => {
  const [first, ...rest] = chunks
  if (first === undefined && !isWhole) return running
  let isFirst = true
  return {
    ...running,
    pull: Effect.suspend(() => {
      if (!isFirst || first === undefined) return running.pull
      isFirst = false
      return Effect.succeed([first, ...rest] as const)
    })
  }
}

/** Makes a cancel end the wait for a client that takes nothing. */
const heeding = (control: Control, writer: BodyWriter): void => {
  control.hurry = () => writer.hurry()
}

/** Breaks a response off; the verdict includes the reason if the client took nothing. */
const broken = (control: Control, writer: BodyWriter): void => {
  control.stoppedBy ??= writer.givenUp
  writer.breakOff()
}

/** Writes chunks as they arrive. Any failure breaks the response off. */
const relay = (
  { control, pull }: Running,
  first: ReadonlyArray<Uint8Array>,
  writer: BodyWriter
): Effect.Effect<void> => {
  heeding(control, writer)
  const next: Effect.Effect<void, GatewayError.GatewayError> = Effect.suspend(() =>
    Effect.flatMap(
      Effect.andThen(
        writer.drained,
        Pull.catchDone(pull, () => Effect.succeed(undefined))
      ),
      (batch) => {
        if (batch === undefined) return writer.end
        writer.write(batch)
        return next
      }
    )
  )
  writer.write(first)
  return Effect.catchCause(next, () => Effect.sync(() => broken(control, writer)))
}

/** Writes a result as records, the last of which reports its end. */
const events = (running: Running, writer: BodyWriter, settings: Settings): Effect.Effect<void> => {
  const { accepted, control, entry, pull } = running
  const records = new Events.RowRecords(settings.maxEventRowSize)
  heeding(control, writer)
  const take = (batch: ReadonlyArray<Uint8Array>): Effect.Effect<void, GatewayError.GatewayError> =>
    Effect.suspend(() => {
      const made = records.push(batch)
      for (const chunk of batch) Chunk.release(chunk)
      give(made)
      return writer.drained
    })
  const give = (made: Uint8Array | undefined) => {
    entry.rows = records.rows
    if (made !== undefined) writer.write([made])
  }
  const next: Effect.Effect<void, GatewayError.GatewayError> = Effect.flatMap(
    Pull.catchDone(pull, () => Effect.succeed(undefined)),
    (batch) => {
      if (batch !== undefined) return Effect.andThen(take(batch), next)
      give(records.finish())
      return Effect.void
    }
  )
  const ticking = Effect.forever(
    Effect.gen(function* () {
      yield* Effect.sleep(settings.progressInterval)
      if (writer.isFull) return
      const engine = yield* BackendProgress.of(entry)
      const elapsedMs = entry.elapsedMillis(yield* Clock.monotonicTimeNanos)
      writer.write([Events.progress({ rows: records.rows, bytes: entry.bytes, elapsedMs, ...engine })])
    })
  )
  return Effect.suspend(() => {
    writer.write([Events.columns(entry.id, accepted.columns)])
    return Effect.raceFirst(next, ticking)
  }).pipe(
    Effect.catchDefect((defect) =>
      Effect.fail(
        GatewayError.make(
          "backend_lost",
          defect instanceof Events.RowError ? defect.message : "The gateway failed"
        )
      )
    ),
    Effect.matchEffect({
      onSuccess: () => Effect.map(Clock.monotonicTimeNanos, (nanos) => Events.end(receiptOf(entry, nanos))),
      onFailure: (error) => Effect.succeed(Events.error(entry.id, error))
    }),
    Effect.flatMap((last) => {
      if (writer.givenUp !== undefined) return Effect.sync(() => broken(control, writer))
      writer.write([last])
      return writer.end
    })
  )
}

/** The receipt of a complete result: the back-end's, with the gateway's own counts. */
const receiptOf = (entry: Entry, nanos: bigint) => ({
  queryId: entry.id,
  rows: entry.rows ?? 0,
  bytes: entry.bytes,
  durationMs: entry.elapsedMillis(nanos),
  ...entry.receipt
})
