/** The bodies of local replies, which the server gives without an engine. */
import * as QueryApi from "../engine/QueryApi.ts"
import type { LocalCode } from "../protocol/ServerMachine.ts"

const errors: Record<LocalCode, { readonly message: string; readonly retryable: boolean }> = {
  overloaded: {
    message: "The server has as many connections or queries as it takes: try again later",
    retryable: true
  },
  shutting_down: { message: "The server is shutting down", retryable: true },
  timeout: { message: "The query took longer than its timeout (timeoutMs, queryTimeout)", retryable: false },
  too_large: {
    message: "The request is longer than the server's maxFrameSize: nothing of it was stored",
    retryable: false
  },
  unknown_outcome: {
    message: "The server failed while the query committed: its changes may be there or not",
    retryable: false
  },
  internal: { message: "The server failed to answer the query", retryable: false }
}

/** The body of a reject or error with this code. `closing` states that the connection closes after it. */
export const body = (code: LocalCode, closing = false, message = errors[code].message): Uint8Array =>
  QueryApi.encodeError(
    new QueryApi.QueryError({
      code,
      message,
      retryable: errors[code].retryable,
      ...(closing ? { closing } : {})
    })
  )

/** The body of the reject on a connection that a limit refuses; `setting` is its name. */
export const refusal = (setting: string): Uint8Array =>
  body("overloaded", true, `The server has as many connections as it takes (${setting}): try again later`)

/** The body of the goodbye on a connection without a request for too long; `detail` names the setting. */
export const idle = (code: LocalCode, detail: string): Uint8Array =>
  body(code, true, `The server closes this connection: ${detail}`)
