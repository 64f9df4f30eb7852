/** Values of a user's code, in words for errors: types are not enforced at run time. */

const maxLength = 80

/** A value in a few words: `undefined`, `"10"`, `10n`, `a Promise`. */
export const describe = (given: unknown): string => {
  switch (typeof given) {
    case "string":
      return given.length > maxLength ? `"${given.slice(0, maxLength)}…"` : JSON.stringify(given)
    case "bigint":
      return `${given}n`
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

/** Whether a value has members by name: an object, but no array, function, `Map`, `Date` and the like. */
export const isRecord = (given: unknown): given is Readonly<Record<string, unknown>> =>
  records.has(Object.prototype.toString.call(given))

const records: ReadonlySet<string> = new Set(["[object Object]", "[object Module]"])
