/**
 * The reasons why a client could not connect, send a request or receive a whole response.
 *
 * The server's rejects and errors of queries are not among them.
 */
import * as Schema from "effect/Schema"

/**
 * Connecting failed. Nothing was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectFailed extends Schema.TaggedError<ConnectFailed>()("ConnectFailed", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot connect to ${this.server}: ${this.detail}`
  }
}

/**
 * The connection ended before the request was sent, so a retry on a new connection is safe.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionClosed extends Schema.TaggedError<ConnectionClosed>()("ConnectionClosed", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The connection to ${this.server} is closed: ${this.detail}. Connect again; nothing was sent`
  }
}

/**
 * Too many requests wait already. Nothing was sent, and the client remains usable.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyRequests extends Schema.TaggedError<TooManyRequests>()("TooManyRequests", {
  server: Schema.String,
  maxQueuedRequests: Schema.Finite
}) {
  override get message() {
    return `${this.maxQueuedRequests} requests to ${this.server} are waiting already (maxQueuedRequests); nothing was sent`
  }
}

/**
 * The request has waited too long for a connection. Nothing was run, and the client remains usable.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>()("QueueTimeout", {
  server: Schema.String,
  queueTimeoutMillis: Schema.Finite
}) {
  override get message() {
    return `No connection to ${this.server} took a request within ${this.queueTimeoutMillis} ms (queueTimeout); nothing was run`
  }
}

/**
 * A request was not accepted within `requestTimeout`. `phase` is what it waited for:
 *
 * - `waiting`: the end of other requests. Nothing was sent.
 * - `connecting`: a connection. Nothing was sent.
 * - `accept`: the server's answer. The request was cancelled, and the server may have started it.
 *
 * The client remains usable.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  server: Schema.String,
  requestTimeoutMillis: Schema.Finite,
  phase: Schema.Literals(["waiting", "connecting", "accept"])
}) {
  override get message() {
    const limit = `${this.requestTimeoutMillis} ms (requestTimeout)`
    const messages = {
      waiting: `A request to ${this.server} waited for other requests for ${limit}; nothing was sent`,
      connecting: `A request waited for a connection to ${this.server} for ${limit}; nothing was sent`,
      accept: `${this.server} did not accept a request within ${limit}; it was cancelled`
    }
    return messages[this.phase]
  }
}

/**
 * The request is too long. Nothing was sent, and the client remains usable.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestTooLarge extends Schema.TaggedError<RequestTooLarge>()("RequestTooLarge", {
  server: Schema.String,
  size: Schema.Finite,
  maxRequestSize: Schema.Finite
}) {
  override get message() {
    return `The request to ${this.server} has ${this.size} bytes, and ${this.maxRequestSize} are the most (maxRequestSize); nothing was sent`
  }
}

/** A write commits before its last message is sent, and exactly that message may be lost. */
const unknownOutcome = "If the query changes something, that may have happened or not"

/**
 * The connection ended before the response did. The data received is incomplete. A query with changes may
 * have been committed, if its whole result had been sent: check before a retry.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Lost the connection to ${this.server} before the response was complete: ${this.detail}. ${unknownOutcome}`
  }
}

/**
 * Not even a heartbeat arrived while a response was awaited. The connection has been dropped. As after {@link
 * ConnectionLost}, the outcome of a query with changes is unknown.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerSilent extends Schema.TaggedError<ServerSilent>()("ServerSilent", {
  server: Schema.String,
  heartbeatToleranceMillis: Schema.Finite
}) {
  override get message() {
    return (
      `${this.server} is silent: not even a heartbeat came for ${this.heartbeatToleranceMillis} ms ` +
      `(heartbeatTolerance; it must exceed the server's heartbeatInterval). ${unknownOutcome}`
    )
  }
}

/**
 * The server violated the protocol. The connection has been dropped. As after {@link ConnectionLost}, the
 * outcome of a query with changes is unknown.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProtocolViolation extends Schema.TaggedError<ProtocolViolation>()("ProtocolViolation", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.server} broke the protocol: ${this.detail}. ${unknownOutcome}`
  }
}

/**
 * The reason why a request, or the connection to the server, failed.
 *
 * @category errors
 * @since 0.1.0
 */
export const ClientErrorReason = Schema.Union([
  ConnectFailed,
  ConnectionClosed,
  TooManyRequests,
  QueueTimeout,
  RequestTimeout,
  RequestTooLarge,
  ConnectionLost,
  ServerSilent,
  ProtocolViolation
])
/**
 * The reason why a request, or the connection to the server, failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientErrorReason = typeof ClientErrorReason.Type

/** No part of the request was sent, and a retry may succeed. */
const unsent: ReadonlySet<ClientErrorReason["_tag"]> = new Set([
  "ConnectFailed",
  "ConnectionClosed",
  "TooManyRequests",
  "QueueTimeout"
])

/**
 * The request, or the connection to the server, failed, for `reason`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientError extends Schema.TaggedError<ClientError>()("ClientError", {
  reason: ClientErrorReason
}) {
  override readonly message = this.reason.message

  /**
   * Whether no part of the request can have been run, and a retry may succeed. After `ConnectionClosed` it
   * needs a new connection, which a pool makes and a `Client` does not.
   */
  get retryable(): boolean {
    const { reason } = this
    return reason._tag === "RequestTimeout" ? reason.phase !== "accept" : unsent.has(reason._tag)
  }
}
