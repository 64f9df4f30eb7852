/**
 * The errors of a client's connection, from the reason why it ended.
 */
import type { Why } from "../protocol/ClientMachine.ts"
import {
  ClientError,
  ConnectFailed,
  ConnectionClosed,
  ConnectionLost,
  ProtocolViolation,
  RequestTooLarge,
  ServerSilent,
  TooManyRequests
} from "./ClientError.ts"

/** The names and limits that errors tell: the server, and the limits that may have been too short. */
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

/** The error of a connection that was not made. */
export const connectFailed = (server: string, detail: string): ClientError =>
  new ClientError({ reason: new ConnectFailed({ server, detail }) })

/** The error of a request that was not sent, since the connection had ended. */
export const beforeRequest = (names: Names, why: Why): ClientError =>
  new ClientError({
    reason: new ConnectionClosed({ server: names.server, detail: describe(names, why) })
  })

/** The error of a request that came after the client was closed. */
export const closed = (server: string): ClientError =>
  new ClientError({ reason: new ConnectionClosed({ server, detail: clientClosed }) })

/** The error of a request that may not wait for its turn. */
export const tooManyRequests = (server: string, maxQueuedRequests: number): ClientError =>
  new ClientError({ reason: new TooManyRequests({ server, maxQueuedRequests }) })

/** The error of a request that is too long to be sent. */
export const requestTooLarge = (server: string, size: number, maxRequestSize: number): ClientError =>
  new ClientError({ reason: new RequestTooLarge({ server, size, maxRequestSize }) })

/** The error of a response that the end of the connection broke off. */
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
