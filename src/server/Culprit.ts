/** The work that a connection waits for, which keeps it from ending and its server from stopping. */

/** Work of a query that may never end. */
export type Work = "query" | "finalizer"

const works: Record<Work, string> = {
  query: "its query has not ended: the engine does not heed its interruption",
  finalizer: "a finalizer of its query has not ended"
}

/** Updated by a connection, and read if the connection has not ended in time. */
export class Culprit {
  /** The event whose publishing is under way. */
  private event: string | undefined
  work: Work | undefined

  publishing(event: string | undefined): void {
    this.event = event
  }

  get description(): string {
    if (this.event !== undefined) return `ConnectionEvents has not taken its event ${this.event}`
    return this.work === undefined ? "it has not ended" : works[this.work]
  }
}
