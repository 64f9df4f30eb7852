/**
 * Why a client could not connect, send a request or receive a whole response.
 *
 * What the server has to say about a query is none of these: that is a rejected or failed query.
 */
import * as Schema from "effect/Schema"
import type { Why } from "../protocol/ClientMachine.ts"

/**
 * There is no connection. Nothing was sent.
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
 * So many requests wait already that this one may not. Nothing was sent, and the client goes on.
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
 * The connection ended before the response did. What has been received is incomplete.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Lost the connection to ${this.server} before the response was complete: ${this.detail}`
  }
}

/**
 * Not even a heartbeat came while a response was awaited. The connection has been dropped.
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
      "(heartbeatTolerance; it must exceed the server's heartbeatInterval)"
    )
  }
}

/**
 * The server sent what the protocol does not allow. The connection has been dropped.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProtocolViolation extends Schema.TaggedError<ProtocolViolation>()("ProtocolViolation", {
  server: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.server} broke the protocol: ${this.detail}`
  }
}

/**
 * How a request, or the connection to the server, failed.
 *
 * @category errors
 * @since 0.1.0
 */
export const ClientErrorReason = Schema.Union([
  ConnectFailed,
  ConnectionClosed,
  TooManyRequests,
  ConnectionLost,
  ServerSilent,
  ProtocolViolation
])
/**
 * How a request, or the connection to the server, failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type ClientErrorReason = typeof ClientErrorReason.Type

/**
 * The request, or the connection to the server, failed; `reason` says how.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientError extends Schema.TaggedError<ClientError>()("ClientError", {
  reason: ClientErrorReason
}) {
  override readonly message = this.reason.message
}

/**
 * What the messages name: the server, and the limits that may have been too short.
 *
 * @category models
 * @since 0.1.0
 */
export interface Names {
  readonly server: string
  readonly heartbeatToleranceMillis: number
  readonly cancelTimeoutMillis: number
}

const describe = (names: Names, why: Why): string => {
  switch (why._tag) {
    case "ServerClosed":
      return "the server closed it"
    case "Lost":
    case "Violation":
      return why.detail
    case "Silent":
      return `the server was silent for ${names.heartbeatToleranceMillis} ms (heartbeatTolerance)`
    case "CancelIgnored":
      return `the server did not acknowledge a cancel within ${names.cancelTimeoutMillis} ms (cancelTimeout)`
    case "Closed":
      return clientClosed
  }
}

const clientClosed = "the client was closed"

/**
 * The error of a connection that was not made.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connectFailed = (server: string, detail: string): ClientError =>
  new ClientError({ reason: new ConnectFailed({ server, detail }) })

/**
 * The error of a request that was not sent, since the connection had ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const beforeRequest = (names: Names, why: Why): ClientError =>
  new ClientError({
    reason: new ConnectionClosed({ server: names.server, detail: describe(names, why) })
  })

/**
 * The error of a request that came after the client was closed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const closed = (server: string): ClientError =>
  new ClientError({ reason: new ConnectionClosed({ server, detail: clientClosed }) })

/**
 * The error of a request that may not wait for its turn.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tooManyRequests = (server: string, maxQueuedRequests: number): ClientError =>
  new ClientError({ reason: new TooManyRequests({ server, maxQueuedRequests }) })

/**
 * The error of a response that the end of the connection broke off.
 *
 * @category constructors
 * @since 0.1.0
 */
export const duringResponse = (names: Names, why: Why): ClientError => {
  const { heartbeatToleranceMillis, server } = names
  switch (why._tag) {
    case "Silent":
      return new ClientError({ reason: new ServerSilent({ server, heartbeatToleranceMillis }) })
    case "Violation":
      return new ClientError({ reason: new ProtocolViolation({ server, detail: why.detail }) })
    default:
      return new ClientError({ reason: new ConnectionLost({ server, detail: describe(names, why) }) })
  }
}
