/**
 * Every limit of the gateway in one record. One table holds the default, form and documentation of each; the
 * configuration, the flags of the commands and the documentation follow from it.
 */
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Limits from "../engine/Limits.ts"
import * as Address from "../net/Address.ts"
import * as Setting from "../server/Setting.ts"
import * as Limit from "../settings/Limit.ts"
import * as Value from "../settings/Value.ts"
import type { Tokens } from "./Access.ts"
import type { Places } from "./Backends.ts"
import type { Source } from "./Files.ts"
import * as Origins from "./Origins.ts"
import type { Rules } from "./Rules.ts"

/**
 * The settings by name. A name is spelt `httpMaxBodySize` in a file, `DATACONN_HTTP_MAX_BODY_SIZE` in the environment
 * and `--http-max-body-size` as a flag.
 *
 * @category settings
 * @since 0.1.0
 */
export const settings = {
  httpMaxConnections: Setting.count(
    4096,
    1,
    "HTTP connections at a time. Those beyond are refused as `overloaded`, 16 at a time, and closed; protects memory and file descriptors."
  ),
  httpMaxQueriesPerAddress: Setting.limit(
    "Queries at a time from one address of HTTP clients, as `maxQueriesPerAddress` counts addresses; those beyond are refused as `overloaded`."
  ),
  httpMaxBodySize: Setting.bytes("1 MiB", 1, "Largest body of an HTTP request."),
  httpMaxHeaderSize: Setting.bytes(
    "16 KiB",
    1024,
    "Largest head of an HTTP request: its first line and headers."
  ),
  httpRequestTimeout: Setting.duration(
    "30 seconds",
    "How long an HTTP request may take to arrive, from its first byte to its last. Checked at intervals of a tenth of it, which are 100 ms to 1 second: it may be exceeded by one of them."
  ),
  httpIdleTimeout: Setting.duration(
    "1 minute",
    "How long an HTTP connection may stay open without a request."
  ),
  httpStallTimeout: Setting.duration(
    "5 minutes",
    "How long an HTTP client may take no byte of a response before its query is cancelled, which its verdict says."
  ),
  httpBufferSize: Setting.bytes(
    "256 KiB",
    1,
    "How much of a response waits in the gateway for a slow client. A chunk that has begun comes on top."
  ),
  httpDrainTimeout: Setting.duration(
    "30 seconds",
    "How long a stopping gateway lets running queries finish before it cancels them."
  ),
  maxHeldSize: Setting.bytes("1 MiB", 0, "How much of a result is held back for `wait=end`."),
  maxEventRowSize: Setting.bytes("16 MiB", 1, "Longest row of a result with `format=events`."),
  progressInterval: Setting.duration(
    "500 millis",
    "How often `format=events` tells the progress of a query."
  ),
  verdictTime: Setting.duration("10 minutes", "How long the verdict of a query is kept after its end."),
  maxVerdicts: Setting.count(10_000, 1, "Verdicts that are kept at a time. The oldest go first."),
  backendConnections: Setting.count(
    32,
    1,
    "Connections to each address of a back-end, and so queries at a time, besides those that `backendStallTimeout` leaves out."
  ),
  backendQueue: Setting.count(
    256,
    0,
    "Queries that wait for a connection to an address. Those beyond go to another address, or are refused as `overloaded`."
  ),
  backendQueueTimeout: Setting.duration(
    "30 seconds",
    "How long a query may wait for a connection; it is then refused as `overloaded`."
  ),
  backendStallTimeout: Setting.duration(
    "1 second",
    "How long a query counts for `backendConnections` while it only waits for its client to read. Then others have connections of their own beside it. As many queries as `backendQueue` may be left out at a time, and 256 at most: beyond that the one whose client has not read for longest ends as `overloaded` if others wait."
  ),
  backendConnectTimeout: Setting.duration("5 seconds", "How long connecting to a back-end may take."),
  backendSilence: Setting.duration(
    "15 seconds",
    "How long a back-end may send nothing, not even a heartbeat, during a query. It must exceed its `heartbeatInterval`."
  ),
  ejectAfter: Setting.count(
    3,
    1,
    "Failures in a row after which an address of a back-end is not used any more until a probe was answered."
  ),
  probeInterval: Setting.duration("1 second", "How often an address that is out of use is probed."),
  conversationTimeout: Setting.duration(
    "30 minutes",
    "How long a conversation may have no query before its back-end is chosen anew."
  ),
  maxConversations: Setting.count(
    10_000,
    1,
    "Conversations at a time. A query of another one is refused as `overloaded`."
  ),
  httpRules: Setting.text("file", "none", "JSON file with the rules that choose the back-end of a query."),
  httpTokens: Setting.text(
    "file",
    "none",
    "JSON file with the bearer tokens that clients need, and what each may do."
  ),
  httpCertificate: Setting.text(
    "file",
    "none",
    "PEM file with the certificate for TLS; `httpKey` has its key."
  ),
  httpKey: Setting.text("file", "none", "PEM file with the key of `httpCertificate`."),
  httpOrigins: Setting.textLike(
    {
      form: "origins",
      expected: Origins.originsForm,
      isValid: (text) => Origins.origins(text) !== undefined
    },
    "none",
    "Origins of web pages that may use the gateway besides its own (CORS), with commas between them, or `*`."
  ),
  httpHosts: Setting.textLike(
    { form: "names", expected: Origins.hostsForm, isValid: (text) => Origins.hosts(text) !== undefined },
    "addresses and localhost",
    "Names by which requests may call the gateway, with commas between them, or `*`; protects from pages that make their own name lead here."
  ),
  maxStreamQueries: Setting.count(16, 1, "Queries at a time on one WebSocket."),
  maxStreamCredit: Setting.bytes(
    "16 MiB",
    1,
    "Most bytes that a client may have granted to a query on a WebSocket."
  ),
  streamHeartbeat: Setting.duration(
    "15 seconds",
    "How often a WebSocket is pinged. One that answers to none of two is closed."
  )
} as const

