/**
 * The columns that a text takes on a terminal.
 */
import stringWidth from "string-width"

/** The mark in the place of what was cut off. */
export const mark = "…"

const segmenter = new Intl.Segmenter()

const isPlain = (text: string): boolean => !/[^\x20-\x7e]/.test(text)

/** How many columns a text takes that has no control characters. */
export const of = (text: string): number => stringWidth(text, { countAnsiEscapeCodes: true })

/** The longest beginning that takes at most so many columns; a character of two is not cut in half. */
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

/** The text, or its beginning with a mark where it takes more than so many columns. */
export const cut = (text: string, columns: number): string => {
  // No character takes fewer than half a column for each of its units, but for marks above and below others.
  if (text.length <= columns / 2 || of(text) <= columns) return text
  return `${take(text, columns - 1)}${mark}`
}

/** The text with blanks behind or before it, up to so many columns; one that is longer stays. `style` is the text's. */
export const pad = (
  text: string,
  columns: number,
  side: "left" | "right",
  style = (text: string) => text
): string => {
  const blanks = " ".repeat(Math.max(0, columns - of(text)))
  return side === "left" ? `${style(text)}${blanks}` : `${blanks}${style(text)}`
}
