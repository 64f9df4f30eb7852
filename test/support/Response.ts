/**
 * A whole response as text, however the result was cut into chunks.
 */
import * as Effect from "effect/Effect"
import type * as Peer from "./Peer.ts"

export interface Response {
  /** What the response began with: the body of the accept, or `undefined`. */
  readonly accept: string | undefined
  /** The bodies of all chunks, concatenated. */
  readonly result: string
  /** The message that ends the response; a final chunk without its body, which is in the result. */
  readonly end: string
}

/** Takes messages up to the one that ends the response, or the connection. */
export const take = Effect.fnUntraced(function* (peer: Peer.Peer): Effect.fn.Return<Response> {
  let accept: string | undefined
  let result = ""
  while (true) {
    const shown = yield* peer.next
    const body = shown.slice(2)
    switch (shown === "closed" ? shown : shown.slice(0, 1)) {
      case "H":
        break
      case "A":
        accept = body
        break
      case "I":
        result += body
        break
      case "F":
        return { accept, result: result + body, end: "F" }
      default:
        return { accept, result, end: shown }
    }
  }
})

/** The result of a request that must be answered whole. */
export const result = Effect.fnUntraced(function* (
  peer: Peer.Peer,
  request: string
): Effect.fn.Return<string> {
  yield* peer.request(request)
  const response = yield* take(peer)
  if (response.accept === undefined || response.end !== "F") {
    return yield* Effect.die(new Error(`no whole response to ${request}: ${JSON.stringify(response)}`))
  }
  return response.result
})
