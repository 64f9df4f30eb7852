/** Headers for the gateway's own pages. */
import { createHash } from "node:crypto"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

/** Only the gateway's own files and answers are loaded. */
export const headers = (scripts = "'self'") => ({
  "content-security-policy":
    `default-src 'none'; script-src ${scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; ` +
    "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
})

const sha256 = (text: string) => createHash("sha256").update(text)

/** The scripts of a page, in the form of a policy. */
export const scriptsOf = (html: string): string =>
  Array.from(
    html.matchAll(/<script>([\s\S]*?)<\/script>/g),
    ([, script = ""]) => `'sha256-${sha256(script).digest("base64")}'`
  ).join(" ")

/** A text that browsers cache and revalidate. */
export const kept = (
  text: string,
  options: { readonly contentType: string; readonly headers?: Readonly<Record<string, string>> }
): ((request: HttpServerRequest) => HttpServerResponse.HttpServerResponse) => {
  const bytes = new TextEncoder().encode(text)
  const etag = `"${sha256(text).digest("base64url")}"`
  const headers = {
    "x-content-type-options": "nosniff",
    ...options.headers,
    "cache-control": "no-cache",
    etag
  }
  return (request) =>
    request.headers["if-none-match"]?.includes(etag) === true
      ? HttpServerResponse.empty({ status: 304, headers })
      : HttpServerResponse.uint8Array(bytes, { contentType: options.contentType, headers })
}
