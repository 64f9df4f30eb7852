/**
 * The version of the package.
 */
import { createRequire } from "node:module"

/**
 * The version in `package.json`, which is two folders up from here both in the sources and in the package.
 */
export const version: string = createRequire(import.meta.url)("../../package.json").version
