/**
 * From where the gateway may be used, and what it says of strangers.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as HttpListener from "../../src/gateway/HttpListener.ts"
import * as Origins from "../../src/gateway/Origins.ts"
import * as Address from "../../src/net/Address.ts"

describe("the host of a request", () => {
  it("is an address, localhost, or a name that the gateway was told", () => {
    const isOwn = (host: string, names = "") => Origins.isOwnHost(host, Origins.hosts(names) ?? Origins.none)
    assert.deepStrictEqual(
      ["127.0.0.1:8080", "[::1]:8080", "localhost", "app.localhost:1", "10.1.2.3"].map((host) => isOwn(host)),
      [true, true, true, true, true]
    )
    assert.isFalse(isOwn("evil.example"))
    assert.isFalse(isOwn("127.0.0.1.evil.example"))
    assert.isTrue(isOwn("GW.example:443", "gw.example"))
    assert.isTrue(isOwn("anything.example", "*"))
  })
})

describe("a page of another origin", () => {
  const host = "gw.example:8080"
  const own = { host, origin: "http://gw.example:8080" }
  const other = "http://other.example"
  it.each<[what: string, headers: Record<string, string>, stranger: string | undefined]>([
    ["curl", { host }, undefined],
    ["the address bar", { host, "sec-fetch-site": "none" }, undefined],
    ["an own page", own, undefined],
    ["an own page behind a proxy", { ...own, host: "inner", "sec-fetch-site": "same-origin" }, undefined],
    ["a page that may", { host, origin: "https://May.example", "sec-fetch-site": "cross-site" }, undefined],
    ["a link on it", { host, referer: "https://may.example/x", "sec-fetch-site": "cross-site" }, undefined],
    ["another page", { host, origin: other }, other],
    ["an image on it", { host, referer: `${other}/x` }, other],
    ["one that does not say its name", { host, "sec-fetch-site": "cross-site" }, "another site"],
    [
      "another port",
      { host, origin: "http://gw.example:3000", "sec-fetch-site": "same-site" },
      "http://gw.example:3000"
    ],
    [
      "another scheme",
      { ...own, origin: "https://gw.example:8080", "sec-fetch-site": "cross-site" },
      "https://gw.example:8080"
    ],
    ["a file", { host, origin: "null" }, "null"]
  ])("is told from %s", (_, headers, stranger) => {
    assert.strictEqual(Origins.stranger(headers, new Set(["https://may.example"]), false), stranger)
    assert.isUndefined(Origins.stranger(headers, "*", false))
  })

  it("is one without TLS to a gateway that has it; one that has none may stand behind a proxy with it", () => {
    const stranger = (scheme: string, isSecure: boolean) =>
      Origins.stranger({ host, origin: `${scheme}://${host}` }, Origins.none, isSecure)
    assert.strictEqual(stranger("http", true), `http://${host}`)
    for (const own of [stranger("https", true), stranger("https", false), stranger("http", false)]) {
      assert.isUndefined(own)
    }
  })

  it.each<[text: string, expected: ReadonlyArray<string> | undefined]>([
    ["https://A.example/, http://b.example:80", ["https://a.example", "http://b.example"]],
    ["https://bücher.example", ["https://xn--bcher-kva.example"]],
    ["chrome-extension://abcdef", ["chrome-extension://abcdef"]],
    ...[
      "foo bar",
      "htp:/x",
      "http://x:99/y",
      "http://x:99999",
      "https://*.a.example",
      "a.example",
      "null",
      "",
      "https://a.example,"
    ].map((text): [string, undefined] => [text, undefined])
  ])("is named by its origin: %s", (text, expected) => {
    const read = Origins.origins(text)
    assert.deepStrictEqual(read && [...read], expected)
  })

  it.each<[text: string, expected: ReadonlyArray<string> | undefined]>([
    ["GW.example, localhost", ["gw.example", "localhost"]],
    ...["gw.example:80", "https://gw.example", "a b", "*.example", ""].map((text): [string, undefined] => [
      text,
      undefined
    ])
  ])("cannot take a name of the gateway: %s", (text, expected) => {
    const read = Origins.hosts(text)
    assert.deepStrictEqual(read && [...read], expected)
  })
})

it("no gateway starts with a setting that is none", () => {
  const backends = { main: ["127.0.0.1:1"] }
  const make = (options: object) => () => GatewayConfig.make({ backends, ...options })
  assert.throws(make({ httpOrigins: "foo bar" }), RangeError, /^httpOrigins must be origins/)
  assert.throws(make({ httpHosts: "a:80" }), RangeError, /^httpHosts must be names of hosts/)
  assert.throws(make({ httpHosts: 80 as never }), RangeError, /^httpHosts must be names of hosts/)
  assert.throws(make({ httpTokens: 3 as never }), RangeError, "httpTokens must be a text, got 3")
  assert.throws(make({ http: "a:80" as never }), RangeError, 'http must be a list, got "a:80"')
  assert.throws(make({ backends: { main: "a:80" } }), RangeError, 'backends: main must be a list, got "a:80"')
})

describe("an address that can be reached from beyond this machine", () => {
  it.each([
    ["127.0.0.1:1", false, false, undefined],
    ["0.0.0.0:1", true, true, undefined],
    ["0.0.0.0:1", false, false, /httpTokens .*httpCertificate/],
    ["0.0.0.0:1", true, false, /httpTokens/],
    ["[::]:1", false, true, /httpCertificate/]
  ] as const)("is warned of: %s", (text, hasTls, hasTokens, warning) => {
    const address = Result.getOrThrow(Address.parse(text))
    const risk = HttpListener.exposure(address, { hasTls, hasTokens })
    if (warning === undefined) assert.isUndefined(risk)
    else assert.match(risk ?? "", warning)
  })
})
