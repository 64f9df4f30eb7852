/**
 * Detects DuckDB's own files, by their first bytes.
 */
import { open as openFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import { DuckDbError } from "./Failure.ts"

/** DuckDB takes other files for those of an extension, and would fetch that extension. */
export const check = Effect.fnUntraced(function* (
  setting: string,
  file: string,
  mayBeNew = false
): Effect.fn.Return<void, DuckDbError> {
  const error = (problem: string) => new DuckDbError({ setting, message: `${setting}: ${problem}` })
  const found = yield* Effect.tryPromise({
    try: () => magicOf(file),
    catch: (cause) => error(String(cause))
  })
  if (found === undefined && !mayBeNew) return yield* error(`there is no file ${file}`)
  if (found !== undefined && found !== magic) return yield* error(`${file} is not a DuckDB file`)
})

const magic = "DUCK"

/** The bytes at the place of a DuckDB file's magic; `undefined` if there is no file. */
const magicOf = async (path: string): Promise<string | undefined> => {
  const file = await openFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw cause
  })
  if (file === undefined) return undefined
  try {
    if ((await file.stat()).isDirectory()) return ""
    const { buffer, bytesRead } = await file.read(Buffer.alloc(12), 0, 12, 0)
    return buffer.toString("latin1", 8, bytesRead)
  } finally {
    await file.close()
  }
}
