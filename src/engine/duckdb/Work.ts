/**
 * How often DuckDB's optimizer traverses the parts of a query. Its filter pushdown traverses everything below
 * an aggregate twice, so each nested aggregate doubles that. A subquery used for its value, or for whether it
 * has rows, is an aggregate too. Pure.
 */

interface Inner {
  readonly work: Work
  /** Whether the query is defined here, or only named. */
  readonly isDefinition: boolean
  times: number
}

/** A query, or a part of one, with the planned queries within it. */
export class Work {
  /** How often its inner queries are traversed for each traversal of its own. */
  times = 1
  private readonly inner: Array<Inner> = []
  /** All its parts, and the parts that belong to no inner query. */
  private parts = 0
  private own = 0
  private references = 0
  private placing: "defined" | "named" | "named once" = "defined"
  private known: number | undefined

  /** The number of inner queries so far. */
  get mark(): number {
    return this.inner.length
  }

  /** How many parts the inner queries have that were added since a mark. */
  partsSince(mark: number): number {
    let parts = 0
    for (let i = mark; i < this.inner.length; i++) parts += this.inner[i]?.work.parts ?? 0
    return parts
  }

  /** Adds an inner query. */
  add(): Work {
    const work = new Work()
    this.inner.push({ work, isDefinition: true, times: 1 })
    return work
  }

  /**
   * Gives the query a name. DuckDB plans it at its reference if there is only one, or as `materialized` says.
   */
  name(materialized: unknown): void {
    if (materialized === "CTE_MATERIALIZE_NEVER") this.placing = "named"
    else if (materialized !== "CTE_MATERIALIZE_ALWAYS") this.placing = "named once"
  }

  /** Adds a reference to a named query. */
  refer(work: Work): void {
    work.references++
    this.inner.push({ work, isDefinition: false, times: 1 })
  }

  /** Multiplies the traversals of the inner queries added since a mark. */
  repeat(mark: number, times: number): void {
    if (times === 1) return
    for (let i = mark; i < this.inner.length; i++) (this.inner[i] as Inner).times *= times
  }

  /** Closes it, with the parts read of it and of all within it. */
  close(parts: number): void {
    this.parts = parts
    this.own = parts
    for (const { isDefinition, work } of this.inner) if (isDefinition) this.own -= work.parts
  }

  private get isInlined(): boolean {
    return this.placing === "named" || (this.placing === "named once" && this.references === 1)
  }

  /** How many parts are traversed, once everything has been read. */
  get total(): number {
    if (this.known !== undefined) return this.known
    let within = 0
    for (const { isDefinition, times, work } of this.inner) {
      if (work.isInlined !== isDefinition) within += times * work.total
    }
    this.known = this.own + this.times * within
    return this.known
  }
}
