/**
 * The version of the package.
 */
import { createRequire } from "node:module"

/** As `package.json` has it, which lies two folders up from here in the sources and in the package alike. */
export const version: string = createRequire(import.meta.url)("../../package.json").version
