/**
 * The files of an engine's options, named from the root: the engine may run in, or be opened again in, another
 * working directory.
 */
import { isAbsolute, sep } from "node:path"
import type { DuckDbOptions } from "./Database.ts"

/** The working directory at the start. It may be deleted later, and may have been already. */
const atStart = (() => {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
})()

/** The pattern or the options of a file stay as they are. */
const absolute = (file: string): string =>
  isAbsolute(file) ? file : `${atStart ?? process.cwd()}${sep}${file}`

const each = (tables: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(tables).map(([name, file]) => [name, absolute(file)]))

/** The same options with absolute paths. */
export const of = <O extends DuckDbOptions>(options: O): O => {
  const { database, spillDirectory, tables } = options
  return {
    ...options,
    ...(database === undefined ? {} : { database: absolute(database) }),
    ...(tables === undefined ? {} : { tables: each(tables) }),
    ...(spillDirectory === undefined ? {} : { spillDirectory: absolute(spillDirectory) })
  }
}
