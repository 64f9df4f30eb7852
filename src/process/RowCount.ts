/**
 * The number of rows of a result, which the process of an engine sends its parent for logs. If the final
 * message is no receipt, its body is that number in digits, or empty.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import type { AcceptedQuery, Engine } from "../engine/QueryEngine.ts"

const encoder = new TextEncoder()

/**
 * The engine, whose queries send their number of rows at their end unless they send a receipt.
 * The child's half.
 */
export const of = (engine: Engine): Engine => ({
  ...engine,
  init: (request) => Effect.map(engine.init(request), told)
})

const told = (query: AcceptedQuery): AcceptedQuery =>
  query.final === undefined ? { ...query, final: () => encoder.encode(rowsAsText(query)) } : query

/** An engine that fails here reports no rows: its result is whole. */
const rowsAsText = ({ rows }: AcceptedQuery): string => {
  try {
    return String(rows?.() ?? "")
  } catch {
    return ""
  }
}

/** The number of rows in the body of a final message, plain or in a receipt. The parent's half. */
export const read = (final: Uint8Array | undefined, isReceipt: boolean): number | undefined => {
  if (final === undefined) return undefined
  const text = Buffer.from(final.buffer, final.byteOffset, final.byteLength).toString()
  const rows: unknown = isReceipt ? rowsOf(text) : text === "" ? undefined : Number(text)
  return Number.isSafeInteger(rows) ? (rows as number) : undefined
}

const rowsOf = (receipt: string): unknown => {
  try {
    return (JSON.parse(receipt) as { readonly rows?: unknown } | null)?.rows
  } catch {
    return undefined
  }
}
