/**
 * Requests of up to 1 MiB that cost a careless server far more than their length.
 */
import type { Format } from "../../src/engine/QueryApi.ts"

/** The largest body that a frame has room for, unless the server is told otherwise. */
const largest = 1024 * 1024 - 5

const list = (count: number, item: (index: number) => string, between = ","): string =>
  Array.from({ length: count }, (_, index) => item(index)).join(between)

/** A request with as many items among its parameters as fit. */
const parameters = (query: string, item: string, before = "[", after = "]"): string => {
  const start = `{"version":"v1","query":"${query}","parameters":${before}`
  const count = Math.floor((largest - start.length - after.length - 1 - item.length) / (item.length + 1))
  return `${start}${list(count, () => item)}${after}}`
}

const sql = (query: string, format: Format = "application/x-ndjson"): string =>
  JSON.stringify({ version: "v1", query, format })

const csv = "text/csv"
const arrow = "application/vnd.apache.arrow.stream"
const parquet = "application/vnd.apache.parquet"

const bodies: Readonly<Record<string, () => string>> = {
  "JSON: [": () => "[".repeat(largest),
  'JSON: {"a":': () => '{"a":'.repeat(largest / 5),
  "JSON: parameters [": () =>
    `{"version":"v1","query":"q","parameters":${"[".repeat(500_000)}${"]".repeat(500_000)}}`,
  "JSON: a long number": () =>
    `{"version":"v1","query":"SELECT ?","parameters":[${"9".repeat(largest - 100)}]}`,
  "JSON: escapes": () => `{"version":"v1","query":"SELECT ?","parameters":["${"\\u0001".repeat(170_000)}"]}`,
  "JSON: different names": () => `{"version":"v1","query":"SELECT 1",${list(80_000, (i) => `"k${i}":1`)}}`,
  "JSON: the same name": () => `{"version":"v1","query":"SELECT 1",${list(100_000, () => '"k":1')}}`,
  "JSON: names within the limit": () =>
    `{"version":"v1","query":"SELECT 1",${list(8000, (i) => `"k${i}":1`)}}`,
  "JSON: numbers": () => parameters("SELECT len(?)", "1", "[[", "]]"),
  "JSON: objects": () => parameters("SELECT len(?)", '{"a":1}', "[[", "]]"),
  "JSON: numbers within the limit": () =>
    `{"version":"v1","query":"SELECT len(?)","parameters":[[${list(16_000, () => "1")}]]}`,
  "JSON: objects within the limit": () =>
    `{"version":"v1","query":"SELECT len(?)","parameters":[[${list(5000, () => '{"a":1}')}]]}`
}

const queries: Readonly<Record<string, () => string>> = {
  "SQL: 60,000 parameters": () =>
    JSON.stringify({
      version: "v1",
      query: `SELECT 1 WHERE 1 IN (${list(60_000, () => "?")})`,
      parameters: Array.from({ length: 60_000 }, (_, index) => index)
    }),
  "SQL: 16,000 parameters": () =>
    JSON.stringify({
      version: "v1",
      query: `SELECT 1 WHERE 1 IN (${list(16_000, () => "?")})`,
      parameters: Array.from({ length: 16_000 }, (_, index) => index)
    }),
  "SQL: 20,000 named parameters": () =>
    JSON.stringify({
      version: "v1",
      query: `SELECT 1 WHERE 1 IN (${list(20_000, (i) => `$a${i}`)})`,
      parameters: Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`a${index}`, index]))
    }),
  "SQL: 100,000 columns": () => sql(`SELECT ${list(100_000, (i) => String(i))}`),
  "SQL: 30,000 columns": () => sql(`SELECT ${list(30_000, (i) => String(i))}`),
  "SQL: 4096 columns": () => sql(`SELECT ${list(4096, (i) => String(i))}`),
  "SQL: a struct of 20,000 fields": () => sql(`SELECT {${list(20_000, (i) => `a${i}:1`)}}`),
  "SQL: parentheses": () => sql(`SELECT ${"(".repeat(120_000)}1${")".repeat(120_000)}`),
  "SQL: a long IN": () => sql(`SELECT 1 WHERE 1 IN (${list(100_000, () => "1")})`),
  "SQL: a long SELECT": () => sql(`SELECT ${list(130_000, () => "1")}`),
  "SQL: a long VALUES": () => sql(`VALUES ${list(65_000, () => "(1)")}`),
  "SQL: a list of many": () => sql(`SELECT [${list(130_000, () => "1")}]`),
  "SQL: 19,000 unions": () => sql(list(19_000, () => "SELECT 1", " UNION ")),
  "SQL: many CTEs": () => sql(`WITH ${list(900, (i) => `t${i} AS (SELECT 1)`)} SELECT 1`),
  "SQL: many unions": () => sql(list(2000, () => "SELECT 1", " UNION ALL ")),
  "SQL: many joins": () => sql(`SELECT 1 FROM ${list(200, (i) => `(SELECT 1) t${i}`)}`),
  "SQL: a long name": () => sql(`SELECT 1 FROM ${"x".repeat(250_000)}`),
  "SQL: an unknown name after much text": () => sql(`SELECT '${"é".repeat(120_000)}', nothing`),
  "SQL: semicolons": () => sql(`SELECT 1${";".repeat(250_000)}`),
  "SQL: dollar quotes": () => sql(`SELECT 1 ${list(30_000, (i) => `$a${i}$`, " ")}`)
}

