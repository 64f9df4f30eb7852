/**
 * The responses that the server gives on its own account, as frames.
 */
import * as QueryApi from "../engine/QueryApi.ts"
import * as Frame from "../wire/Frame.ts"
import type { Answer, ServerCode } from "./Control.ts"

const errors: Record<ServerCode, { readonly message: string; readonly retryable: boolean }> = {
  overloaded: {
    message: "The query could not begin within its timeout (queryTimeout): try again later",
    retryable: true
  },
  shutting_down: { message: "The server is shutting down", retryable: true },
  timeout: { message: "The query took longer than its timeout (timeoutMs, queryTimeout)", retryable: false },
  internal: { message: "The server failed to answer the query", retryable: false }
}

/** The body of a reject or error with this code. */
export const body = (code: ServerCode): Uint8Array =>
  QueryApi.encodeError(new QueryApi.QueryError({ code, ...errors[code] }))

/** The body of the reject on a connection that a setting keeps out. */
const refusal = (setting: string): Uint8Array =>
  QueryApi.encodeError(
    new QueryApi.QueryError({
      code: "overloaded",
      message: `The server has as many connections as it takes (${setting}): try again later`,
      retryable: true
    })
  )

/** The frame of an answer. `refusedBy` is the setting that keeps the connection out, if one does. */
export const frame = (answer: Answer, refusedBy?: string): Frame.Frame =>
  answer.type === "CancelAcknowledged"
    ? Frame.make(Frame.Type.CancelAcknowledged)
    : Frame.make(
        Frame.Type[answer.type],
        answer.code === "overloaded" && refusedBy !== undefined ? refusal(refusedBy) : body(answer.code)
      )
