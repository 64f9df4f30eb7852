/**
 * The rules by which queries find their back-end. Pure.
 */
import * as Schema from "effect/Schema"
import * as SqlWords from "./SqlWords.ts"

/** A text or several, in which `*` stands for any characters. */
const Pattern = Schema.Union([Schema.NonEmptyString, Schema.NonEmptyArray(Schema.NonEmptyString)])
type Pattern = typeof Pattern.Type

/** One rule: all of its conditions must hold, and the first rule whose conditions do decides. */
const Rule = Schema.Struct({
  /** The target that the request names. */
  target: Schema.optional(Pattern),
  /** The name of the caller's token. */
  token: Schema.optional(Pattern),
  /** The tenant of the caller's token. */
  tenant: Schema.optional(Pattern),
  /** Headers of the request by name. */
  header: Schema.optional(Schema.Record(Schema.String, Pattern)),
  /** A table that the query names, with its schema or without. */
  table: Schema.optional(Pattern),
  backend: Schema.NonEmptyString
})
export type Rule = typeof Rule.Type

/** The file of rules. */
export const Rules = Schema.Struct({
  rules: Schema.Array(Rule),
  /** The back-end of requests that no rule and no target decides; the first one if it is absent. */
  default: Schema.optional(Schema.NonEmptyString)
})
export type Rules = typeof Rules.Type

export const none: Rules = { rules: [] }

/** What rules look at. */
export interface Subject {
  readonly query: string
  readonly target: string | undefined
  readonly token: string | undefined
  readonly tenant: string | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
}

const list = (pattern: Pattern): ReadonlyArray<string> => (typeof pattern === "string" ? [pattern] : pattern)

const expression = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*")}$`,
    "s"
  )

const matches = (pattern: Pattern | undefined, value: string | undefined): boolean =>
  pattern === undefined ||
  (value !== undefined &&
    list(pattern).some((one) => one === value || (one.includes("*") && expression(one).test(value))))

const namesTable = (pattern: Pattern | undefined, tables: () => ReadonlySet<string>): boolean =>
  pattern === undefined ||
  list(pattern).some((one) => [...tables()].some((table) => matches(one.toLowerCase(), table)))

const holds = (rule: Rule, subject: Subject, tables: () => ReadonlySet<string>): boolean =>
  matches(rule.target, subject.target) &&
  matches(rule.token, subject.token) &&
  matches(rule.tenant, subject.tenant) &&
  Object.entries(rule.header ?? {}).every(([name, pattern]) =>
    matches(pattern, subject.headers[name.toLowerCase()])
  ) &&
  namesTable(rule.table, tables)

/** The back-end that the rules give to a request; `undefined` where none of them holds. */
export const decide = ({ rules }: Rules, subject: Subject): string | undefined => {
  let found: ReadonlySet<string> | undefined
  const tables = () => {
    found ??= SqlWords.tables(subject.query)
    return found
  }
  return rules.find((rule) => holds(rule, subject, tables))?.backend
}

/** The targets that rules name. */
export const targets = ({ rules }: Rules): ReadonlyArray<string> =>
  rules
    .flatMap(({ target }) => (target === undefined ? [] : list(target)))
    .filter((name) => !name.includes("*"))

/** A back-end that rules name and that is none. */
export const unknownBackend = (
  { default: fallback, rules }: Rules,
  backends: ReadonlyArray<string>
): string | undefined =>
  [...rules.map(({ backend }) => backend), ...(fallback === undefined ? [] : [fallback])].find(
    (name) => !backends.includes(name)
  )
