/**
 * A file that is served as a table, in its written form: a path or pattern, and options of its reader after a
 * question mark, such as `sales.csv?encoding=latin-1&delim=;`.
 */
import * as Result from "effect/Result"
import * as Sql from "./Sql.ts"

/** See {@link parse}. */
export interface TableFile {
  /** A path, or a pattern with `*`, `?` and `[…]`; `[*]` stands for an asterisk in a name. */
  readonly path: string
  /** By name, in their written order. */
  readonly options: ReadonlyArray<readonly [name: string, value: string]>
}

/** The beginning of the options. A pattern may have question marks too, but not before a name and `=`. */
const optionsStart = /\?(?=[a-z_]+(\.[^=&?]*)?=)/i

/**
 * Parses a file with its options. `%XX` stands for the byte with this number, so `%26` is `&` in a value.
 * Fails with the problem in words.
 */
export const parse = (text: string): Result.Result<TableFile, string> => {
  const at = text.search(optionsStart)
  if (at === -1) return Result.succeed({ path: text, options: [] })
  const options = new Map<string, string>()
  for (const option of text.slice(at + 1).split("&")) {
    const [, name = "", value = ""] = /^([^=]+)=(.*)$/s.exec(option) ?? []
    if (name === "") return Result.fail(`expected OPTION=VALUE, not ${JSON.stringify(option)}`)
    const decoded = Result.all([decode(name), decode(value)])
    if (Result.isFailure(decoded)) return Result.fail(decoded.failure)
    if (options.has(decoded.success[0])) return Result.fail(`the option ${decoded.success[0]} is there twice`)
    options.set(...decoded.success)
  }
  return Result.succeed({ path: text.slice(0, at), options: [...options] })
}

const decode = (text: string): Result.Result<string, string> =>
  Result.try({
    try: () => decodeURIComponent(text),
    catch: () => `${JSON.stringify(text)} has a % that no two digits of a byte follow; %25 is a percent sign`
  })

/** The path alone. */
export const pathOf = (text: string): string =>
  Result.match(parse(text), { onFailure: () => text, onSuccess: ({ path }) => path })

