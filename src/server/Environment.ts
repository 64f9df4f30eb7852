/** The names of settings in the environment, and what is wrong with them. */
import type * as Config from "effect/Config"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Names from "../settings/Names.ts"

/** A setting's name as a flag. */
export const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** A setting's environment variable. */
export const constant = (name: string): string => `DATACONN_${kebab(name).toUpperCase().replaceAll("-", "_")}`

/** Variables of the environment that look like settings, and have none of these names. */
export const strays = (names: Iterable<string>): ReadonlyArray<string> => {
  const known = new Set(Array.from(names, constant))
  return Object.keys(process.env).filter((name) => name.startsWith(constant("")) && !known.has(name))
}

/** A warning about such variables, with the nearest names. */
export const warning = (strays: ReadonlyArray<string>, names: ReadonlyArray<string>): string =>
  `No setting has the name of ${strays
    .map((stray) => {
      const near = Names.nearest(stray, names.map(constant))
      return near === undefined ? stray : `${stray} (did you mean ${near}?)`
    })
    .join(", ")}`

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const keyOf = (key: PropertyKey | { readonly key: PropertyKey }): string =>
  String(typeof key === "object" ? key.key : key)

/** The setting with an invalid value, and the problem; `undefined` if the source cannot be read. */
export const invalid = ({
  cause
}: Config.ConfigError): { readonly name: string; readonly message: string } | undefined => {
  if (cause._tag !== "SchemaError") return undefined
  const issues = formatIssue(cause.issue).issues.map(({ message, path = [] }) => ({
    path: path.map(keyOf),
    message
  }))
  // Of several forms of a setting, the one that matches furthest was meant.
  const { message, path } = issues.reduce((deepest, one) =>
    one.path.length > deepest.path.length ? one : deepest
  )
  return { name: path[0] ?? "", message }
}
