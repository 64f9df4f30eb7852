/**
 * The flags of a tool, read as the server reads its settings. A value that is none ends the tool.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Setting from "../../src/server/Setting.ts"

const read = <A>(name: string, { schema }: Setting.Setting<A>, text: string): A => {
  const value = Schema.decodeResult(schema)(text)
  if (Result.isSuccess(value)) return value.success
  console.error(`--${name} ${text}: ${value.failure.message}`)
  process.exit(2)
}

/** A whole number of at least `minimum`. */
export const count = (name: string, text: string, minimum = 0): number =>
  read(name, Setting.count(minimum, minimum, ""), text)

/** A duration such as `90s`, `20m` or `5 seconds`, in milliseconds. */
export const millis = (name: string, text: string): number =>
  Duration.toMillis(read(name, Setting.duration("1 second", ""), text))
