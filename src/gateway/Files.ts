/**
 * The files that settings name: rules, tokens, certificates. They are read when the gateway starts.
 */
import { readFileSync, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

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
      return readFileSync(path, "utf8")
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

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** What a file of JSON holds. The error names the first part that is wrong. */
export const json = Effect.fnUntraced(function* <A>(
  setting: string,
  path: string,
  schema: Schema.ConstraintCodec<A, unknown>
): Effect.fn.Return<A, GatewayFileError> {
  const contents = yield* text(setting, path)
  const fail = (problem: string) => new GatewayFileError({ setting, path, problem })
  const parsed = yield* Effect.try({
    try: (): unknown => JSON.parse(contents),
    catch: (cause) => fail(`is not JSON: ${(cause as Error).message}`)
  })
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })(parsed),
    (error) => {
      const issue = formatIssue(error.issue).issues[0]
      const at = (issue?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
      return fail(`${at === "" ? "" : `${at}: `}${issue?.message ?? error.message}`)
    }
  )
})
