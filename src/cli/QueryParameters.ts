/**
 * The `--param` flags of `dataconn query` as the parameters of a request, and the `--metadata` flags as its metadata.
 */
import * as Schema from "effect/Schema"
import type { Parameters } from "../engine/QueryApi.ts"

type Scalar = string | number | boolean | null

/** Some of the flags have a name and others have none, or two have the same. */
export class ParameterError extends Schema.TaggedError<ParameterError>()("ParameterError", {
  problem: Schema.String
}) {
  override get message() {
    return this.problem
  }
}

const named = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s

/**
 * A value as it is meant: a JSON scalar where the text is one, or else the text itself.
 *
 * **Details**
 *
 * A number that would be written otherwise (`1.10`, `1e3`, `-0`, integers that a double cannot hold exactly) stays text,
 * which the engine converts where a number is wanted and keeps where a text is. `"…"` with the quotes is a string
 * whatever it looks like.
 */
export const value = (text: string): Scalar => {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return text
  }
  if (typeof parsed === "string") return parsed
  return (typeof parsed !== "object" || parsed === null) && String(parsed) === text
    ? (parsed as Scalar)
    : text
}

/** All flags in their order: a list where none has a name, a record where all have. */
export const parse = (texts: ReadonlyArray<string>): Parameters | ParameterError => {
  const matches = texts.map((text) => named.exec(text))
  const pairs = matches.flatMap((match) =>
    match === null ? [] : [[match[1] ?? "", match[2] ?? ""] as const]
  )
  if (pairs.length === 0) return texts.map(value)
  if (pairs.length < texts.length) {
    const nameless = texts[matches.indexOf(null)]
    return new ParameterError({
      problem: `every parameter NAME=VALUE, or none of them; ${JSON.stringify(nameless)} has no name`
    })
  }
  const names = new Set(pairs.map(([name]) => name))
  if (names.size < pairs.length) {
    return new ParameterError({ problem: "every name once" })
  }
  return Object.fromEntries(pairs.map(([name, text]) => [name, value(text)]))
}

/** All `NAME=VALUE` in their order. A value is text as it stands. */
export const metadata = (texts: ReadonlyArray<string>): Readonly<Record<string, string>> | ParameterError => {
  const entries = new Map<string, string>()
  for (const text of texts) {
    const at = text.indexOf("=")
    if (at < 1) return new ParameterError({ problem: "every entry NAME=VALUE" })
    const name = text.slice(0, at)
    if (entries.has(name)) return new ParameterError({ problem: `every name once; ${name} was given twice` })
    entries.set(name, text.slice(at + 1))
  }
  return Object.fromEntries(entries)
}
