/**
 * Finds the part of an engine's options that cannot be copied to a process or thread.
 */
import * as Value from "../settings/Value.ts"

/** An error message that names the part. `cause` is the error of the copy. */
export const problem = (options: unknown, cause: unknown): string => {
  const found = uncloneable(options, "options")
  if (found !== undefined)
    return `${found.path}: ${Value.describe(found.value)} cannot be copied to where the engine runs`
  return cause instanceof Error ? cause.message : String(cause)
}

interface Found {
  readonly path: string
  readonly value: unknown
}

/** The innermost part of a value that cannot be copied. */
const uncloneable = (value: unknown, path: string): Found | undefined => {
  try {
    structuredClone(value)
    return undefined
  } catch {
    if (typeof value === "object" && value !== null) {
      for (const [name, part] of Object.entries(value)) {
        const found = uncloneable(part, `${path}.${name}`)
        if (found !== undefined) return found
      }
    }
    return { path, value }
  }
}
