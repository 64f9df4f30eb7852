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

const hasConditions = ({ header, table, target, tenant, token }: Rule): boolean =>
  Object.keys(header ?? {}).length > 0 ||
  [target, token, tenant, table].some((condition) => condition !== undefined)

/** The problem with the rules, given the existing back-ends, if any. */
export const problemOf = (rules: Rules, backends: ReadonlyArray<string>): string | undefined => {
  const unknown = unknownBackend(rules, backends)
  if (unknown !== undefined) return `there is no back-end ${unknown}`
  const at = rules.rules.findIndex((rule) => !hasConditions(rule))
  return at < 0 || at === rules.rules.length - 1
    ? undefined
    : `rules.${at}: it has no condition, so that none after it decides: it must be the last one, or the default`
}

/** The properties of a caller that rules may test. */
interface Known {
  readonly name: string
  readonly tenant?: string | undefined
  readonly targets?: ReadonlyArray<string> | undefined
}

/** Descriptions of rules and tokens that never have an effect: a name may be mistyped. */
export const idle = (
  rules: Rules,
  tokens: ReadonlyArray<Known>,
  backends: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const isTarget = (name: string) =>
    backends.includes(name) || rules.rules.some(({ target }) => target !== undefined && matches(target, name))
  return [
    ...rules.rules.flatMap(({ tenant, token }, at) =>
      (tenant === undefined || tokens.some((known) => matches(tenant, known.tenant))) &&
      (token === undefined || tokens.some(({ name }) => matches(token, name)))
        ? []
        : [`httpRules: rules.${at} never holds, since no token of httpTokens is what it asks for`]
    ),
    ...tokens.flatMap(({ name, targets }) =>
      (targets ?? [])
        .filter((target) => !isTarget(target))
        .map((target) => `httpTokens: ${name}: the target ${target} is no back-end's and no rule's`)
    )
  ]
}
