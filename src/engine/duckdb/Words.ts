/**
 * The names that a text may call, independent of its grammar.
 *
 * DuckDB's parser gives no tree of statements that write, so these are read as a sequence of words. The test
 * has only false positives. A called name stands in the text letter for letter (DuckDB's parser refuses names
 * with escapes, `U&"…"`), and only blanks, a quote or comments stand between it and its parenthesis. So a
 * forbidden function is always found, and at worst a text in a literal is found too.
 */

/** The lower-case words of a text, and those that are followed by a parenthesis or a comment. */
export interface Words {
  /** Includes the words of literals after their escapes are read: a literal may name a table. */
  readonly all: ReadonlySet<string>
  readonly called: ReadonlySet<string>
}

const word = /[A-Za-z0-9_]+/g

/** Every non-ASCII character counts as a blank here, as some of them do for DuckDB. */
export const opening = /["\s\u0080-\uffff]*(?:\(|--|\/\*)/y

/** A pattern for blanks and comments that are not nested. */
export const blank: string = String.raw`(?:\s|--[^\n\r]*[\n\r]|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)`
const first = new RegExp(`^(?:;|${blank})*([a-z]+)`, "i")

/** The first word of a text, in lower case; `undefined` if unknown. */
export const keyword = (sql: string): string | undefined => first.exec(sql)?.[1]?.toLowerCase()

const temporary = new RegExp(
  `^(?:;|${blank})*create${blank}+(?:or${blank}+replace${blank}+)?(?:(?:local|global)${blank}+)?temp(?:orary)?(?!\\w)`,
  "i"
)

/** Whether a text creates a temporary object, except after nested comments. */
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
  if (sql.includes("\\")) for (const [name] of read(sql).matchAll(word)) all.add(name.toLowerCase())
  return { all, called }
}

/** Whether a lower-case name may be in a text. */
export const mentions = (sql: string): ((name: string) => boolean) => {
  const { all } = of(sql)
  const text = sql.toLowerCase()
  return (name) => (/^\w+$/.test(name) ? all.has(name) : text.includes(name.replaceAll('"', '""')))
}

const escape = /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3}))?/g

/** A text with every possible escape decoded, as in literals. */
const read = (sql: string): string =>
  sql.replace(escape, (_, byte?: string, short?: string, long?: string, octal?: string) => {
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8) & 0xff)
    const code = Number.parseInt(byte ?? short ?? long ?? "", 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : ""
  })

/** A literal that may continue on another line, where DuckDB joins the two. */
const beginning = /'(\w+)'[\s\u0080-\uffff]*(?:--|[\n\r])/g
const continued = /[\n\r][ \t\f\v\u0080-\uffff]*'/

/** Whether a literal may contain one of the lower-case names in pieces. A literal may name a table. */
export const isInPieces = (sql: string, names: Iterable<string>): boolean => {
  if (!continued.test(sql)) return false
  const pieces = Array.from(read(sql).matchAll(beginning), ([, piece = ""]) => piece.toLowerCase())
  return Array.from(names).some((name) => pieces.some((piece) => name.startsWith(piece)))
}