/** Whether DuckDB expands a path. */
export const isPattern = (path: string): boolean => /[*?[]/.test(path)

/** The pattern that finds exactly this file: DuckDB's readers expand each path that they are given. */
export const pattern = (file: string): string => file.replace(/[*?[]/g, "[$&]")

/** A DuckDB function that reads files, and the options that are allowed here. */
export interface Reader {
  readonly name: string
  readonly options: Readonly<Record<string, Form>>
}

/** The expected form of a value, and its conversion to SQL. */
interface Form {
  readonly expected: string
  /** `undefined` if the value has another form. */
  readonly read: (value: string) => string | undefined
}

const text: Form = { expected: "a text", read: Sql.literal }

const flag: Form = {
  expected: "true or false",
  read: (value) => (/^(true|false)$/i.test(value) ? value.toLowerCase() : undefined)
}

const count = (minimum: number): Form => ({
  expected: `a whole number of at least ${minimum}`,
  read: (value) =>
    /^-?\d{1,15}$/.test(value) && Number(value) >= minimum ? String(Number(value)) : undefined
})

const choice = (...choices: ReadonlyArray<string>): Form => ({
  expected: `one of ${choices.join(", ")}`,
  read: (value) => (choices.includes(value.toLowerCase()) ? Sql.literal(value.toLowerCase()) : undefined)
})

/** DuckDB has others in an extension, which is not fetched. */
const encodings: Readonly<Record<string, string>> = {
  "utf-8": "utf-8",
  utf8: "utf-8",
  "utf-16": "utf-16",
  utf16: "utf-16",
  "latin-1": "latin-1",
  latin1: "latin-1",
  "iso-8859-1": "latin-1"
}

const encoding: Form = {
  expected: "one of utf-8, utf-16, latin-1",
  read: (value) => {
    const known = encodings[value.toLowerCase()]
    return known === undefined ? undefined : Sql.literal(known)
  }
}

/**
 * Options for several files. The option for a column with the name of the file is excluded: clients
 * must not see paths.
 */
const several = { hive_partitioning: flag, union_by_name: flag }

const times = { dateformat: text, timestampformat: text }

const csv: Reader = {
  name: "read_csv",
  options: {
    ...several,
    ...times,
    all_varchar: flag,
    comment: text,
    compression: choice("auto", "none", "gzip", "zstd"),
    decimal_separator: text,
    delim: text,
    encoding,
    escape: text,
    header: flag,
    ignore_errors: flag,
    max_line_size: count(1),
    new_line: text,
    normalize_names: flag,
    null_padding: flag,
    nullstr: text,
    parallel: flag,
    quote: text,
    sample_size: count(-1),
    skip: count(0),
    strict_mode: flag
  }
}

const json: Reader = {
  name: "read_json",
  options: {
    ...several,
    ...times,
    compression: choice("auto", "none", "gzip", "zstd"),
    convert_strings_to_integers: flag,
    format: choice("auto", "newline_delimited", "array", "unstructured"),
    ignore_errors: flag,
    maximum_depth: count(-1),
    maximum_object_size: count(1),
    records: choice("auto", "true", "false"),
    sample_size: count(-1)
  }
}

const parquet: Reader = { name: "read_parquet", options: { ...several, binary_as_string: flag } }

const readers: ReadonlyArray<readonly [extensions: RegExp, reader: Reader]> = [
  [/\.(csv|tsv|txt)(\.gz|\.zst)?$/i, csv],
  [/\.(json|ndjson|jsonl)(\.gz|\.zst)?$/i, json],
  [/\.(parquet|pq)$/i, parquet]
]

/** The reader for the extension of a file. */
export const readerOf = (path: string): Reader | undefined =>
  readers.find(([extensions]) => extensions.test(path))?.[1]

/** Whether files are CSV that is read as it is, so that it has to be UTF-8. */
export const isUtf8 = (reader: Reader, { options, path }: TableFile): boolean =>
  reader === csv &&
  !/\.(gz|zst)$/i.test(path) &&
  options.every(([name, value]) =>
    name === "encoding" ? /^utf-?8$/i.test(value) : name !== "compression" || /^(auto|none)$/i.test(value)
  )

/** The type of one column of a CSV file. */
const columnType = /^types\.(.+)$/s

/** The call that reads these files. Fails with the problem of an option in words. */
export const call = (
  reader: Reader,
  files: ReadonlyArray<string>,
  { options }: TableFile
): Result.Result<string, string> => {
  const given: Array<string> = []
  const types: Array<string> = []
  for (const [name, value] of options) {
    const column = reader === csv ? columnType.exec(name)?.[1] : undefined
    if (column !== undefined) {
      types.push(`${Sql.literal(column)}: ${Sql.literal(value)}`)
      continue
    }
    const form = Object.hasOwn(reader.options, name) ? reader.options[name] : undefined
    if (form === undefined) return Result.fail(unknown(reader, name))
    const sql = form.read(value)
    if (sql === undefined) {
      return Result.fail(`the option ${name}: expected ${form.expected}, not ${JSON.stringify(value)}`)
    }
    given.push(`${name} = ${sql}`)
  }
  if (types.length > 0) given.push(`types = {${types.join(", ")}}`)
  // Otherwise the first file would decide for all of them.
  if (files.length > 1 && !options.some(([name]) => name === "union_by_name"))
    given.push("union_by_name = true")
  return Result.succeed(`${reader.name}(${[Sql.list(files.map(pattern)), ...given].join(", ")})`)
}

const unknown = (reader: Reader, name: string): string => {
  const names = [...Object.keys(reader.options), ...(reader === csv ? ["types.COLUMN"] : [])].toSorted()
  return `there is no option ${name} for ${reader.name}; there are ${names.join(", ")}`
}
