/**
 * What a back-end says when it accepts a query.
 */
import type * as QueryApi from "../engine/QueryApi.ts"

/** What an accept says that matters to a gateway. */
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

/** What an accept says; it may come from a server whose API has more than this one's. */
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
