/** What a query may become when it is bound. */

/** The columns of a part of a query. DuckDB binds 16,000 in 0.3 s, and takes the square of that for more. */
const mostColumns = 10_000

/** The columns of all its parts. */
const mostColumnsInAll = 300_000

/** The parts of a query that names stand for. DuckDB binds 65,000 in 3 s. */
const mostParts = 50_000

/** The parts that are planned, as often as that is. DuckDB takes 0.1 s for as many, and up to 2 s if they are long sums. */
const mostPlanned = 1_500_000

/** DuckDB makes this many expressions of each column that it summarizes. */
export const partsOfSummary = 20

/** How often DuckDB binds or plans the operands of BETWEEN, and what is summarized or unpivoted, about. */
export const timesOf = { between: 3, summary: 4, unpivot: 2 }

/** Thrown in the middle of a query. */
export class Excess {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }
}

export class Budget {
  private copied = 0
  private columns = 0

  /** Takes parts that are bound once more. */
  copy(parts: number): void {
    this.copied += parts
    if (this.copied > mostParts) {
      throw new Excess(
        `The expressions and queries that the query's names stand for have more than ${mostParts} parts`
      )
    }
  }

  /** Takes the columns of a part. */
  count(columns: number): void {
    this.columns += columns
    if (this.columns > mostColumnsInAll) {
      throw new Excess(
        `The parts of the query have more than ${mostColumnsInAll} columns, which are as many as they may have together`
      )
    }
  }

  /** Takes the parts that are planned. */
  plan(parts: number): void {
    if (parts > mostPlanned) {
      throw new Excess(
        `The aggregates and subqueries within each other have more than ${mostPlanned} parts, because DuckDB plans twice what is within one; nest them less deeply, or use WITH … AS MATERIALIZED`
      )
    }
  }

  /** The columns of a part, if they are not too many. */
  bounded(columns: number): number {
    if (columns > mostColumns) {
      throw new Excess(
        `A part of the query has more than ${mostColumns} columns with the fields of structs, which are as many as it may have`
      )
    }
    return columns
  }
}
