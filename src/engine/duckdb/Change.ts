/**
 * The kind of change that a statement makes, by its words. No protection of the server relies on it.
 */
import * as Explain from "./Explain.ts"
import * as Tokens from "./Tokens.ts"
import type { Turn } from "./Turns.ts"
import * as Words from "./Words.ts"

/** The change that a statement makes. */
export interface Change {
  readonly turn: Turn
  /** Whether it may change the catalog. */
  readonly defines: boolean
  /** Whether DuckDB can replay it only from a log without the creation of its schema. */
  readonly needsSchema: boolean
}

/** No change. */
export const reads: Change = { turn: "reads", defines: false, needsSchema: false }

/** First words of queries. */
const reading: ReadonlySet<string> = new Set(
  "select from values show describe desc summarize table pivot unpivot pragma".split(" ")
)

const defining: ReadonlySet<string> = new Set(["create", "alter", "drop", "comment"])

/** INSERT, but not OR REPLACE or ON CONFLICT. */
const isAddition = (keyword: string, sql: string): boolean =>
  keyword === "insert" && !/\b(?:or|conflict)\b/i.test(sql)

const begin = (words: string): RegExp =>
  new RegExp(`^(?:;|${Words.blank})*${words.replaceAll(" ", `${Words.blank}+`)}(?!\\w)`, "i")

/**
 * Statements that make or drop an index. DuckDB makes it of the present rows only. If an older query keeps
 * deleted rows, their removal from that index is an error that ends the database.
 */
const indexing = begin("(?:create (?:unique )?index|drop index)")

/** DuckDB creates a type once before it replays its log, when it has no schemas of that log. */
const typing = begin("create (?:or replace )?type")

/**
 * Statements ALTER that read the table: they make an index, another type, other fields of a struct, or check
 * for NULL. If an older query keeps former values, DuckDB reads these, and updates are lost.
 */
const reshaping = /\b(?:primary|type|null)\b|\b(?:add|drop|rename)\b.*\./is

const isAlone = (keyword: string, sql: string): boolean =>
  indexing.test(sql) ||
  (keyword === "alter" && reshaping.test(sql)) ||
  // Comments may be nested, which the patterns do not know.
  (sql.includes("/*") && /\bindex\b/i.test(sql))

export const of = (query: string): Change => {
  const sql = Explain.split(query)?.statement ?? query
  const keyword = Words.keyword(sql)
  if (keyword === undefined || reading.has(keyword)) return reads
  if (keyword === "with" && Tokens.verb(sql) === undefined) return reads
  if (!defining.has(keyword)) return { ...reads, turn: isAddition(keyword, sql) ? "adds" : "writes" }
  const needsSchema = typing.test(sql) && sql.includes(".")
  // DuckDB ends its process if a change of keys cannot commit because its table was altered.
  const turn = keyword === "alter" ? "alters" : "adds"
  return { turn: needsSchema || isAlone(keyword, sql) ? "alone" : turn, defines: true, needsSchema }
}
