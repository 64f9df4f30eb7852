/** Positions in texts: the API counts code points from 1, the editor UTF-16 units from 0. Pure. */

/** The editor's offset of a position of the API. */
export const toOffset = (text: string, position: number): number => {
  let offset = 0
  for (let at = 1; at < position && offset < text.length; at++) offset += unitsAt(text, offset)
  return offset
}

/** The number of UTF-16 units of the character at an offset, including at the end. */
export const unitsAt = (text: string, offset: number): number =>
  (text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1

/** The line and the column of an offset, from 1, as text. */
export const describe = (text: string, offset: number): string => {
  const lines = text.slice(0, offset).split("\n")
  return `line ${lines.length}, column ${Array.from(lines.at(-1) ?? "").length + 1}`
}
