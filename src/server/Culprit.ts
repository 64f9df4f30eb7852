/**
 * What a connection waits for: who keeps it from ending, and its server from stopping.
 */

/** What belongs to a query and may take for ever. */
export type Work = "query" | "finalizer"

const works: Record<Work, string> = {
  query: "its query has not ended: the engine does not heed its interruption",
  finalizer: "a finalizer of its query has not ended"
}

/** Kept by a connection, and asked when it should have ended and has not. */
export class Culprit {
  /** The event that is being published. */
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
