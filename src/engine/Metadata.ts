/**
 * The metadata of a request (PROTOCOL.md §3): the caller's identity, such as a token, in terms that front-end
 * and server agree on. Metadata reaches the engine, and no log.
 */
import * as Schema from "effect/Schema"
import * as Value from "../settings/Value.ts"

/** Most entries. */
export const maxEntries = 64

/** Most bytes of all names and values together, in UTF-8. */
export const maxBytes = 8 * 1024

/** The expected form of metadata, for error messages. */
const expected = "an object of strings"

/** The problem of a value as metadata, in words that follow its name. */
export const problem = (value: unknown): string | undefined => {
  if (!Value.isRecord(value)) return `expected ${expected}`
  const entries = Object.entries(value)
  if (entries.length > maxEntries) return `more than ${maxEntries} entries`
  let bytes = 0
  for (const [name, text] of entries) {
    if (typeof text !== "string") return `expected ${expected}, but ${JSON.stringify(name)} is none`
    bytes += Buffer.byteLength(name) + Buffer.byteLength(text)
  }
  return bytes > maxBytes ? `more than ${maxBytes} bytes of names and values` : undefined
}

/** Throws a `RangeError` for a setting that is no metadata. It shows no value: metadata may be secret. */
export const check = (name: string, given: unknown): void => {
  const wrong = problem(given)
  if (wrong !== undefined) throw new RangeError(`${name}: ${wrong}`)
}

/**
 * Metadata by name: at most 64 entries, and 8 KiB of names and values in UTF-8.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Metadata = Schema.declare<Readonly<Record<string, string>>>(
  (value): value is Readonly<Record<string, string>> => problem(value) === undefined,
  { expected }
)
/**
 * Metadata by name.
 *
 * @category schemas
 * @since 0.1.0
 */
export type Metadata = typeof Metadata.Type

const none: Metadata = Object.freeze(Object.create(null))

/**
 * The entries alone, without a prototype: an absent name has no value, not even one that every
 * object inherits.
 */
export const bare = (given: Metadata | undefined): Metadata =>
  given === undefined ? none : Object.assign(Object.create(null), given)
