/** The types of queries and their results. */

/**
 * A query of the v1 API. Other fields are passed on too.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryRequest {
  readonly query: string
  /**
   * A list for positional parameters, an object for named ones, of JSON values. Integers beyond 2^53 are
   * texts or `JSON.rawJSON`.
   */
  readonly parameters?: ReadonlyArray<unknown> | Readonly<Record<string, unknown>>
  /** The short name or media type: `json`, `ndjson`, `csv`, `arrow`, `parquet`. Default: `ndjson`. */
  readonly format?: string
  /**
   * The form of numbers in JSON and NDJSON that JavaScript cannot represent: with `string`, those of the
   * types BIGINT, UBIGINT, HUGEINT, UHUGEINT, BIGNUM and DECIMAL are texts with all their digits. Default:
   * `number`.
   */
  readonly numbers?: "number" | "string"
  readonly target?: string
  readonly conversation?: string
  readonly timeoutMs?: number
  /** 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`, but not `.` or `..`. Generated if absent. */
  readonly queryId?: string
  readonly [field: string]: unknown
}

/**
 * A column of a result.
 *
 * @category models
 * @since 0.1.0
 */
export interface Column {
  readonly name: string
  readonly type: string
  /**
   * Whether it may contain numbers that JavaScript cannot represent; see `numbers` of {@link QueryRequest}.
   */
  readonly wideNumbers?: boolean
}

/**
 * The properties of an accepted query.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accepted {
  readonly queryId: string
  readonly format: string
  readonly columns?: ReadonlyArray<Column>
}

/**
 * The properties of a result that has arrived whole. `rows` and `crc32` are present if the back-end provides
 * them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt {
  readonly queryId: string
  readonly bytes: number
  readonly durationMs: number
  readonly rows?: number
  readonly crc32?: string
}

/**
 * A query was rejected, failed, or was cancelled (`code` is `cancelled`), or the connection broke
 * (`connection_lost`). The part of its result that has arrived is incomplete.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryError extends Error {
  readonly code: string
  readonly retryable: boolean
  /** 1-based, in the query. */
  readonly position: number | undefined

  constructor(details: {
    readonly code: string
    readonly message: string
    readonly retryable?: boolean
    readonly position?: number
  }) {
    super(details.message)
    this.name = "QueryError"
    this.code = details.code
    this.retryable = details.retryable === true
    this.position = details.position
  }
}
