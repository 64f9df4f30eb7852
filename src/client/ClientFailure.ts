/** The errors of a client's connection, derived from the reason why it ended. */
import * as QueryApi from "../engine/QueryApi.ts"
import type { Why } from "../protocol/ClientMachine.ts"
import {
  ClientError,
  ConnectFailed,
  ConnectionClosed,
  ConnectionLost,
  ProtocolViolation,
  QueueTimeout,
  RequestTimeout,
  RequestTooLarge,
  ServerSilent,
  TooManyRequests
} from "./ClientError.ts"

/** The server's name and the limits that errors mention. */
export interface Names {
  readonly server: string
  readonly heartbeatToleranceMillis: number
  readonly cancelTimeoutMillis: number
  readonly connectTimeoutMillis: number
  readonly requestTimeoutMillis: number
}

const describe = (names: Names, why: Why): string => {
  switch (why._tag) {
    case "GoingAway":
      return `the server closes it (${QueryApi.decodeError(why.payload).message})`
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

/** The error of a failed connection attempt. */
export const connectFailed = (server: string, detail: string): ClientError =>
  new ClientError({ reason: new ConnectFailed({ server, detail }) })

/** The same after `connectTimeout`. */
export const connectTimedOut = ({ connectTimeoutMillis, server }: Names): ClientError =>
  connectFailed(server, `no connection within ${connectTimeoutMillis} ms (connectTimeout)`)

/** The error of a request that was not accepted in time. */
export const requestTimedOut = (
  { requestTimeoutMillis, server }: Names,
  phase: RequestTimeout["phase"]
): ClientError => new ClientError({ reason: new RequestTimeout({ server, requestTimeoutMillis, phase }) })

/** The error of a request that was not sent, since the connection had ended. */
export const beforeRequest = (names: Names, why: Why): ClientError =>
  new ClientError({
    reason: new ConnectionClosed({ server: names.server, detail: describe(names, why) })
  })

/** The error of a request that came after the client was closed. */
export const closed = (server: string): ClientError =>
  new ClientError({ reason: new ConnectionClosed({ server, detail: clientClosed }) })

/** The error of a request that finds the queue full. */
export const tooManyRequests = (server: string, maxQueuedRequests: number): ClientError =>
  new ClientError({ reason: new TooManyRequests({ server, maxQueuedRequests }) })

/** The error of a request that has waited too long for a connection. */
export const queueTimedOut = (server: string, queueTimeoutMillis: number): ClientError =>
  new ClientError({ reason: new QueueTimeout({ server, queueTimeoutMillis }) })

/** The error of a request that is too long to be sent. */
export const requestTooLarge = (server: string, size: number, maxRequestSize: number): ClientError =>
  new ClientError({ reason: new RequestTooLarge({ server, size, maxRequestSize }) })

/** Shorter pauses of a consumer are not mentioned. */
const longPauseMillis = 10_000

/** A server ends a connection on which it cannot write, and cannot send the reason. */
const afterPause = (detail: string, pausedMillis: number): string =>
  pausedMillis < longPauseMillis
    ? detail
    : `${detail}. The response was not read on for ${Math.floor(pausedMillis / 1000)} s at a time, ` +
      "and a server ends connections whose clients do not read (its writeTimeout)"

/** The error of a response whose connection ended first. `pausedMillis` is the pause of its consumer. */
export const duringResponse = (names: Names, why: Why, pausedMillis = 0): ClientError => {
  const { heartbeatToleranceMillis, server } = names
  switch (why._tag) {
    case "Silent":
      return new ClientError({ reason: new ServerSilent({ server, heartbeatToleranceMillis }) })
    case "Violation":
      return new ClientError({ reason: new ProtocolViolation({ server, detail: why.detail }) })
    default:
      return new ClientError({
        reason: new ConnectionLost({ server, detail: afterPause(describe(names, why), pausedMillis) })
      })
  }
}
