/** A back-end's accept of a query. */
import type * as QueryApi from "../engine/QueryApi.ts"

/** The fields of an accept that the gateway uses. */
export type Accepted = Pick<QueryApi.QueryAccepted, "columns" | "receipt" | "readOnly" | "progress"> & {
  readonly format: string
}

const decoder = new TextDecoder()

const columnsOf = (value: unknown): Accepted["columns"] | "invalid" => {
  if (value === undefined) return undefined
  if (!Array.isArray(value)) return "invalid"
  const isColumn = (column: unknown): column is QueryApi.Column =>
    typeof column === "object" &&
    column !== null &&
    typeof (column as QueryApi.Column).name === "string" &&
    typeof (column as QueryApi.Column).type === "string"
  return value.every(isColumn) ? value.map(({ name, type }) => ({ name, type })) : "invalid"
}

/** Decodes an accept, which may come from a server with a newer API. */
export const decode = (payload: Uint8Array): Accepted | undefined => {
  try {
    const { columns, format, progress, readOnly, receipt } = JSON.parse(decoder.decode(payload))
    const known = columnsOf(columns)
    if (typeof format !== "string" || known === "invalid") return undefined
    const promises = { readOnly: readOnly === true, receipt: receipt === true, progress: progress === true }
    return { format, columns: known, ...promises }
  } catch {
    return undefined
  }
}
