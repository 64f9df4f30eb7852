/**
 * The columns that a text takes on a terminal.
 */
import stringWidth from "string-width"

/** The mark in place of the part that was cut off. */
export const mark = "…"

const segmenter = new Intl.Segmenter()

const isPlain = (text: string): boolean => !/[^\x20-\x7e]/.test(text)

/** The columns of a text without control characters. */
export const of = (text: string): number => stringWidth(text, { countAnsiEscapeCodes: true })

/** The longest beginning of at most so many columns; a character of two is not split. */
export const take = (text: string, columns: number): string => {
  if (isPlain(text)) return text.slice(0, Math.max(0, columns))
  let taken = ""
  let used = 0
  for (const { segment } of segmenter.segment(text)) {
    used += of(segment)
    if (used > columns) return taken
    taken += segment
  }
  return taken
}

/** The text, or its beginning with a mark if it takes more than so many columns. */
export const cut = (text: string, columns: number): string => {
  // Each unit of a character takes at least half a column, except combining marks.
  if (text.length <= columns / 2 || of(text) <= columns) return text
  return `${take(text, columns - 1)}${mark}`
}

/**
 * The text, padded with blanks after or before it; a longer one stays. `style` is applied to the text only.
 */
export const pad = (
  text: string,
  columns: number,
  side: "left" | "right",
  style = (text: string) => text
): string => {
  const blanks = " ".repeat(Math.max(0, columns - of(text)))
  return side === "left" ? `${style(text)}${blanks}` : `${blanks}${style(text)}`
}
