/**
 * How often DuckDB's optimizer goes over the parts of a query. Its filter pushdown goes over what is below an
 * aggregate twice, so nested ones double that each time. A subquery whose value is asked for, or whether it has
 * rows, is an aggregate too. Pure.
 */

interface Inner {
  readonly work: Work
  /** Whether it stands there, or is named there. */
  readonly isDefinition: boolean
  times: number
}

/** A query, or a part of one, and what is planned within it. */
export class Work {
  /** How often what is within it is gone over whenever it is itself. */
  times = 1
  private readonly inner: Array<Inner> = []
  /** All its parts, and those that are in nothing within it. */
  private parts = 0
  private own = 0
  private references = 0
  private placing: "defined" | "named" | "named once" = "defined"
  private known: number | undefined

  /** How much has been put within it. */
  get mark(): number {
    return this.inner.length
  }

  /** How many parts the queries have that have been put within it since a mark. */
  partsSince(mark: number): number {
    let parts = 0
    for (let i = mark; i < this.inner.length; i++) parts += this.inner[i]?.work.parts ?? 0
    return parts
  }

  /** Puts a query within it. */
  add(): Work {
    const work = new Work()
    this.inner.push({ work, isDefinition: true, times: 1 })
    return work
  }

  /** Gives it a name. DuckDB plans it where it is named if that is in one place, or as it is told. */
  name(materialized: unknown): void {
    if (materialized === "CTE_MATERIALIZE_NEVER") this.placing = "named"
    else if (materialized !== "CTE_MATERIALIZE_ALWAYS") this.placing = "named once"
  }

  /** Names a query within it. */
  refer(work: Work): void {
    work.references++
    this.inner.push({ work, isDefinition: false, times: 1 })
  }

  /** Goes more often over what has been put within it since a mark. */
  repeat(mark: number, times: number): void {
    if (times === 1) return
    for (let i = mark; i < this.inner.length; i++) (this.inner[i] as Inner).times *= times
  }

  /** Closes it, with the parts that have been read of it and of all within it. */
  close(parts: number): void {
    this.parts = parts
    this.own = parts
    for (const { isDefinition, work } of this.inner) if (isDefinition) this.own -= work.parts
  }

  private get isInlined(): boolean {
    return this.placing === "named" || (this.placing === "named once" && this.references === 1)
  }

  /** How many parts are gone over, once everything has been read. */
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
