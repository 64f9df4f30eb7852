/**
 * Bodies as JSON in UTF-8.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as ExactJson from "./ExactJson.ts"

const utf8 = new TextDecoder("utf-8", { fatal: true })
const encoder = new TextEncoder()

/** The bytes of a body. */
export const encode = (body: unknown): Uint8Array => encoder.encode(JSON.stringify(body))

/** The value of a body, or the reason why it has none. */
export const parse = (payload: Uint8Array, read = JSON.parse as (text: string) => unknown) =>
  Result.try({
    try: () => read(utf8.decode(payload)),
    catch: (cause): string => {
      if (cause instanceof ExactJson.NumberError) return `not to be read: ${cause.message}`
      return cause instanceof SyntaxError ? `not JSON: ${cause.message}` : "not UTF-8"
    }
  })

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The first problem, with the name of its field. */
export const describe = (error: Schema.SchemaError): string => describeIssue(error.issue) ?? error.message

const describeIssue = (of: SchemaIssue.Issue): string | undefined => {
  const issue = formatIssue(of).issues[0]
  if (issue === undefined) return undefined
  const path = (issue.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
  return path === "" ? issue.message : `${path}: ${issue.message}`
}

/** The value of a schema's constructor. Throws the first problem, not an error that shows the schema. */
export const make = <A>(what: string, constructed: () => A): A => {
  try {
    return constructed()
  } catch (error) {
    const issue = (error as Error).cause
    throw SchemaIssue.isIssue(issue) ? new TypeError(`${what}: ${describeIssue(issue)}`) : error
  }
}
