/**
 * What the page and the worker of a query tell each other.
 */

export interface Column {
  readonly name: string
  readonly type: string
}

export type Row = Readonly<Record<string, unknown>>

/** A query as the API takes it. */
export interface Query {
  readonly query: string
  readonly target: string | undefined
  readonly token: string | undefined
}

export interface QueryError {
  readonly code: string
  readonly message: string
  readonly status?: number | undefined
  /** 1-based, in code points of the query. */
  readonly position?: number | undefined
}

/** Where a query stands. */
export interface Progress {
  readonly rows: number
  /** How many of the rows are kept, the first ones. */
  readonly kept: number
  readonly bytes: number
  readonly elapsedMs: number
  readonly firstRowMs: number | undefined
  /** How far the engine is, from 0 to 1, where it is known. */
  readonly fraction: number | undefined
}

export type Outcome =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Failed"; readonly error: QueryError }

/** What a chart asks for: the columns by name. */
export interface SampleRequest {
  readonly x: string
  readonly ys: ReadonlyArray<string>
}

/** Points of a chart: for each the number of its row, from 1, its `x`, and its value of each column of `ys`. */
export interface Sample {
  readonly rows: ReadonlyArray<number>
  readonly x: ReadonlyArray<unknown>
  readonly ys: ReadonlyArray<ReadonlyArray<number | null>>
  /** How many rows the points stand for. */
  readonly total: number
  /** Whether a point stands for several rows. */
  readonly isReduced: boolean
}

export type ToWorker =
  | { readonly _tag: "Run"; readonly query: Query }
  | { readonly _tag: "Pause"; readonly isPaused: boolean }
  | { readonly _tag: "Cancel" }
  | { readonly _tag: "Rows"; readonly id: number; readonly from: number; readonly to: number }
  | { readonly _tag: "Sample"; readonly id: number; readonly request: SampleRequest }

export type FromWorker =
  | { readonly _tag: "Columns"; readonly queryId: string; readonly columns: ReadonlyArray<Column> }
  | { readonly _tag: "Progress"; readonly progress: Progress }
  | { readonly _tag: "Ended"; readonly outcome: Outcome; readonly progress: Progress }
  | { readonly _tag: "Rows"; readonly id: number; readonly rows: ReadonlyArray<Row> }
  | { readonly _tag: "Sample"; readonly id: number; readonly sample: Sample }
  /** The answer to what was asked, when there is none. */
  | { readonly _tag: "Unanswered"; readonly id: number; readonly message: string }
