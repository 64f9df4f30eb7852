/**
 * The formats that a user may ask for, by their short names, media types and the extensions of files.
 */
import type { Format } from "../engine/QueryApi.ts"

/** What is made here of CSV. */
const made = ["table", "vertical", "tsv", "markdown"] as const

/** How a result is shown: as text that is made here, or as the bytes of a format of the server's. */
export type Shown = (typeof made)[number] | Format

/** Formats by their short names. */
export const short = {
  table: "table",
  vertical: "vertical",
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv",
  tsv: "tsv",
  markdown: "markdown",
  arrow: "application/vnd.apache.arrow.stream",
  parquet: "application/vnd.apache.parquet"
} as const satisfies Record<string, Shown>

/** What a flag takes: short names, and media types too. */
export const choices: ReadonlyArray<readonly [string, Shown]> = [
  ...Object.entries(short),
  ...Object.values(short)
    .filter((format) => format.includes("/"))
    .map((format) => [format, format] as const)
]

/** The name that a user gives a format. */
export const nameOf = (shown: Shown): string =>
  Object.entries(short).find(([, format]) => format === shown)?.[0] ?? shown

const extensions: Readonly<Record<string, Shown>> = {
  json: short.json,
  ndjson: short.ndjson,
  jsonl: short.ndjson,
  csv: short.csv,
  tsv: short.tsv,
  md: short.markdown,
  arrow: short.arrow,
  arrows: short.arrow,
  parquet: short.parquet,
  txt: short.table
}

const extensionOf = (file: string): string => /\.(\w+)$/.exec(file)?.[1] ?? ""

/** Whether the name of a file has an extension. */
export const hasExtension = (file: string | undefined): boolean =>
  file !== undefined && extensionOf(file) !== ""

/** The format that the name of a file asks for, if it has an extension that says so. */
export const ofFile = (file: string): Shown | undefined => {
  const extension = extensionOf(file)
  return Object.hasOwn(extensions, extension.toLowerCase()) ? extensions[extension.toLowerCase()] : undefined
}

/** What the server is asked for. */
export const requested = (shown: Shown): Format => (isMade(shown) ? short.csv : shown)

const isMade = (shown: Shown): shown is (typeof made)[number] =>
  (made as ReadonlyArray<string>).includes(shown)

/** Whether it is a table for a person, who may have seen enough of it. */
export const isTable = (shown: Shown): boolean => shown === "table" || shown === "vertical"

/** Whether it has a header that can be left out. */
export const hasHeader = (shown: Shown): boolean => shown === short.csv || shown === short.tsv

/** What a server is asked for where the user has named no format: one after the other, up to the first that it has. */
export const inTurn = (shown: Shown, isTerminal: boolean): readonly [Shown, ...Array<Shown>] => {
  const others = [short.json, short.ndjson, short.csv, ...(isTerminal ? [] : [short.arrow, short.parquet])]
  return [shown, ...others.filter((other) => other !== requested(shown))]
}

/** Whether it is no text: of no use on a terminal. */
export const isBinary = (shown: Shown): boolean => shown === short.arrow || shown === short.parquet

/** Whether results may follow each other. A file of JSON is one value; in a pipe there are readers of several. */
export const holdsSeveral = (shown: Shown, isFile: boolean): boolean =>
  !isBinary(shown) && !(isFile && shown === short.json)