/**
 * The settings of a gateway. Sizes are in bytes.
 *
 * @category settings
 * @since 0.1.0
 */
export type GatewayConfig = Omit<Setting.Values<typeof settings>, "httpRules" | "httpTokens"> & {
  /** The rules that choose the back-end of a query, or their file. */
  readonly httpRules: Source<Rules> | undefined
  /** The bearer tokens that clients need, with the permissions of each, or their file. */
  readonly httpTokens: Source<Tokens> | undefined
  /** The addresses to listen on: `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`. */
  readonly http: ReadonlyArray<string>
  /** Permissions of Unix sockets. */
  readonly socketMode: number
  /**
   * The addresses of each back-end by its name. The first back-end answers requests that neither a rule nor a
   * target assigns.
   */
  readonly backends: Places
  /** Limits of a request as it arrives. */
  readonly limits: Limits.RequestLimits
}

/**
 * Loopback only: listening for other hosts must be explicit.
 *
 * @category settings
 * @since 0.1.0
 */
export const defaultHttp: ReadonlyArray<string> = ["127.0.0.1:8080"]

/**
 * The addresses to listen on.
 *
 * @category settings
 * @since 0.1.0
 */
export const http: Config.Config<ReadonlyArray<string>> = Config.Array(Address.AddressFromString, "http")

/**
 * Settings as given in code: a duration is any `Duration.Input`, such as `"5 seconds"`; sizes are in bytes.
 * Absent or `undefined` settings have their defaults.
 *
 * @category settings
 * @since 0.1.0
 */
export type Options = {
  readonly [K in Exclude<keyof GatewayConfig, "backends" | "limits">]?:
    | (GatewayConfig[K] extends Duration.Duration ? Duration.Input : GatewayConfig[K])
    | undefined
} & {
  readonly backends: Places
  readonly limits?: Limits.Options | undefined
}

const backendName = /^[A-Za-z0-9_-]{1,64}$/

/** The problem with the names of the back-ends, if any. Ids of queries contain these names. */
export const problemOfBackends = (names: ReadonlyArray<string>): string | undefined => {
  if (names.length === 0) return "expected at least one back-end, such as main=127.0.0.1:11653"
  const wrong = names.find((name) => !backendName.test(name))
  return wrong === undefined
    ? undefined
    : `the name ${JSON.stringify(wrong)} must be 1 to 64 characters of A-Z a-z 0-9 _ -`
}

/** Code may give the content of a file, or a function that makes it, instead of its name. */
const source = <A extends object>(name: string, given: Source<A> | undefined): Source<A> | undefined =>
  given === undefined || typeof given === "function" || Value.isRecord(given)
    ? given
    : (Limit.text(name, given as string) as Source<A>)

/**
 * The names of all settings.
 *
 * @category settings
 * @since 0.1.0
 */
export const names: ReadonlyArray<string> = [
  ...Object.keys(settings),
  "backends",
  "http",
  "limits",
  "socketMode"
]

/**
 * The defaults with the given settings replaced. Throws a `RangeError` that names a setting with an invalid
 * value, or a name that is none of a setting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): GatewayConfig => {
  const { backends, http, httpRules, httpTokens, limits, socketMode, ...given } = Limit.members(
    "a gateway",
    options,
    names
  )
  if (!Value.isRecord(backends)) return Limit.fail("backends", "an object of addresses by name", backends)
  const problem = problemOfBackends(Object.keys(backends))
  if (problem !== undefined) throw new RangeError(`backends: ${problem}`)
  for (const [name, places] of Object.entries(backends)) {
    if (Limit.list(`backends: ${name}`, places).length === 0)
      throw new RangeError(`backends: ${name} must have an address`)
  }
  return {
    ...Setting.make(settings, given),
    httpRules: source("httpRules", httpRules),
    httpTokens: source("httpTokens", httpTokens),
    http: Limit.list("http", http ?? defaultHttp),
    socketMode: Limit.mode("socketMode", socketMode ?? 0o600),
    backends,
    limits: Limits.make(limits)
  }
}