const results: Readonly<Record<string, () => string>> = {
  "result: 4000 columns, CSV": () => sql(`SELECT ${list(4000, () => "i")} FROM range(4000) t(i)`, csv),
  "result: 4000 columns, Arrow": () => sql(`SELECT ${list(4000, () => "i")} FROM range(4000) t(i)`, arrow),
  "result: 400 columns, Parquet": () => sql(`SELECT ${list(400, () => "i")} FROM range(4000) t(i)`, parquet),
  "result: 4000 columns, Parquet": () =>
    sql(`SELECT ${list(4000, () => "i")} FROM range(4000) t(i)`, parquet),
  "result: 4000 columns of texts, Arrow": () =>
    sql(`SELECT ${list(4000, () => "'abc' || i")} FROM range(4000) t(i)`, arrow),
  "result: nested 60 deep": () => sql(`SELECT ${"[".repeat(60)}1${"]".repeat(60)}`, arrow),
  "result: a list of 5 million, Arrow": () => sql("FROM (SELECT list(i) FROM range(5000000) t(i))", arrow),
  "result: a list of 5 million, NDJSON": () => sql("FROM (SELECT list(i) FROM range(5000000) t(i))"),
  "result: 2000 lists of 5000, Arrow": () => sql("SELECT range(5000) FROM range(2000)", arrow),
  "result: 2000 lists of 1000 texts, Arrow": () =>
    sql("SELECT list_transform(range(1000), lambda x: 'abcdefghijklmnopq' || x) FROM range(2000)", arrow),
  "result: NaN in 2 million places": () => sql("SELECT [i, 'nan'::DOUBLE] FROM range(2000000) t(i)"),
  "result: NaN in one list of 1 million": () => sql("SELECT list('nan'::DOUBLE) FROM range(1000000) t(i)"),
  "result: a text of 100 MB, NDJSON": () => sql("SELECT string_agg('0123456789', '') FROM range(10000000)"),
  "result: a text of 100 MB, Arrow": () =>
    sql("SELECT string_agg('0123456789', '') FROM range(10000000)", arrow),
  "result: a text of 800 MB": () => sql("SELECT repeat(chr(1), 800000000)"),
  "result: an error of 20 MB": () => sql("SELECT string_agg('0123456789', '')::INT FROM range(2000000)"),
  "result: an error of blanks": () => sql("SELECT error(repeat(' ', 60000) || 'x')"),
  "result: an error of line breaks": () => sql("SELECT error(repeat(chr(10), 60000) || 'x')"),
  "result: an error of advice": () => sql("SELECT error(repeat(' Try', 15000))"),
  "result: an error of quotes": () =>
    sql("SELECT error('Consider ' || repeat('''', 30000) || repeat('_', 30000))"),
  "result: an error of paths": () =>
    sql(`SELECT error(repeat(' /a' || '/b', 10000)) /* ${"/a".repeat(45_000)} */`),
  "result: an error of 200 MB": () => sql("SELECT string_agg('0123456789', '')::INT FROM range(20000000)"),
  "result: 2 million rows, NDJSON": () => sql("SELECT i, i * 2, 'abc' || i FROM range(2000000) t(i)"),
  "result: 2 million rows, Arrow": () => sql("SELECT i, i * 2, 'abc' || i FROM range(2000000) t(i)", arrow),
  "result: 2 million rows, Parquet": () =>
    sql("SELECT i, i * 2, 'abc' || i FROM range(2000000) t(i)", parquet)
}

/** The bodies of requests by what is in them. */
export const cases = { ...bodies, ...queries, ...results }

/** A few that are done in a moment. */
export const quick = bodies
