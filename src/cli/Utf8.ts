/**
 * Texts that come from outside. One that is not UTF-8 is refused: characters in the place of its bytes would be
 * stored or compared without a word.
 */
import { Buffer, isUtf8 } from "node:buffer"
import { readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"

/** How many bytes before the first that belongs to no character of UTF-8; `undefined` if there is none. */
export const firstIll = (bytes: Uint8Array): number | undefined => {
  if (isUtf8(bytes)) return undefined
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (const part of view.toString("utf8").split("\ufffd")) {
    at += Buffer.byteLength(part)
    // The character itself may be in the text.
    if (view.toString("hex", at, at + 3) !== "efbfbd") break
    at += 3
  }
  return at
}

/** What is wrong with a text. */
export const problem = (offset: number): string => `it is not UTF-8 at byte offset ${offset}`

/** The text, but for a mark of the byte order at its beginning. Throws what is wrong with it. */
export const decode = (bytes: Uint8Array): string => {
  const offset = firstIll(bytes)
  if (offset !== undefined) throw new Error(problem(offset))
  return new TextDecoder().decode(bytes)
}

/** The text of a file, for which it fails as `readFile` does. */
export const fromFile = async (file: string): Promise<string> => decode(await readFile(file))

/** The number of the argument of this process, from 1, of which Node has put characters in the place of bytes. */
export const illArgument = (args: ReadonlyArray<string>): number | undefined => {
  if (process.platform !== "linux" || !args.some((argument) => argument.includes("\ufffd"))) return undefined
  const given = readFileSync("/proc/self/cmdline").toString("latin1").split("\0").slice(0, -1)
  const index = given
    .slice(given.length - args.length)
    .findIndex((argument) => !isUtf8(Buffer.from(argument, "latin1")))
  return index === -1 ? undefined : index + 1
}
