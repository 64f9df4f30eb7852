/** The messages between the page and the worker of a query. */

export interface Column {
  readonly name: string
  readonly type: string
}

/** A nested value, or one of a column of JSON, in the server's own text. */
export interface Json {
  readonly json: string
}

export type Row = Readonly<Record<string, unknown>>

/** A query in the form of the API. */
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

/** The progress of a query. */
export interface Progress {
  readonly rows: number
  /** The number of rows that are kept, the first ones. */
  readonly kept: number
  readonly bytes: number
  readonly elapsedMs: number
  readonly firstRowMs: number | undefined
  /** The engine's progress, from 0 to 1, if known. */
  readonly fraction: number | undefined
}

export type Outcome =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Failed"; readonly error: QueryError }

/** A chart's request: the columns by name. */
export interface SampleRequest {
  readonly x: string
  readonly ys: ReadonlyArray<string>
}

/** Points of a chart: for each the number of its row, from 1, its `x`, and its value of each column of `ys`. */
export interface Sample {
  readonly rows: ReadonlyArray<number>
  readonly x: ReadonlyArray<unknown>
  readonly ys: ReadonlyArray<ReadonlyArray<number | null>>
  /** The number of rows that the points represent. */
  readonly total: number
  /** Whether a point represents several rows. */
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
  /** The answer to a request that failed. */
  | { readonly _tag: "Unanswered"; readonly id: number; readonly message: string }
