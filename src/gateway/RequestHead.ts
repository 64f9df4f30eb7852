/**
 * What the head of a request has to be, beyond what Node's parser demands of it. Pure.
 */
import * as GatewayError from "./GatewayError.ts"

/** The head as Node has it. */
export interface RequestHead {
  readonly httpVersion: string
  /** Names and values in turns, as they were sent. */
  readonly rawHeaders: ReadonlyArray<string>
  /** By their names in small letters. */
  readonly headers: Readonly<Record<string, unknown>>
}

/**
 * Headers that decide something and have one value. Node takes the first of several, or makes one value of them; what
 * stands before the gateway may have looked at another.
 */
const single: ReadonlySet<string> = new Set([
  "host",
  "authorization",
  "content-type",
  "content-encoding",
  "transfer-encoding",
  "expect",
  "origin",
  "referer",
  "sec-fetch-site",
  "sec-websocket-key",
  "sec-websocket-version",
  "traceparent"
])

/** The header that is there more than once, and may not be. */
const repeated = (
  { headers, rawHeaders }: RequestHead,
  isRuled: (name: string) => boolean
): string | undefined => {
  // Nearly always: to look at each takes longer.
  if (Object.keys(headers).length * 2 === rawHeaders.length) return undefined
  const seen = new Set<string>()
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ""
    const lower = name.toLowerCase()
    if (seen.has(lower) && (single.has(lower) || isRuled(lower))) return name
    seen.add(lower)
  }
  return undefined
}

/** Why a request is refused for its head. `isRuled` names headers that decide where a query goes. */
export const refusal = (
  head: RequestHead,
  isRuled: (name: string) => boolean
): GatewayError.GatewayError | undefined => {
  const twice = repeated(head, isRuled)
  if (twice !== undefined) return GatewayError.badRequest(`${twice}: given more than once`)
  const { expect, host, "transfer-encoding": coding } = head.headers
  if (host === undefined && head.httpVersion === "1.1") {
    return GatewayError.badRequest("Host: a request of HTTP/1.1 has to have it")
  }
  if (coding !== undefined && String(coding).toLowerCase() !== "chunked") {
    return GatewayError.make("not_implemented", `Transfer-Encoding: expected chunked, not ${coding}`)
  }
  return expect === undefined || String(expect).toLowerCase() === "100-continue"
    ? undefined
    : GatewayError.make("expectation_failed", `Expect: expected 100-continue, not ${expect}`)
}
