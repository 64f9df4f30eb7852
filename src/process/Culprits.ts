/**
 * Queries that have ended a process twice, and are not run a third time.
 */
import { createHash } from "node:crypto"
import * as RequestFields from "./RequestFields.ts"

/** How many queries are remembered; the oldest is forgotten first. */
const most = 256

export class Culprits {
  private readonly known = new Set<string>()

  /** Whether a request is one of these queries. Costs nothing while there are none. */
  has(request: Uint8Array): boolean {
    return this.known.size > 0 && this.known.has(keyOf(request))
  }

  add(request: Uint8Array): void {
    this.known.add(keyOf(request))
    if (this.known.size <= most) return
    for (const oldest of this.known) {
      this.known.delete(oldest)
      return
    }
  }
}

const keyOf = (request: Uint8Array): string =>
  createHash("sha256").update(RequestFields.identity(request)).digest("base64")
