/**
 * The files that settings name: rules, tokens, certificates. They are read when the gateway starts.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as JsonNames from "../engine/JsonNames.ts"

/**
 * A file that a setting names cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export class GatewayFileError extends Schema.TaggedError<GatewayFileError>()("GatewayFileError", {
  setting: Schema.String,
  path: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.setting} ${this.path}: ${this.problem}`
  }
}

const maxSize = 16 * 1024 * 1024

/** The text of a file. */
export const text = (setting: string, path: string): Effect.Effect<string, GatewayFileError> =>
  Effect.try({
    try: () => {
      const { size } = statSync(path)
      if (size > maxSize) throw new Error(`the file is longer than ${maxSize} bytes`)
      const bytes = readFileSync(path)
      if (!isUtf8(bytes)) throw new Error("the file is not UTF-8")
      return String(bytes)
    },
    catch: (cause) => {
      const { code, message } = cause as NodeJS.ErrnoException
      return new GatewayFileError({
        setting,
        path,
        problem: code === "ENOENT" ? "there is no such file" : message
      })
    }
  })

/** What a file of JSON holds. */
export interface Form<A> {
  readonly schema: Schema.ConstraintCodec<A, unknown>
  /** The names that members of its objects have. */
  readonly members: ReadonlyArray<string>
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** How many letters have to be changed, added or left out. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

/** A member that nothing reads is misspelt, as a rule. */
const noMember = (name: string, members: ReadonlyArray<string>): string => {
  const near = members
    .map((member) => ({ member, changes: distance(member.toLowerCase(), name.slice(0, 64).toLowerCase()) }))
    .filter(({ changes }) => changes <= 2)
    .sort((a, b) => a.changes - b.changes)[0]
  return `there is no such member${near === undefined ? "" : `; did you mean ${near.member}?`}`
}

const problemOf = (error: Schema.SchemaError, members: ReadonlyArray<string>): string => {
  const issue = formatIssue(error.issue).issues[0]
  const path = (issue?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key))
  const message = issue?.message ?? error.message
  const problem =
    message === "Missing key"
      ? "is missing"
      : message === "Expected no excess property"
        ? noMember(path.at(-1) ?? "", members)
        : message.replace(/^Expected/, "expected")
  return path.length === 0 ? problem : `${path.join(".")}: ${problem}`
}

/** What a file of JSON holds. The error names the first part that is wrong. */
export const json = Effect.fnUntraced(function* <A>(
  setting: string,
  path: string,
  { members, schema }: Form<A>
): Effect.fn.Return<A, GatewayFileError> {
  const contents = yield* text(setting, path)
  const fail = (problem: string) => new GatewayFileError({ setting, path, problem })
  const parsed = yield* Effect.try({
    try: (): unknown => JSON.parse(contents),
    catch: (cause) => fail(`is not JSON: ${(cause as Error).message}`)
  })
  // The last of them would win, without a word.
  const repeated = JsonNames.repeated(contents)
  if (repeated !== undefined) return yield* fail(`${repeated} occurs twice in one object`)
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })(parsed),
    (error) => fail(problemOf(error, members))
  )
})
