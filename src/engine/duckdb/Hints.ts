/**
 * Rewrites DuckDB's advice in its messages, which is for users who may change its settings and load its
 * extensions. A client may do neither; its advice names what the server's operator can do instead.
 *
 * Messages quote parts of queries. So no pattern rescans a run of blanks, breaks or letters from each of its
 * characters: such a run begins where the preceding character is of another kind.
 */

import * as ErrorMessage from "../ErrorMessage.ts"

/** A section of advice, and of how a file was read, to the end of the message. */
const section = /^[ \t]*(?:Possible|Potential) (?:fixes|solutions?)\b[\s\S]*/im

/** The file in such a section. */
const readFile = /^[ \t]*file = .+$/m

/** Lines that contain only advice. */
const lines: ReadonlyArray<RegExp> = [
  /^\s*(?:\*\s*)?"?(?:SET|RESET|PRAGMA|(?:FORCE )?INSTALL|LOAD)\s+[\w'"]/,
  /^\s*(?:Use|Or set|Try|Please try|Alternatively, consider|Consider|You can|To enable|Specify)\b.*(?:\bSET\b|\bPRAGMA\b|\bINSTALL\b|\bLOAD\b|install|=\s*(?:true|false)\b|'[a-z\d]+_\w+')/i,
  /^\s*(?:By default, this setting|This limit was set by)\b/,
  /^\s*(?:See also|For more info|For more information|See the)\b.*https?:/
]

/** Sentences of advice, to the end of their line. */
const sentences: ReadonlyArray<RegExp> = [
  /(?<!\s)\s+(?:Use|Try|Please|Consider|You can(?: try)?|It is possible|To resolve|To solve)\b[^.\n]*(?:\bSET\b|\bPRAGMA\b|\bINSTALL\b|\bLOAD\b)[^\n]*/,
  /(?<!\s)\s+(?:See also|For more info|For more information)\b[^\n]*https?:[^\n]*/
]

/** Advice that names the operator's remedy. */
const advice: ReadonlyArray<readonly [about: RegExp, text: string]> = [
  [
    /max_temp_directory_size/,
    "The server's operator can raise maxSpill, or make room on the disk of spillDirectory."
  ],
  [
    /Failed to allocate|bad allocation/,
    "The server's operator can raise engineMemory, which bounds its process."
  ],
  [/memory_limit/, "The server's operator can raise memoryLimit, by default a part of engineMemory."],
  [/\bexists in the \w+ extension\b/, "This server does not load it."],
  [
    /CSV Error|JSON transform error|sniffing file|union_by_name|ignore_errors|auto-detected from/i,
    "Options of the file's reader may help; those of a served table are the server's operator's to set."
  ]
]

/** Most characters of a message that are processed: a client gets no more of it. */
const maxMessage = ErrorMessage.maxBytes + 512

/** The message for the client. */
export const remove = (whole: string): string => {
  const message = whole.slice(0, maxMessage)
  const kept = message
    .replace(section, "")
    .split("\n")
    .filter((line) => !lines.some((pattern) => pattern.test(line)))
    .map((line) => sentences.reduce((shorter, pattern) => shorter.replace(pattern, ""), line))
    .join("\n")
  if (kept === message) return message
  const [file] = readFile.exec(message) ?? []
  const operators = advice.find(([about]) => about.test(message))?.[1]
  const rest = kept.replace(/\n{2,}/g, "\n").trim()
  return [rest, file?.trim(), operators].filter((part) => part !== undefined && part !== "").join("\n")
}
