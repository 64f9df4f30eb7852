/** Access to the gateway: bearer tokens, and the limits of each. */
import { createHash } from "node:crypto"
import * as Schema from "effect/Schema"
import * as Caller from "./Caller.ts"
import type * as Files from "./Files.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Negotiation from "./Negotiation.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** A name that fits into the metadata of a request. */
const Name = Schema.NonEmptyString.check(Schema.isMaxLength(1024))

/** A text that `Authorization: Bearer` can carry. */
const Secret = Schema.String.check(
  Schema.isMinLength(16),
  Schema.makeFilter(
    (text: string) => /^[^\s\p{Cc}]*$/u.test(text) || "expected no spaces and control characters"
  )
)

const Token = Schema.Struct({
  /** The name in rules and verdicts. */
  name: Name,
  /** The token itself, or else its hash in lower-case hexadecimal digits. */
  token: Schema.optional(Secret),
  sha256: Schema.optional(Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))),
  tenant: Schema.optional(Name),
  targets: Schema.optional(Schema.Array(Schema.NonEmptyString)),
  readOnly: Schema.optional(Schema.Boolean),
  formats: Schema.optional(Schema.Array(Schema.Literals(Object.keys(Negotiation.formats)))),
  queriesPerMinute: Schema.optional(Count),
  maxConcurrentQueries: Schema.optional(Count),
  admin: Schema.optional(Schema.Boolean)
})
type Token = typeof Token.Type

const Tokens = Schema.Struct({ tokens: Schema.Array(Token) })

/**
 * Bearer tokens, in the form of the file of `httpTokens`.
 *
 * @category models
 * @since 0.1.0
 */
export type Tokens = typeof Tokens.Type

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

const callerOf = (token: Token): Caller.Caller => ({
  name: token.name,
  tenant: token.tenant,
  targets: token.targets === undefined ? undefined : new Set(token.targets),
  formats:
    token.formats === undefined
      ? undefined
      : new Set(token.formats.flatMap((name) => Negotiation.formatOf(name) ?? [])),
  readOnly: token.readOnly ?? false,
  admin: token.admin ?? false,
  queriesPerMinute: token.queriesPerMinute ?? Number.POSITIVE_INFINITY,
  maxConcurrentQueries: token.maxConcurrentQueries ?? Number.POSITIVE_INFINITY
})

/** The form of the file. */
export const form: Files.Form<Tokens> = { schema: Tokens, members: ["tokens", ...Object.keys(Token.fields)] }

/** Hashes of what is no token: a command had no input, or only the end of a line. */
const hashesOfNothing: ReadonlySet<string> = new Set([sha256(""), sha256("\n")])

/** The problem with the tokens of a file, if any. */
export const problemOf = ({ tokens }: Tokens): string | undefined => {
  if (tokens.length === 0) return "tokens: expected at least one token"
  const names = new Set<string>()
  const hashes = new Set<string>()
  for (const { name, sha256: hash, token } of tokens) {
    if ((token === undefined) === (hash === undefined))
      return `${name}: expected token or sha256, and not both`
    const own = hash ?? sha256(token ?? "")
    if (hashesOfNothing.has(own)) return `${name}: sha256 is the hash of an empty text`
    if (names.has(name)) return `${name}: two tokens have this name`
    if (hashes.has(own)) return `${name}: another one has the same token`
    names.add(name)
    hashes.add(own)
  }
  return undefined
}

/** A caller's use: its running queries, and a token bucket for its rate of queries. */
class Use {
  running = 0
  private readonly perMinute: number
  private left: number
  private filledAt: bigint

  constructor(perMinute: number, now: bigint) {
    this.perMinute = perMinute
    this.left = perMinute
    this.filledAt = now
  }

  /** Takes one query from the bucket. Returns the milliseconds to wait if it is empty. */
  take(now: bigint): number {
    if (this.perMinute === Number.POSITIVE_INFINITY) return 0
    const minutes = Number(now - this.filledAt) / 60e9
    this.left = Math.min(this.perMinute, this.left + minutes * this.perMinute)
    this.filledAt = now
    if (this.left < 1) return Math.ceil(((1 - this.left) / this.perMinute) * 60_000)
    this.left--
    return 0
  }
}

/** The release of no place. */
const nothing = () => {}

const unauthenticated = (message: string) => GatewayError.make("unauthenticated", message)

const exceeded = (message: string, retryAfterMs: number) =>
  GatewayError.make("quota_exceeded", message, { retryable: true, retryAfterMs })

export class Access {
  /** Callers by the hash of their token; `undefined` admits everyone. */
  private readonly callers: ReadonlyMap<string, Caller.Caller> | undefined
  private readonly uses = new Map<string | undefined, Use>()

  constructor(tokens: Tokens | undefined) {
    this.callers =
      tokens &&
      new Map(tokens.tokens.map((token) => [token.sha256 ?? sha256(token.token ?? ""), callerOf(token)]))
  }

  /** Whether there are tokens. */
  get isGuarded(): boolean {
    return this.callers !== undefined
  }

  /**
   * The caller with these credentials. Hashes are compared, so that the time taken reveals nothing about a
   * token.
   */
  identify(authorization: string | undefined): Caller.Caller | GatewayError.GatewayError {
    if (this.callers === undefined) return Caller.anybody
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization ?? "") ?? []
    if (token === undefined) return unauthenticated("Authorization: expected Bearer and a token")
    return this.callers.get(sha256(token)) ?? unauthenticated("Authorization: the token is not known")
  }

  /** Takes a place for a query of the caller. Returns the function that releases it. */
  admit(
    { maxConcurrentQueries, name, queriesPerMinute }: Caller.Caller,
    now: bigint
  ): (() => void) | GatewayError.GatewayError {
    if (name === undefined) return nothing
    const use = this.uses.get(name) ?? new Use(queriesPerMinute, now)
    this.uses.set(name, use)
    if (use.running >= maxConcurrentQueries) {
      const message = `The token's ${maxConcurrentQueries} queries are running (maxConcurrentQueries)`
      return exceeded(message, 1000)
    }
    const wait = use.take(now)
    if (wait > 0) {
      return exceeded(`The token's ${queriesPerMinute} queries a minute are used up (queriesPerMinute)`, wait)
    }
    use.running++
    return () => {
      use.running--
    }
  }
}
