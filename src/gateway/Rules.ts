/** The rules that choose the back-end of a query. Pure. */
import * as Schema from "effect/Schema"
import type * as Files from "./Files.ts"
import * as SqlWords from "./SqlWords.ts"

const Texts = Schema.Array(Schema.NonEmptyString).check(
  Schema.makeFilter((texts: ReadonlyArray<string>) => texts.length > 0 || "expected at least one text")
)

/** One or several texts, in which `*` stands for any characters. */
const Pattern = Schema.Union([Schema.NonEmptyString, Texts])
type Pattern = typeof Pattern.Type

/** One rule: all of its conditions must hold. The first rule that holds decides. */
const Rule = Schema.Struct({
  /** The target that the request names. */
  target: Schema.optional(Pattern),
  /** The name of the caller's token. */
  token: Schema.optional(Pattern),
  /** The tenant of the caller's token. */
  tenant: Schema.optional(Pattern),
  /** Headers of the request by name. */
  header: Schema.optional(Schema.Record(Schema.String, Pattern)),
  /** A table that the query names, with or without its schema. */
  table: Schema.optional(Pattern),
  backend: Schema.NonEmptyString
})
export type Rule = typeof Rule.Type

const Rules = Schema.Struct({
  rules: Schema.Array(Rule),
  /** The back-end of requests that neither a rule nor a target assigns; the first one if absent. */
  default: Schema.optional(Schema.NonEmptyString)
})

/**
 * Rules that choose the back-end of a query, in the form of the file of `httpRules`.
 *
 * @category models
 * @since 0.1.0
 */
export type Rules = typeof Rules.Type

/** The form of the file. */
export const form: Files.Form<Rules> = {
  schema: Rules,
  members: [...Object.keys(Rules.fields), ...Object.keys(Rule.fields)]
}

export const none: Rules = { rules: [] }

/** The inputs of rules. */
export interface Subject {
  readonly query: string
  readonly target: string | undefined
  readonly token: string | undefined
  readonly tenant: string | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
}

const list = (pattern: Pattern): ReadonlyArray<string> => (typeof pattern === "string" ? [pattern] : pattern)

