/**
 * The formats that a user may request, by their short names, media types and file extensions.
 */
import type { Format } from "../engine/QueryApi.ts"

/** The forms that the command makes of CSV. */
const made = ["table", "vertical", "tsv", "markdown"] as const

/** The form of a shown result: text made by the command, or the bytes of one of the server's formats. */
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

/** The values of a flag: short names and media types. */
export const choices: ReadonlyArray<readonly [string, Shown]> = [
  ...Object.entries(short),
  ...Object.values(short)
    .filter((format) => format.includes("/"))
    .map((format) => [format, format] as const)
]

/** The short name of a format. */
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

/** The format for the extension of a file, if it is a known one. */
export const ofFile = (file: string): Shown | undefined => {
  const extension = extensionOf(file)
  return Object.hasOwn(extensions, extension.toLowerCase()) ? extensions[extension.toLowerCase()] : undefined
}

/** The format that is requested from the server. */
export const requested = (shown: Shown): Format => (isMade(shown) ? short.csv : shown)

const isMade = (shown: Shown): shown is (typeof made)[number] =>
  (made as ReadonlyArray<string>).includes(shown)

/** Whether the format is a table for a person, who may stop reading early. */
export const isTable = (shown: Shown): boolean => shown === "table" || shown === "vertical"

/** Whether the format has a header that can be left out. */
export const hasHeader = (shown: Shown): boolean => shown === short.csv || shown === short.tsv

/** The formats to request in turn if the user has named none, up to the first that the server has. */
export const inTurn = (shown: Shown, isTerminal: boolean): readonly [Shown, ...Array<Shown>] => {
  const others = [short.json, short.ndjson, short.csv, ...(isTerminal ? [] : [short.arrow, short.parquet])]
  return [shown, ...others.filter((other) => other !== requested(shown))]
}

/** Whether the format is binary, which is of no use on a terminal. */
export const isBinary = (shown: Shown): boolean => shown === short.arrow || shown === short.parquet

/** Whether results may follow each other. A JSON file is one value; readers of a pipe may accept several. */
export const holdsSeveral = (shown: Shown, isFile: boolean): boolean =>
  !isBinary(shown) && !(isFile && shown === short.json)
