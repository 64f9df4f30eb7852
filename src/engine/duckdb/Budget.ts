/**
 * Limits on the size of a query after DuckDB has bound it.
 */

/** Most columns of a part of a query. DuckDB binds 16,000 in 0.3 s, and beyond that takes quadratic time. */
const mostColumns = 10_000

/** Most columns of all parts together. */
const mostColumnsInAll = 300_000

/** Most parts of a query that names expand to. DuckDB binds 65,000 in 3 s. */
const mostParts = 50_000

/**
 * Most planned parts, counted each time they are planned. DuckDB takes 0.1 s for as many, or up to 2
 * s for long sums.
 */
const mostPlanned = 1_500_000

/** How many expressions DuckDB makes of each summarized column. */
export const partsOfSummary = 20

/**
 * How often DuckDB binds or plans the operands of BETWEEN, and summarized or unpivoted
 * queries, approximately.
 */
export const timesOf = { between: 3, summary: 4, unpivot: 2 }

/** Thrown while a query is read, when it exceeds the budget. */
export class Excess {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }
}

export class Budget {
  private copied = 0
  private columns = 0

  /** Counts parts that are bound once more. */
  copy(parts: number): void {
    this.copied += parts
    if (this.copied > mostParts) {
      throw new Excess(
        `The expressions and queries that the query's names stand for have more than ${mostParts} parts`
      )
    }
  }

  /** Counts the columns of a part. */
  count(columns: number): void {
    this.columns += columns
    if (this.columns > mostColumnsInAll) {
      throw new Excess(
        `The parts of the query have more than ${mostColumnsInAll} columns, which are as many as they may have together`
      )
    }
  }

  /** Checks the number of planned parts. */
  plan(parts: number): void {
    if (parts > mostPlanned) {
      throw new Excess(
        `The aggregates and subqueries within each other have more than ${mostPlanned} parts, because DuckDB plans twice what is within one; nest them less deeply, or use WITH … AS MATERIALIZED`
      )
    }
  }

  /** The columns of a part. Throws if there are too many. */
  bounded(columns: number): number {
    if (columns > mostColumns) {
      throw new Excess(
        `A part of the query has more than ${mostColumns} columns with the fields of structs, which are as many as it may have`
      )
    }
    return columns
  }
}
