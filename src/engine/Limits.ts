/**
 * Limits of one request. They keep two promises: no request holds the event loop for long, and no result
 * outgrows the memory. An error about a limit names it.
 */
import * as Struct from "effect/Struct"
import * as Limit from "../settings/Limit.ts"

/** Limits of a request as it arrives. */
export interface RequestLimits {
  /** Longest query, in bytes of UTF-8. */
  readonly maxQueryLength: number
  /**
   * Most values in the JSON of a request, including those in lists and objects and the names of members. Each
   * takes about a microsecond of the event loop.
   */
  readonly maxParameters: number
  /** Levels of lists and objects in a parameter, and of nested types in a column. */
  readonly maxNesting: number
  /**
   * Longest run of operator characters and comment marks in a query; DuckDB's parser rescans the run at each.
   */
  readonly maxOperatorRun: number
  /** Occurrences of AND and OR in a query; DuckDB's parser rescans all before each one. */
  readonly maxConjunctions: number
  /** Distinct functions, tables or types that a query names. */
  readonly maxNames: number
}

/** Limits of a result. */
export interface ResultLimits {
  readonly maxNesting: number
  /** Columns, including the fields of nested types. */
  readonly maxColumns: number
  /** Rows; `Infinity` switches the limit off. */
  readonly maxResultRows: number
  /** Encoded bytes; `Infinity` switches the limit off. */
  readonly maxResultBytes: number
  /**
   * Largest row in bytes, as text without escapes; at most {@link largestRow}. For Parquet only values below
   * the default take effect.
   */
  readonly maxRowSize: number
  /** Memory of all results in progress, in bytes; above it no other result begins. */
  readonly maxResultMemory: number
}

export interface Limits extends RequestLimits, ResultLimits {}

const KiB = 1024
const MiB = 1024 * KiB

/** DuckDB counts the bytes of a text in 32 bits, and JSON's escapes take up to six times a text's bytes. */
export const largestRow = 512 * MiB

export const defaults: Limits = {
  maxQueryLength: 256 * KiB,
  maxParameters: 16_384,
  maxNesting: 64,
  maxOperatorRun: 1024,
  maxConjunctions: 8192,
  maxNames: 1000,
  maxColumns: 4096,
  maxResultRows: Number.POSITIVE_INFINITY,
  maxResultBytes: Number.POSITIVE_INFINITY,
  maxRowSize: 256 * MiB,
  maxResultMemory: 1536 * MiB
}

/** Limits as given in code. An absent or `undefined` limit has its default. */
export type Options = { readonly [K in keyof Limits]?: Limits[K] | undefined }

/** The checks of limits given in code. */
export const checks: Limit.Checks<Options> = {
  maxQueryLength: (name, given: number) => Limit.size(name, given, 1),
  maxParameters: (name, given: number) => Limit.count(name, given, 1),
  maxNesting: (name, given: number) => Limit.count(name, given, 1),
  maxOperatorRun: (name, given: number) => Limit.count(name, given, 1),
  maxConjunctions: (name, given: number) => Limit.count(name, given, 1),
  maxNames: (name, given: number) => Limit.count(name, given, 1),
  maxColumns: (name, given: number) => Limit.count(name, given, 1),
  maxResultRows: Limit.countOrInfinity,
  maxResultBytes: Limit.countOrInfinity,
  maxRowSize: (name, given: number) => Limit.size(name, given, 1, largestRow),
  maxResultMemory: (name, given: number) => Limit.size(name, given, 1)
}

/** The limits in force. Throws a `RangeError` that names an invalid or unknown limit. */
export const make = (given: Options = {}): Limits => ({
  ...defaults,
  ...(Limit.present(Limit.settings("the limits of a request", given, checks)) as Partial<Limits>)
})

/** The limits among other settings. */
export const among = (settings: Options): Options =>
  Struct.pick(settings, Object.keys(defaults) as ReadonlyArray<keyof Limits>)
