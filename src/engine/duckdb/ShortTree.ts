/**
 * The parser's tree without unused parts: a constant of two characters takes 130 in the tree.
 *
 * DuckDB shortens the text by patterns. Each begins with a quote or with a brace before a quote, and no JSON
 * string has a quote without a backslash before it, so a pattern cannot match within a string.
 */
import * as Sql from "./Sql.ts"

/**
 * A part of a short tree. In its lists `0` is a constant or a parameter, and a text is the name of a column.
 */
export interface Node {
  readonly [key: string]: unknown
  readonly class?: string
  readonly type?: string
  readonly alias?: string
  /** The path of a column's names, instead of its class. */
  readonly c?: ReadonlyArray<string>
  /** The name of a function, instead of its class. */
  readonly f?: string
}

export const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null

/** Whether the node is a query: a part of a statement or of another query. */
export const isQuery = ({ type }: Node): boolean => typeof type === "string" && type.endsWith("_NODE")

export const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** A name in lower case. */
export const nameOf = (value: unknown): string => (typeof value === "string" ? value.toLowerCase() : "")

const text = String.raw`"(?:[^"\\]|\\.)*"`
const plain = String.raw`"[^"\\]*"`
const alias = `"alias":${text}`
const value = String.raw`"value":\{"type":\{"id":${plain}(?:,"type_info":\{[^{}\\]*\})?\},"is_null":(?:true|false)(?:,"value":(?:${text}|[-+.0-9eE]+|true|false|null))?\}`
const usual = [
  String.raw`"order_bys":\{"type":"ORDER_MODIFIER"\}`,
  String.raw`"group_sets":\[[\[\]0-9,]*\]`,
  String.raw`"cast_type":\{"id":${plain}\}`,
  String.raw`"named_param_map":\[(?:\{"key":${plain},"value":[0-9]+\},?)*\]`,
  `"query_location":[0-9]+`,
  `"aggregate_handling":"STANDARD_HANDLING"`,
  `"null_order":"ORDER_DEFAULT"`,
  `"is_(?:operator|implicit)":(?:true|false)`,
  `"schema":"main"`,
  String.raw`"from_table":\{"type":"EMPTY"\}`,
  `"subquery_type":"SCALAR"`
]

/** A constant beyond the range of a double, which DuckDB writes in an invalid form. */
const infinite = [`"value":-?(?:Infinity|NaN)`, `"value":null`] as const

/** Applied in this order. */
const rules: ReadonlyArray<readonly [pattern: string, replacement: string]> = [
  infinite,
  [`,(?:${usual.join("|")})`, ""],
  [`("class":"[A-Z_]+"),"type":"[A-Z_]+"`, String.raw`\1`],
  [String.raw`\{"class":"CONSTANT"(,${alias})?,${value}\}`, String.raw`{"k":0\1}`],
  [String.raw`\{"class":"PARAMETER"(,${alias})?,"identifier":${plain}\}`, String.raw`{"k":0\1}`],
  [String.raw`\{"k":0\}`, "0"],
  [
    String.raw`,"cast_type":\{"id":"UNBOUND","type_info":\{"type":"UNBOUND_TYPE_INFO","expr":\{"class":"TYPE","type_name":${text}(?:,"children":\[[0,]*\])?\}\}\}`,
    ""
  ],
  [String.raw`\{"class":"CAST","child":0\}`, "0"],
  [String.raw`([[,])\{"class":"COLUMN_REF","column_names":\[(${text})\]\}`, String.raw`\1\2`],
  [String.raw`\{"class":"COLUMN_REF",(${alias},)?"column_names"`, String.raw`{\1"c"`],
  [String.raw`\{"class":"FUNCTION",(${alias},)?"function_name"`, String.raw`{\1"f"`]
]

const replaced = (tree: string, [pattern, replacement]: readonly [string, string]): string =>
  `regexp_replace(${tree}, ${Sql.literal(pattern)}, ${Sql.literal(replacement)}, 'g')`

/** SQL that turns the text of a tree into valid JSON. */
export const json = (tree: string): string => replaced(tree, infinite)

/** SQL that shortens the text of a tree. */
export const sql = (tree: string): string => rules.reduce(replaced, tree)
