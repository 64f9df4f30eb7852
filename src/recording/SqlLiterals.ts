/**
 * Removes the values from a text of SQL: strings, numbers and comments. Keywords, names and structure are
 * kept, so that the kind of query is still visible. The text need not be SQL.
 */

/** A comment spans lines and nests, which a regular expression cannot match. */
const blockComment = (text: string, start: number): number => {
  let depth = 1
  let at = start + 2
  while (at < text.length && depth > 0) {
    const two = text.slice(at, at + 2)
    depth += two === "/*" ? 1 : two === "*/" ? -1 : 0
    at += two === "/*" || two === "*/" ? 2 : 1
  }
  return at
}

const pattern = new RegExp(
  [
    String.raw`(?<escaped>[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$))`,
    "(?<string>'(?:[^']|'')*(?:'|$))",
    String.raw`(?<dollar>\$(?<tag>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*|)\$[\s\S]*?(?:\$\k<tag>\$|$))`,
    "(?<line>--[^\n]*)",
    String.raw`(?<block>\/\*)`,
    String.raw`(?<name>"(?:[^"]|"")*(?:"|$)|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|[$?]\d*)`,
    String.raw`(?<number>\.?\d[\w.]*)`,
    "(?<end>;)",
    "(?<equals>=)"
  ].join("|"),
  "y"
)

const x = (text: string): string => "x".repeat(text.length)

/** The text with everything masked except `before` characters at its start and `after` at its end. */
const inner = (text: string, before: number, after: number): string => {
  const end = Math.max(before, text.length - after)
  return text.slice(0, before) + x(text.slice(before, end)) + text.slice(end)
}

const number = (text: string): string =>
  /^0x/i.test(text) ? `0x${"0".repeat(text.length - 2)}` : text.replace(/\d/g, "0")

/** Statements whose values need no quotes: `SET secret = abc`. */
const settings = /^(?:set|pragma)$/i

interface Place {
  /** The first word of the statement. */
  first: string | undefined
  /** Whether an unquoted word is a value here. */
  isSetting: boolean
}

const masked = (groups: Record<string, string | undefined>, text: string, place: Place): string => {
  if (groups["escaped"] !== undefined) return inner(text, 2, text.endsWith("'") ? 1 : 0)
  if (groups["string"] !== undefined) return inner(text, 1, text.length > 1 && text.endsWith("'") ? 1 : 0)
  if (groups["dollar"] !== undefined) {
    const tag = `$${groups["tag"] ?? ""}$`
    return inner(text, tag.length, text.length >= 2 * tag.length && text.endsWith(tag) ? tag.length : 0)
  }
  if (groups["line"] !== undefined) return inner(text, 2, 0)
  if (groups["number"] !== undefined) return number(text)
  if (groups["name"] !== undefined) {
    place.first ??= text
    return place.isSetting ? x(text) : text
  }
  if (groups["end"] !== undefined) {
    place.first = undefined
    place.isSetting = false
  } else if (groups["equals"] !== undefined && settings.test(place.first ?? "")) place.isSetting = true
  return text
}

/** The text without its values, of the same length. */
export const mask = (text: string): string => {
  let out = ""
  let at = 0
  const place: Place = { first: undefined, isSetting: false }
  while (at < text.length) {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match === null) {
      out += text[at++]
      continue
    }
    const [found] = match
    if (match.groups?.["block"] !== undefined) {
      const end = blockComment(text, at)
      out += inner(text.slice(at, end), 2, text.endsWith("*/") || end < text.length ? 2 : 0)
      at = end
      continue
    }
    out += masked(match.groups ?? {}, found, place)
    at += found.length
  }
  return out
}
