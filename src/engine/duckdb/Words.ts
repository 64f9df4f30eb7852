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
  /** Also those that literals have once their escapes are read: a table may be named by one. */
  readonly all: ReadonlySet<string>
  readonly called: ReadonlySet<string>
}

const word = /[A-Za-z0-9_]+/g

/** Every character beyond ASCII counts as a blank here, as some of them do for DuckDB. */
export const opening = /["\s\u0080-\uffff]*(?:\(|--|\/\*)/y

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
  if (sql.includes("\\")) for (const [name] of read(sql).matchAll(word)) all.add(name.toLowerCase())
  return { all, called }
}

/** Whether a name, in small letters, may be in a text. */
export const mentions = (sql: string): ((name: string) => boolean) => {
  const { all } = of(sql)
  const text = sql.toLowerCase()
  return (name) => (/^\w+$/.test(name) ? all.has(name) : text.includes(name.replaceAll('"', '""')))
}

const escape = /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3}))?/g

/** A text as its literals are read, wherever there might be an escape. */
const read = (sql: string): string =>
  sql.replace(escape, (_, byte?: string, short?: string, long?: string, octal?: string) => {
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8) & 0xff)
    const code = Number.parseInt(byte ?? short ?? long ?? "", 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : ""
  })

/** A literal that may go on in another line, where DuckDB joins the two. */
const beginning = /'(\w+)'[\s\u0080-\uffff]*(?:--|[\n\r])/g
const continued = /[\n\r][ \t\f\v\u0080-\uffff]*'/

/** Whether a literal may have one of the names, which are in small letters, in pieces. A table may be named by one. */
export const isInPieces = (sql: string, names: Iterable<string>): boolean => {
  if (!continued.test(sql)) return false
  const pieces = Array.from(read(sql).matchAll(beginning), ([, piece = ""]) => piece.toLowerCase())
  return Array.from(names).some((name) => pieces.some((piece) => name.startsWith(piece)))
}
