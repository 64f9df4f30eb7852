/**
 * Names in a statement without a tree that only look like calls or views: names of tables before a
 * parenthesis, and words in literals, comments and quoted names.
 *
 * DuckDB's parser proves it for each name. The guesses here only choose the question, so a wrong guess
 * leaves a name refused:
 *
 * - One parenthesis too many is a mistake anywhere but in a literal, a comment or a quoted name, where nothing changes.
 * - A literal in place of the name of a function is a mistake, and in place of the name of a table it is none.
 */
import * as Effect from "effect/Effect"
import type * as Failure from "./Failure.ts"
import * as Tokens from "./Tokens.ts"
import * as Words from "./Words.ts"

/** Whether DuckDB's grammar accepts a text as a statement without a tree. */
export type Accepts = (sql: string) => Effect.Effect<boolean, Failure.Failure>

/** Most questions about one statement: each is a text to be parsed. */
const maxQuestions = 16

/** Most characters of the questions together; the shortest statements have the most questions. */
const maxAsked = 1024 * 1024

/** The lower-case names that are not proven to be uncalled in the text. */
export const called = (
  accepts: Accepts,
  sql: string,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, Failure.Failure> => {
  const texts = textsOf(sql)
  return unproven(accepts, sql, names, (name) => {
    const places = placesOf(sql, name, Words.opening)
    const isText = areWithin(texts, places, name)
    const inText = places.filter((_, index) => isText[index])
    const inCode = places.filter((_, index) => !isText[index])
    return [
      ...(inText.length === 0 ? [] : [withParentheses(sql, inText)]),
      ...inCode.map((place) => asLiteral(sql, place))
    ]
  })
}

/**
 * The names that may be names of views. A literal that is exactly the name may be one, and one with escapes
 * may contain the name invisibly.
 */
export const named = (
  accepts: Accepts,
  sql: string,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, Failure.Failure> =>
  sql.includes("\\")
    ? Effect.succeed(names)
    : unproven(accepts, sql, names, (name) => {
        const places = placesOf(sql, name, anything)
        const isWhole = places.some(({ end, start }) => quotes.test(sql.charAt(start - 1) + sql.charAt(end)))
        return [isWhole ? undefined : withParentheses(sql, places)]
      })

/**
 * The names for which not all questions are answered with yes. A question that cannot be asked counts as no.
 */
const unproven = Effect.fnUntraced(function* (
  accepts: Accepts,
  sql: string,
  names: ReadonlyArray<string>,
  questionsOf: (name: string) => ReadonlyArray<string | undefined>
): Effect.fn.Return<ReadonlyArray<string>, Failure.Failure> {
  let left = Math.min(maxQuestions, Math.max(2, Math.floor(maxAsked / sql.length)))
  const rest: Array<string> = []
  for (const name of names) {
    const questions = questionsOf(name)
    left -= questions.length
    let isProven = left >= 0
    for (const question of isProven ? questions : []) {
      isProven = question !== undefined && (yield* accepts(question))
      if (!isProven) break
    }
    if (!isProven) rest.push(name)
  }
  return rest
})

const anything = /(?:)/y

const quotes = /^["'$]{2}$/

/** The place of a word, and of the parenthesis or comment after it. */
interface Place {
  readonly start: number
  readonly end: number
  readonly next: number
}

const placesOf = (sql: string, name: string, following: RegExp): ReadonlyArray<Place> => {
  const places: Array<Place> = []
  for (const { index: start } of sql.matchAll(new RegExp(`(?<!\\w)${name}(?!\\w)`, "gi"))) {
    const end = start + name.length
    following.lastIndex = end
    const found = following.exec(sql)?.[0]
    if (found !== undefined) places.push({ start, end, next: end + found.replace(/\(|--|\/\*/, "").length })
  }
  return places
}

const withParentheses = (sql: string, places: ReadonlyArray<Place>): string => {
  const cuts = [0, ...places.map(({ next }) => next), sql.length]
  return cuts
    .slice(1)
    .map((end, index) => sql.slice(cuts[index], end))
    .join(" ) ")
}

/** The parts of a name before its last, on one line, so that no comment ends among them. */
const qualifiers = /(?:(?<![\w$"'&\u0080-\uffff])(?:"[^"]*"|[A-Za-z_]\w*)[ \t]*\.[ \t]*)+$/

/** How many characters are searched for qualifiers. */
const maxQualifiers = 512

/**
 * The text with a literal in place of the name and its qualifiers; `undefined` if the name may begin earlier.
 */
const asLiteral = (sql: string, { end, start }: Place): string | undefined => {
  const isQuoted = sql.charAt(start - 1) === '"' && sql.charAt(end) === '"'
  const last = isQuoted ? start - 1 : start
  const before = sql.slice(Math.max(0, last - maxQualifiers), last)
  const first = last - (qualifiers.exec(before)?.[0].length ?? 0)
  if (/[\w$"'&\u0080-\uffff]/.test(sql.charAt(first - 1))) return undefined
  return `${sql.slice(0, first)} 'x' ${sql.slice(isQuoted ? end + 1 : end)}`
}

/** A literal, a comment or a quoted name, as far as a pattern can tell. */
interface Text {
  readonly start: number
  readonly end: number
  readonly name: string | undefined
}

const textsOf = (sql: string): ReadonlyArray<Text> =>
  Array.from(sql.matchAll(Tokens.token))
    .filter(([found]) => /^(?:--|\/\*|['"$])/.test(found))
    .map(({ 0: found, groups = {}, index }) => ({
      start: index,
      end: index + found.length,
      name: groups["name"]?.toLowerCase()
    }))

/**
 * For each place, whether it is within one of the texts that is not just the name. Both lists are ordered.
 */
const areWithin = (
  texts: ReadonlyArray<Text>,
  places: ReadonlyArray<Place>,
  name: string
): ReadonlyArray<boolean> => {
  let at = 0
  return places.map(({ start }) => {
    while ((texts[at]?.end ?? Number.POSITIVE_INFINITY) <= start) at++
    const text = texts[at]
    return text !== undefined && text.start <= start && text.name !== name
  })
}
