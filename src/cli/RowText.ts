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

const cell = (field: Field): string =>
  (field ?? "NULL")
    .replace(/[\\|]/g, "\\$&")
    .replaceAll("<", "&lt;")
    .replace(/\r\n|\r|\n/g, "<br>")

/** A table of GitHub's Markdown. Numeric columns, by these types, are aligned right. */
export const markdown = (types: ReadonlyArray<string>): Form => {
  const row = (fields: ReadonlyArray<Field>) => `| ${fields.map(cell).join(" | ")} |\n`
  return {
    header: (names) =>
      row(names) + row(names.map((_, index) => (Table.isNumber(types[index] ?? "") ? "---:" : "---"))),
    row
  }
}
