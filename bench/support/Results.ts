/**
 * The results of benches in a JSON file, each bench's in the place of its earlier ones.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import type { Row } from "./Figures.ts"

export interface Result {
  readonly bench: string
  readonly node: string
  readonly machine: string
  readonly quick: boolean
  readonly repeats: number
  readonly rows: ReadonlyArray<Row>
}

export type Results = Readonly<Record<string, Result>>

export const read = (path: string): Results => JSON.parse(readFileSync(path, "utf8"))

export const add = (path: string, result: Result): void => {
  const all = existsSync(path) ? read(path) : {}
  writeFileSync(path, `${JSON.stringify({ ...all, [result.bench]: result }, null, 2)}\n`)
}
