/**
 * The files that settings name: rules, tokens, certificates. They are read when the gateway starts. Code may give what the
 * first two hold instead.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as JsonNames from "../engine/JsonNames.ts"

/**
 * A file that a setting names cannot be used, or what code gives in its place, whose `path` is empty.
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
    return `${this.setting}${this.path && ` ${this.path}`}: ${this.problem}`
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

/**
 * The path of a file of JSON, or what it would hold, or how that is made. Files are read, and functions are called, when the
 * gateway starts and at each of its reloads; a value stays what it is.
 *
 * @category settings
 * @since 0.1.0
 */
export type Source<A extends object> = string | A | (() => A)

const tried = <A>(
  setting: string,
  path: string,
  attempt: () => A,
  problem = ""
): Effect.Effect<A, GatewayFileError> =>
  Effect.try({
    try: attempt,
    catch: (cause) => new GatewayFileError({ setting, path, problem: problem + (cause as Error).message })
  })

/** What a file of JSON holds. */
const json = Effect.fnUntraced(function* (
  setting: string,
  path: string
): Effect.fn.Return<unknown, GatewayFileError> {
  const contents = yield* text(setting, path)
  const parsed = yield* tried(setting, path, (): unknown => JSON.parse(contents), "is not JSON: ")
  // The last of them would win, without a word.
  const repeated = JsonNames.repeated(contents)
  if (repeated === undefined) return parsed
  return yield* new GatewayFileError({ setting, path, problem: `${repeated} occurs twice in one object` })
})

/** What a setting gives, in a file or not. The error names the first part that is wrong. */
export const held = Effect.fnUntraced(function* <A extends object>(
  setting: string,
  source: Source<A>,
  { members, schema }: Form<A>
): Effect.fn.Return<A, GatewayFileError> {
  const path = pathOf(source)
  const given =
    typeof source === "string"
      ? yield* json(setting, source)
      : typeof source === "function"
        ? yield* tried(setting, path, source)
        : source
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })(given),
    (error) => new GatewayFileError({ setting, path, problem: problemOf(error, members) })
  )
})

/** The file that a source is; empty if it is none. */
export const pathOf = (source: Source<object> | undefined): string =>
  typeof source === "string" ? source : ""
