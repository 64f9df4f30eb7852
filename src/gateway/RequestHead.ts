/** Checks of a request's head beyond those of Node's parser. Pure. */
import * as GatewayError from "./GatewayError.ts"

/** The head in Node's form. */
export interface RequestHead {
  readonly httpVersion: string
  /** Alternating names and values, as they were sent. */
  readonly rawHeaders: ReadonlyArray<string>
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, unknown>>
}

/**
 * Single-valued headers that affect decisions. Node uses the first of several, or joins them; a proxy in
 * front of the gateway may have used another one.
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

/** The name of a single-valued header that occurs more than once. */
const repeated = (
  { headers, rawHeaders }: RequestHead,
  isRuled: (name: string) => boolean
): string | undefined => {
  // The usual case, since checking each takes longer.
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

/**
 * The reason to refuse a request for its head. `isRuled` tells which headers determine where a query goes.
 */
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
