/** The errors of a row of a result. Rows are counted from 1. */
import * as Schema from "effect/Schema"

/**
 * The row is longer than `maxRowSize` allows.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowTooLong extends Schema.TaggedError<RowTooLong>()("RowTooLong", {
  row: Schema.Finite,
  maxRowSize: Schema.Finite
}) {
  override get message() {
    return `Row ${this.row} is longer than ${this.maxRowSize} bytes (maxRowSize)`
  }
}

/**
 * The row is not a JSON object in UTF-8: the server is at fault.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowMalformed extends Schema.TaggedError<RowMalformed>()("RowMalformed", {
  row: Schema.Finite,
  detail: Schema.String
}) {
  override get message() {
    return `Row ${this.row} cannot be read: ${this.detail}`
  }
}

/**
 * The row does not match the schema: `detail` is the mismatch at `path`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowMismatch extends Schema.TaggedError<RowMismatch>()("RowMismatch", {
  row: Schema.Finite,
  path: Schema.Array(Schema.Union([Schema.String, Schema.Finite])),
  detail: Schema.String
}) {
  override get message() {
    const at = this.path.map((key) => `[${JSON.stringify(key)}]`).join("")
    return `Row ${this.row} does not match the schema${at === "" ? "" : ` at ${at}`}: ${this.detail}`
  }
}

/**
 * The reason why a row could not be read.
 *
 * @category errors
 * @since 0.1.0
 */
export const RowErrorReason = Schema.Union([RowTooLong, RowMalformed, RowMismatch])
/**
 * The reason why a row could not be read.
 *
 * @category errors
 * @since 0.1.0
 */
export type RowErrorReason = typeof RowErrorReason.Type

/**
 * A row of a result could not be read, for `reason`. The rows before it have been emitted, and the query is
 * cancelled.
 *
 * @category errors
 * @since 0.1.0
 */
export class RowError extends Schema.TaggedError<RowError>()("RowError", {
  reason: RowErrorReason
}) {
  override readonly message = this.reason.message

  /** False: the row would be the same another time. */
  get retryable(): boolean {
    return false
  }
}

/** The part of a text that an error shows. */
export const excerpt = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text)
