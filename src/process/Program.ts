/**
 * The programs of processes and threads: modules of this package, as source or compiled.
 */
import { existsSync } from "node:fs"

/**
 * The URL of a program that is beside a module. `from` is the URL of that module, and `name` its name.
 *
 * Throws if the module is in a bundle. What is beside it would then be another program, or none; and a bundle
 * that took itself for the program would start itself again and again.
 */
export const beside = (from: string | undefined, name: string, program: string): URL => {
  const [, folder, own, extension] = /^(.*\/)([^/]+)(\.[jt]s)$/.exec(from ?? "") ?? []
  const url = own === name ? new URL(`${program}${extension}`, folder) : undefined
  if (url !== undefined && existsSync(url)) return url
  throw new Error(
    `dataconn is in a bundle${from === undefined ? "" : `, ${from}`}, and its program ${program} is not. ` +
      "dataconn must stay external to a bundle: --packages=external of esbuild, externals of webpack"
  )
}

/** The program of an engine's process. */
export const engine = (): URL => beside(import.meta.url, "Program", "main")

/** The module that processes and threads load for DuckDB. */
export const duckDb = (): URL => beside(import.meta.url, "Program", "DuckDb")

/** The modules of engines that this process or thread has loaded, or is loading. */
const loaded = new Set<string>()

/** Loads the module of an engine. */
export const load = <A>(module: string): Promise<A> => {
  loaded.add(module)
  return import(module)
}

/**
 * Whether this process or thread runs the engine of a module. One that started the same engine again, as a
 * module does that is also the main program, would go on so without end.
 */
export const hasLoaded = (module: string): boolean => loaded.has(module)
