/**
 * Rows of CSV in other forms of text: without their header, as TSV, as a Markdown table. Pure.
 */
import { CsvReader, type Field } from "./terminal/CsvReader.ts"
import * as Table from "./terminal/Table.ts"

/** The form of a row. */
export interface Form {
  readonly header: (names: ReadonlyArray<Field>) => string
  readonly row: (fields: ReadonlyArray<Field>) => string
}

/** Takes pieces of CSV, cut anywhere, and returns them in another form. */
export class RowText {
  private readonly form: Form
  private readonly reader = new CsvReader(Number.POSITIVE_INFINITY)
  private readonly decoder = new TextDecoder()
  private hasHeader = false

  constructor(form: Form) {
    this.form = form
  }

  push(chunk: Uint8Array): string {
    return this.written(this.reader.push(this.decoder.decode(chunk, { stream: true })))
  }

  end(): string {
    return this.written(this.reader.end())
  }

  private written(rows: ReadonlyArray<ReadonlyArray<Field>>): string {
    let text = ""
    for (const row of rows) {
      text += this.hasHeader ? this.form.row(row) : this.form.header(row)
      this.hasHeader = true
    }
    return text
  }
}

const quoted = (field: Field): string => {
  if (field === null) return ""
  return field === "" || /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}

/** CSV without its header. */
export const csv = (lineBreak: "\n" | "\r\n"): Form => ({
  header: () => "",
  row: (fields) => `${fields.map(quoted).join(",")}${lineBreak}`
})

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" }

const escaped = (field: Field): string =>
  field === null ? "\\N" : field.replace(/[\\\t\n\r]/g, (character) => escapes[character] ?? character)

/** TSV as in PostgreSQL's COPY and ClickHouse: with escapes in place of quotes, and `\N` for NULL. */
export const tsv = (hasHeader: boolean): Form => {
  const row = (fields: ReadonlyArray<Field>) => `${fields.map(escaped).join("\t")}\n`
  return { header: hasHeader ? row : () => "", row }
}

/** Everything that Markdown would read as more than text. Underscores within words are text. */
const markup = /[\\|*`~[]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu

/** A text in a cell of Markdown. */
const literal = (text: string): string =>
  text
    .replace(markup, "\\$&")
    .replace(/&(?=#?\w+;)/g, "&amp;")
    .replaceAll("<", "&lt;")
    .replace(/\r\n|\r|\n/g, "<br>")

const cell = (field: Field): string =>
  field === null ? "NULL" : field === "NULL" ? "'NULL'" : literal(field)

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |\n`

/**
 * A table of GitHub's Markdown. Numeric columns, by these types, are aligned right. NULL is `NULL`, and the text
 * of that name `'NULL'`, as in a `Table`.
 */
export const markdown = (types: ReadonlyArray<string>): Form => ({
  header: (names) =>
    line(names.map((name) => literal(name ?? ""))) +
    line(names.map((_, index) => (Table.isNumber(types[index] ?? "") ? "---:" : "---"))),
  row: (fields) => line(fields.map(cell))
})
