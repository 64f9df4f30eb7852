/**
 * Arguments of functions that are more than values: the structure of JSON, or the name of an aggregate.
 */
import * as Functions from "./Functions.ts"

/**
 * The second argument of each call of these functions in a parser's tree; `undefined` for a non-literal,
 * whose text is known only at run time.
 */
export const secondArguments = (
  tree: unknown,
  names: ReadonlySet<string>
): ReadonlyArray<string | undefined> => {
  const found: Array<string | undefined> = []
  const rest: Array<unknown> = [tree]
  while (rest.length > 0) {
    const node = rest.pop()
    if (typeof node !== "object" || node === null) continue
    const { children, function_name } = node as Node
    if (typeof function_name === "string" && names.has(function_name.toLowerCase())) {
      found.push(literal(children?.[1]))
    }
    for (const child of Object.values(node)) rest.push(child)
  }
  return found
}

interface Node {
  readonly function_name?: unknown
  readonly class?: unknown
  readonly children?: ReadonlyArray<Node>
  readonly child?: Node
  readonly value?: { readonly value?: unknown }
}

const literal = (node: Node | undefined): string | undefined => {
  if (node?.class === "CAST") return literal(node.child)
  const value = node?.class === "CONSTANT" ? node.value?.value : undefined
  return typeof value === "string" ? value : undefined
}

const aggregating = Array.from(Functions.aggregating).join("|")

/** The same pattern as `Words` has for calls. */
const call = new RegExp(`\\b(?:${aggregating})["\\s\\u0080-\\uffff]*(?:\\(|--|/\\*)`, "gi")

/** A call with a name and a literal. */
const plainCall = new RegExp(`\\b(?:${aggregating})"?\\s*\\(\\s*[\\w."]+\\s*,\\s*'(\\w+)'\\s*[,)]`, "gi")

/**
 * The names of aggregates passed to functions in a statement without a tree; `undefined` for each call
 * that is not plain.
 */
export const aggregates = (sql: string): ReadonlyArray<string | undefined> => {
  const plain = Array.from(sql.matchAll(plainCall), ([, name]) => name)
  const others = Array.from(sql.matchAll(call)).length - plain.length
  return others > 0 ? [...plain, undefined] : plain
}
