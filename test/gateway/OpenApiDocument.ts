/**
 * The OpenAPI document as a judge of answers: it has to name their status and media type, and their JSON has to be of
 * the schema that it gives. Knows as much of JSON Schema as the document uses, and dies at anything else.
 */
import type { Answer } from "./Served.ts"

type Json = Readonly<Record<string, unknown>>

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Json>> }
}

export interface Operation {
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly schema: Json }>
  readonly security: ReadonlyArray<Json>
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { schema: Json }>> }>
  >
}

const words = new Set([
  ...["$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "anyOf"],
  ...["minimum", "maximum", "minLength", "maxLength", "pattern", "format", "description"]
])

const typeOf = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "array"
      : Number.isInteger(value)
        ? "integer"
        : typeof value

const isOfType = (type: unknown, value: unknown): boolean =>
  type === undefined || type === typeOf(value) || (type === "number" && typeOf(value) === "integer")

/** What is wrong with a value, and where. */
export const problemsOf = (
  document: Document,
  schema: Json,
  value: unknown,
  at = "$"
): ReadonlyArray<string> => {
  const unknown = Object.keys(schema).find((word) => !words.has(word))
  if (unknown !== undefined) throw new Error(`the document says ${unknown} at ${at}`)
  const {
    $ref,
    additionalProperties,
    anyOf,
    enum: choices,
    items,
    maxLength = Number.POSITIVE_INFINITY,
    minLength = 0,
    pattern = "",
    properties = {},
    required = [],
    type
  } = schema
  if (typeof $ref === "string") {
    const name = $ref.replace("#/components/schemas/", "")
    return problemsOf(document, document.components.schemas[name] as Json, value, at)
  }
  if (Array.isArray(anyOf)) {
    const all = anyOf.map((one: Json) => problemsOf(document, one, value, at))
    return all.some(({ length }) => length === 0) ? [] : all.flat()
  }
  if (!isOfType(type, value)) return [`${at} is ${typeOf(value)}, not ${type}`]
  if (Array.isArray(choices) && !choices.includes(value)) return [`${at} is ${value}, none of ${choices}`]
  if (typeof value === "string") {
    const isFit =
      value.length >= Number(minLength) &&
      value.length <= Number(maxLength) &&
      new RegExp(String(pattern), "u").test(value)
    return isFit ? [] : [`${at} is ${value}, which is too short, too long or not ${pattern}`]
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) =>
      problemsOf(document, (items ?? {}) as Json, item, `${at}[${index}]`)
    )
  }
  if (typeOf(value) !== "object") return []
  const fields = value as Json
  return [
    ...(required as ReadonlyArray<string>)
      .filter((name) => !(name in fields))
      .map((name) => `${at}.${name} is missing`),
    ...Object.entries(fields).flatMap(([name, field]) => {
      const known = (properties as Readonly<Record<string, Json>>)[name]
      if (known !== undefined) return problemsOf(document, known, field, `${at}.${name}`)
      return additionalProperties === false ? [`${at}.${name} is not known`] : []
    })
  ]
}

/** What is wrong with the answer of a route. */
export const wrongWith = (
  document: Document,
  { method, path }: { readonly method: string; readonly path: string },
  { headers, status, text }: Pick<Answer, "headers" | "status" | "text">
): ReadonlyArray<string> => {
  const response = document.paths[path]?.[method.toLowerCase()]?.responses[status]
  if (response === undefined) return [`the document has no ${status}`]
  const [type = ""] = (headers.get("content-type") ?? "").split(";")
  const content = response.content?.[type]
  if (content === undefined) return [`the document has no ${status} with ${type || "no body"}`]
  return /json$/.test(type) && content.schema["format"] !== "binary"
    ? problemsOf(document, content.schema, JSON.parse(text))
    : []
}
