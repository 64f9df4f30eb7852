/**
 * Checks of values that a user's code returns: types are not enforced at run time.
 */
import * as Effect from "effect/Effect"
import * as Value from "../settings/Value.ts"
import type { Engine } from "./QueryEngine.ts"

/** An error that names the expected value. An error given in its place becomes the cause. */
export const mismatch = (what: string, expected: string, given: unknown): TypeError => {
  // Nothing awaits this promise, and its rejection would end the process.
  if (given instanceof Promise) given.catch(() => {})
  const isError = given instanceof Error
  const words = `${what}: expected ${expected}, got ${Value.describe(given)}${isError ? `: ${given.message}` : ""}`
  return new TypeError(words, isError ? { cause: given } : {})
}

/** The bytes. Throws another value. */
export const bytes = (what: string, given: Uint8Array): Uint8Array => {
  if (given instanceof Uint8Array) return given
  throw mismatch(what, "a Uint8Array", given)
}

/** Throws what is neither a function nor `undefined`. */
export const optional = (what: string, given: unknown): void => {
  if (given !== undefined && typeof given !== "function") throw mismatch(what, "a function", given)
}

/** The engine. Throws a value that is none. */
export const engine = <E extends Engine>(given: E): E => {
  if (typeof given !== "object" || given === null) throw mismatch("QueryEngine", "an engine", given)
  if (typeof given.init !== "function") throw mismatch("init of the QueryEngine", "a function", given.init)
  optional("expect of the QueryEngine", given.expect)
  optional("progressOf of the QueryEngine", given.progressOf)
  return given
}

/** The effect, or a defect that describes the value given in its place. */
export const effect = <A, E, R>(what: string, given: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.isEffect(given) ? given : Effect.die(mismatch(what, "an Effect", given))