/** Whether a pattern fits a text, in linear time: texts come from clients. */
const fits = (pattern: string, text: string): boolean => {
  const [first = "", ...rest] = pattern.split("*")
  const last = rest.pop()
  if (last === undefined) return pattern === text
  const end = text.length - last.length
  let at = first.length
  if (at > end || !text.startsWith(first) || !text.endsWith(last)) return false
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

const matches = (pattern: Pattern | undefined, value: string | undefined): boolean =>
  pattern === undefined || (value !== undefined && list(pattern).some((one) => fits(one, value)))

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

/** The back-end that the rules choose for a request; `undefined` if none of them holds. */
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

/** The headers that rules read, in lower case. */
export const headers = ({ rules }: Rules): ReadonlyArray<string> => [
  ...new Set(rules.flatMap(({ header }) => Object.keys(header ?? {}).map((name) => name.toLowerCase())))
]

/** A back-end that rules name and that does not exist. */
const unknownBackend = (
  { default: fallback, rules }: Rules,
  backends: ReadonlyArray<string>
): string | undefined =>
  [...rules.map(({ backend }) => backend), ...(fallback === undefined ? [] : [fallback])].find(
    (name) => !backends.includes(name)
  )

/** The conditions of a rule by their names. */
const conditions = ({ header = {}, table, target, tenant, token }: Rule): ReadonlyMap<string, Pattern> => {
  const tables = table === undefined ? undefined : list(table).map((name) => name.toLowerCase())
  const all = Object.entries({ target, token, tenant, table: tables }).flatMap(([name, pattern]) =>
    pattern === undefined ? [] : [[name, pattern] as const]
  )
  return new Map([
    ...all,
    ...Object.entries(header).map(([name, pattern]) => [headerOf(name), pattern] as const)
  ])
}

const headerOf = (name: string): string => `header.${name.toLowerCase()}`

/** Whether a rule holds wherever another one does. */
const covers = (rule: Rule, other: Rule): boolean => {
  const narrower = conditions(other)
  return [...conditions(rule)].every(([name, pattern]) => {
    const inner = narrower.get(name)
    return inner !== undefined && list(inner).every((one) => matches(pattern, one))
  })
}

/** A name of a header (RFC 9110 §5.6.2). */
const headerName = /^[!#$%&'*+.^_`|~A-Za-z0-9-]+$/

/** A text that is not part of a header as it arrives: Node reads Latin-1, without blanks at the ends. */
const neverSent = /^[ \t]|[ \t]$|[^\t\x20-\x7e\x80-\xff]/

/** The problem with the headers of a rule, if any. */
const problemOfHeaders = ({ header = {} }: Rule): string | undefined => {
  const names = new Set<string>()
  for (const [name, pattern] of Object.entries(header)) {
    const own = name.toLowerCase()
    if (!headerName.test(name)) return `${JSON.stringify(name)} is no name of a header`
    if (names.has(own)) return `${own} occurs twice`
    if (list(pattern).some((one) => neverSent.test(one))) {
      return `${name}: expected characters of ISO 8859-1, and no blanks at the ends`
    }
    names.add(own)
  }
  return undefined
}

/** The problem with the rules, given the existing back-ends, if any. */
export const problemOf = (rules: Rules, backends: ReadonlyArray<string>): string | undefined => {
  const unknown = unknownBackend(rules, backends)
  if (unknown !== undefined) return `there is no back-end ${unknown}`
  for (const [at, rule] of rules.rules.entries()) {
    const problem = problemOfHeaders(rule)
    if (problem !== undefined) return `rules.${at}.header: ${problem}`
  }
  const at = rules.rules.findIndex((rule) => conditions(rule).size === 0)
  return at < 0 || at === rules.rules.length - 1
    ? undefined
    : `rules.${at}: it has no condition, so that none after it decides: it must be the last one, or the default`
}

/** The properties of a caller that rules may test, and its permissions. */
interface Known {
  readonly name: string
  readonly token?: string | undefined
  readonly tenant?: string | undefined
  readonly targets?: ReadonlyArray<string> | undefined
  readonly formats?: ReadonlyArray<string> | undefined
  readonly admin?: boolean | undefined
}

/** Texts that clients do not send as a target, or that are no part of a table's name. */
const blanked = /^\s|\s$/
const quoted = /["`]|^\s|\s$/

/** The reason why a rule never decides, if it is known. */
const idleRule = (
  rules: ReadonlyArray<Rule>,
  at: number,
  tokens: ReadonlyArray<Known>
): string | undefined => {
  const rule = rules[at] as Rule
  const { table, target, tenant, token } = rule
  const isKnown =
    (tenant === undefined || tokens.some((known) => matches(tenant, known.tenant))) &&
    (token === undefined || tokens.some(({ name }) => matches(token, name)))
  if (!isKnown) return "never holds, since no token of httpTokens is what it asks for"
  const before = rules.slice(0, at).findIndex((earlier) => covers(earlier, rule))
  if (before >= 0) return `never decides, since rules.${before} holds wherever it does`
  if (table !== undefined && list(table).every((name) => quoted.test(name))) {
    return "hardly ever holds, since names of tables are compared without quotes and blanks around them"
  }
  return target !== undefined && list(target).every((name) => blanked.test(name))
    ? "hardly ever holds, since its target begins or ends with a blank"
    : undefined
}

/** Descriptions of rules and tokens that have no effect, or hardly any: something may be mistyped. */
export const idle = (
  { default: fallback, rules }: Rules,
  tokens: ReadonlyArray<Known>,
  backends: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const isTarget = (name: string) =>
    backends.includes(name) || rules.some(({ target }) => target !== undefined && matches(target, name))
  const last = rules.at(-1)
  return [
    ...rules.flatMap((_, at) => {
      const reason = idleRule(rules, at, tokens)
      return reason === undefined ? [] : [`httpRules: rules.${at} ${reason}`]
    }),
    ...(fallback !== undefined && last !== undefined && conditions(last).size === 0
      ? [`httpRules: default has no effect, since rules.${rules.length - 1} has no condition`]
      : []),
    ...tokens.flatMap(({ admin, formats, name, targets, token = "" }) => [
      ...(/[^!-~]/.test(token)
        ? [`httpTokens: ${name}: the token is not ASCII, so that only WebSockets of browsers can carry it`]
        : []),
      // An admin without targets may read the metrics.
      ...Object.entries({ targets, formats }).flatMap(([member, values]) =>
        values?.length === 0 && admin !== true
          ? [`httpTokens: ${name} may ask nothing: its ${member} are an empty list`]
          : []
      ),
      ...(targets ?? [])
        .filter((target) => !isTarget(target))
        .map((target) => `httpTokens: ${name}: the target ${target} is no back-end's and no rule's`)
    ])
  ]
}
