/**
 * The files that settings name: rules, tokens, certificates. They are read when the gateway starts. Code may
 * give the content of the first two instead.
 */
import { isUtf8 } from "node:buffer"
import { readFileSync, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as JsonNames from "../engine/JsonNames.ts"
import * as Names from "../settings/Names.ts"

/**
 * A file that a setting names, or its replacement in code, whose `path` is empty, cannot be used.
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

/** The form of a JSON file. */
export interface Form<A> {
  readonly schema: Schema.ConstraintCodec<A, unknown>
  /** The names of its objects' members. */
  readonly members: ReadonlyArray<string>
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** A member that is never read is usually misspelt. */
const noMember = (name: string, members: ReadonlyArray<string>): string =>
  `there is no such member${Names.hint(name, members)}`

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
 * The path of a JSON file, or its content, or a function that makes the content. Files are read and functions
 * are called when the gateway starts and at each reload; a value is fixed.
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

/** The content of a JSON file. */
const json = Effect.fnUntraced(function* (
  setting: string,
  path: string
): Effect.fn.Return<unknown, GatewayFileError> {
  const contents = yield* text(setting, path)
  const parsed = yield* tried(setting, path, (): unknown => JSON.parse(contents), "is not JSON: ")
  // Otherwise the last of them would take effect silently.
  const repeated = JsonNames.repeated(contents)
  if (repeated === undefined) return parsed
  return yield* new GatewayFileError({ setting, path, problem: `${repeated} occurs twice in one object` })
})

/** The content of a setting, from a file or not. The error names the first invalid part. */
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

/** The path of a source that is a file; empty for others. */
export const pathOf = (source: Source<object> | undefined): string =>
  typeof source === "string" ? source : ""
