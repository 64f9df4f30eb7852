/**
 * The body of a request: its media type, charset and compression, and its bytes within the limit.
 */
import type * as NodeHttp from "node:http"
import { promisify } from "node:util"
import * as Zlib from "node:zlib"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerError from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as GatewayError from "./GatewayError.ts"
import * as Http from "./Http.ts"
import * as Negotiation from "./Negotiation.ts"

/** ASCII is a subset of UTF-8. */
const charsets: ReadonlySet<string | undefined> = new Set([undefined, "utf-8", "utf8", "us-ascii"])

/** The media type of a body that the gateway can read, from its `Content-Type`. */
export const mediaType = (header: string | undefined): Negotiation.BodyType | GatewayError.GatewayError => {
  const [name = "", ...parameters] = (header ?? "").toLowerCase().split(";")
  const type = Negotiation.bodyTypes.find((type) => type === name.trim())
  const charset = parameters.map((one) => /^\s*charset\s*=\s*"?([^"]*?)"?\s*$/.exec(one)?.[1]).find(Boolean)
  if (type === undefined) {
    return GatewayError.make(
      "unsupported_media_type",
      `Content-Type: expected ${Negotiation.bodyTypes.join(" or ")}, not ${name.trim() || "none"}`
    )
  }
  return charsets.has(charset)
    ? type
    : GatewayError.make("unsupported_media_type", `Content-Type: expected the charset UTF-8, not ${charset}`)
}

/** A small zstd frame may demand much memory: RFC 8878 recommends that receivers support 8 MiB. */
const zstd = { params: { [Zlib.constants.ZSTD_d_windowLogMax]: 23 } }

const decompress: Record<
  Negotiation.Encoding,
  (bytes: Uint8Array, maxOutputLength: number) => Promise<Uint8Array>
> = {
  gzip: (bytes, maxOutputLength) => promisify(Zlib.gunzip)(bytes, { maxOutputLength }),
  zstd: (bytes, maxOutputLength) => promisify(Zlib.zstdDecompress)(bytes, { ...zstd, maxOutputLength })
}

const tooLarge = (maxBodySize: number): GatewayError.GatewayError =>
  GatewayError.make("too_large", `The body is longer than ${maxBodySize} bytes (httpMaxBodySize)`)

/**
 * The whole body of a request, decompressed. Both the compressed and the decompressed size must be within the
 * limit.
 */
export const read = (
  request: HttpServerRequest,
  maxBodySize: number
): Effect.Effect<Uint8Array, GatewayError.GatewayError> => {
  const coding = (request.headers["content-encoding"] ?? "").trim().toLowerCase()
  if (coding === "" || coding === "identity") return sent(request, maxBodySize)
  const encoding = Negotiation.encodings.find((name) => name === coding)
  if (encoding === undefined) {
    const message = `Content-Encoding: expected ${Negotiation.encodings.join(", ")} or none, not ${coding}`
    return Effect.fail(GatewayError.make("unsupported_encoding", message))
  }
  return Effect.flatMap(sent(request, maxBodySize), (bytes) =>
    Effect.tryPromise({
      try: () => decompress[encoding](bytes, maxBodySize),
      catch: (cause) =>
        (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE"
          ? tooLarge(maxBodySize)
          : GatewayError.badRequest(`Content-Encoding: the body is not ${encoding}`)
    })
  )
}

/** The body as it was sent. */
const sent = (
  request: HttpServerRequest,
  maxBodySize: number
): Effect.Effect<Uint8Array, GatewayError.GatewayError> => {
  const { "content-length": length, expect } = request.headers
  if (Number(length) > maxBodySize) return Effect.fail(tooLarge(maxBodySize))
  // With `Expect` the client waits for a go-ahead, and a body without a length must be counted.
  return expect === undefined && length !== undefined
    ? announced(Http.incoming(request))
    : counted(request, maxBodySize)
}

/** A body with a length, which Node enforces. */
const announced = (request: NodeHttp.IncomingMessage): Effect.Effect<Uint8Array, GatewayError.GatewayError> =>
  Effect.callback((resume) => {
    const parts: Array<Uint8Array> = []
    const onData = (part: Uint8Array) => parts.push(part)
    const onEnd = () => {
      leave()
      resume(Effect.succeed(parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)))
    }
    const onError = () => {
      leave()
      resume(Effect.fail(incomplete))
    }
    const leave = () => {
      request.off("data", onData)
      request.off("end", onEnd)
      request.off("error", onError)
    }
    request.on("data", onData)
    request.on("end", onEnd)
    request.on("error", onError)
    return Effect.sync(leave)
  })

const counted = (
  request: HttpServerRequest,
  maxBodySize: number
): Effect.Effect<Uint8Array, GatewayError.GatewayError> =>
  request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(maxBodySize)),
    Effect.map((buffer) => new Uint8Array(buffer)),
    Effect.mapError((error) => bodyError(error, maxBodySize))
  )

const incomplete = GatewayError.badRequest("The body did not arrive whole")

const bodyError = (
  { reason }: HttpServerError.HttpServerError,
  maxBodySize: number
): GatewayError.GatewayError =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge" ? tooLarge(maxBodySize) : incomplete
