/**
 * The names that a text may call, whatever its grammar.
 *
 * DuckDB's parser gives no tree of statements that write, so these are looked at as a row of words. The test
 * errs on one side only: a name that is called stands in the text letter for letter (DuckDB's parser refuses
 * names with escapes, `U&"…"`), and nothing but blanks, a quote or comments stands between it and its
 * parenthesis. So a forbidden function is always found, and at worst a text in a literal is found too.
 */

/** The words of a text in small letters, and those of them that a parenthesis or a comment follows. */
export interface Words {
  readonly all: ReadonlySet<string>
  readonly called: ReadonlySet<string>
}

const word = /[A-Za-z0-9_]+/g

/** Every character beyond ASCII counts as a blank here, as some of them do for DuckDB. */
const opening = /["\s\u0080-\uffff]*(?:\(|--|\/\*)/y

/** Blanks and comments without others in them, as a pattern. */
export const blank: string = String.raw`(?:\s|--[^\n\r]*[\n\r]|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)`
const first = new RegExp(`^(?:;|${blank})*([a-z]+)`, "i")

/** The word that a text begins with, in small letters; `undefined` if that cannot be told. */
export const keyword = (sql: string): string | undefined => first.exec(sql)?.[1]?.toLowerCase()

const temporary = new RegExp(
  `^(?:;|${blank})*create${blank}+(?:or${blank}+replace${blank}+)?(?:(?:local|global)${blank}+)?temp(?:orary)?(?!\\w)`,
  "i"
)

/** Whether a text creates what its session has for itself, comments within others aside. */
export const isTemporary = (sql: string): boolean => temporary.test(sql)

export const of = (sql: string): Words => {
  const all = new Set<string>()
  const called = new Set<string>()
  for (const match of sql.matchAll(word)) {
    const name = match[0].toLowerCase()
    all.add(name)
    opening.lastIndex = match.index + name.length
    if (opening.test(sql)) called.add(name)
  }
  return { all, called }
}

/** Whether a name, in small letters, may be in a text. */
export const mentions = (sql: string): ((name: string) => boolean) => {
  const { all } = of(sql)
  const text = sql.toLowerCase()
  return (name) => (/^\w+$/.test(name) ? all.has(name) : text.includes(name.replaceAll('"', '""')))
}
