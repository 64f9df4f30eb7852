/**
 * DuckDB's validity masks: one bit a row, absent if every row is valid.
 */
import duckdb from "@duckdb/node-bindings"

/** Tests whether a row of a vector is not NULL. */
export type Validity = (row: number) => boolean

const always: Validity = () => true

export const make = (vector: duckdb.Vector, rows: number): Validity => {
  const mask = rows === 0 ? undefined : duckdb.vector_get_validity(vector, Math.ceil(rows / 64) * 8)
  return mask ? (row) => (((mask[row >> 3] as number) >> (row & 7)) & 1) === 1 : always
}

/** The first row that is NULL, or the number of rows. */
export const firstNull = (vector: duckdb.Vector, rows: number): number => {
  const isValid = make(vector, rows)
  if (isValid === always) return rows
  let row = 0
  while (row < rows && isValid(row)) row++
  return row
}
