/**
 * Texts from outside. A text that is not UTF-8 is refused: replacement characters would be silently
 * stored or compared.
 */
import { Buffer, isUtf8 } from "node:buffer"
import { readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** The number of bytes before the first invalid one of UTF-8; `undefined` if there is none. */
export const firstIll = (bytes: Uint8Array): number | undefined => {
  if (isUtf8(bytes)) return undefined
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (const part of view.toString("utf8").split("\ufffd")) {
    at += Buffer.byteLength(part)
    // The text itself may contain the replacement character.
    if (view.toString("hex", at, at + 3) !== "efbfbd") break
    at += 3
  }
  return at
}

/** The error for an invalid text. */
export const problem = (offset: number): string => `it is not UTF-8 at byte offset ${offset}`

/** The text, without a byte order mark. Throws if it is invalid. */
export const decode = (bytes: Uint8Array): string => {
  const offset = firstIll(bytes)
  if (offset !== undefined) throw new Error(problem(offset))
  return new TextDecoder().decode(bytes)
}

/** The text of a file. Fails as `readFile` does. */
export const fromFile = async (file: string): Promise<string> => decode(await readFile(file))

/** An argument of this process, counted from 1, in which Node has replaced bytes. */
export class IllArgument extends Schema.TaggedError<IllArgument>()("IllArgument", { number: Schema.Int }) {
  override get message() {
    return `argument ${this.number} is not UTF-8`
  }
}

/** Fails if one of the last arguments of the process is not UTF-8, which Linux can tell. */
export const checkArguments = (args: ReadonlyArray<string>): Effect.Effect<void, IllArgument> =>
  Effect.suspend(() => {
    if (process.platform !== "linux" || !args.some((argument) => argument.includes("\ufffd")))
      return Effect.void
    const given = readFileSync("/proc/self/cmdline").toString("latin1").split("\0").slice(0, -1)
    const index = given
      .slice(given.length - args.length)
      .findIndex((argument) => !isUtf8(Buffer.from(argument, "latin1")))
    return index === -1 ? Effect.void : Effect.fail(new IllArgument({ number: index + 1 }))
  })
