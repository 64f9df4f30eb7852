/**
 * The names that a text may call, whatever its grammar.
 *
 * DuckDB's parser gives no tree of statements that write, so these are looked at as a row of words. The test
 * errs on one side only: a name that is called stands in the text letter for letter (DuckDB's parser refuses
 * names with escapes, `U&"…"`), and nothing but blanks, a quote or comments stands between it and its
 * parenthesis. So a forbidden function is always found, and at worst a text in a literal is found too.
 */

const pieces = /[A-Za-z0-9_]+|[\s\u0080-\uffff]+|[\s\S]/g

/** The words of a text in small letters, and those of them that a parenthesis or a comment follows. */
export interface Words {
  readonly all: ReadonlySet<string>
  readonly called: ReadonlySet<string>
}

export const of = (sql: string): Words => {
  const all = new Set<string>()
  const called = new Set<string>()
  let last = ""
  let before = ""
  for (const [piece] of sql.matchAll(pieces)) {
    if (/^\w/.test(piece)) {
      last = piece.toLowerCase()
      all.add(last)
    } else {
      const halfComment = before === "-" || before === "/"
      if (comments.has(before + piece) || (piece === "(" && !halfComment)) called.add(last)
      else if (!halfComment && isBetween(piece)) {
        before = piece
        continue
      }
      last = ""
    }
    before = piece
  }
  return { all, called }
}

const comments: ReadonlySet<string> = new Set(["--", "/*"])

/** What may stand between a name and its parenthesis, or begins a comment there. */
const isBetween = (piece: string): boolean => /^["\-/\s\u0080-\uffff]/.test(piece)
