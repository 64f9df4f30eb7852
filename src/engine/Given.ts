/**
 * Checks of values that a user's code returns: types are not enforced at run time.
 */
import * as Effect from "effect/Effect"

const maxLength = 80

/** A value in a few words: `undefined`, `"done"`, `a Promise`. */
export const describe = (given: unknown): string => {
  switch (typeof given) {
    case "string":
      return given.length > maxLength ? `"${given.slice(0, maxLength)}…"` : JSON.stringify(given)
    case "function":
      return "a function"
    case "object":
      return given === null ? "null" : object(given)
    default:
      return String(given)
  }
}

const object = (value: object): string => {
  const { name } = (value.constructor as { readonly name?: unknown } | undefined) ?? {}
  if (typeof name !== "string" || name === "") return "an object of a class without a name"
  if (name !== "Object") return `${/^[aeio]|^un/i.test(name) ? "an" : "a"} ${name}`
  return Object.getPrototypeOf(value) === Object.prototype
    ? "an object"
    : "an object with a prototype of its own"
}

/** An error that names the expected value. An error given in its place becomes the cause. */
export const mismatch = (what: string, expected: string, given: unknown): TypeError => {
  // Nothing awaits this promise, and its rejection would end the process.
  if (given instanceof Promise) given.catch(() => {})
  const isError = given instanceof Error
  const words = `${what}: expected ${expected}, got ${describe(given)}${isError ? `: ${given.message}` : ""}`
  return new TypeError(words, isError ? { cause: given } : {})
}

/** The effect, or a defect that describes the value given in its place. */
export const effect = <A, E, R>(what: string, given: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.isEffect(given) ? given : Effect.die(mismatch(what, "an Effect", given))
