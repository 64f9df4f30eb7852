/**
 * How much memory the requests of a server may take before they run: frames that have begun to arrive, and complete
 * requests that wait for their turn.
 *
 * `Quota` is the account of a server, and a `Hold` is what one decoder or one waiting request has of it. Neither
 * knows a socket: their owners report sizes, and act on the answer.
 */
import * as Context from "effect/Context"

/** An account of bytes with a limit. */
export class Quota {
  /** In bytes; may be `Infinity`. What has been taken beyond it stays. */
  limit: number
  private taken = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Bytes that are taken at present; never more than the limit was. */
  get used(): number {
    return this.taken
  }

  /** Takes bytes, all of them or none: false if they do not fit. */
  take(bytes: number): boolean {
    if (this.taken + bytes > this.limit) return false
    this.taken += bytes
    return true
  }

  /** Gives back bytes that were taken. */
  give(bytes: number): void {
    this.taken -= bytes
  }
}

/** What one owner holds of a quota. It is given back exactly once, however often the owner lets go. */
export class Hold {
  private readonly quota: Quota
  private bytes = 0

  constructor(quota: Quota) {
    this.quota = quota
  }

  /** Holds so many bytes from now on. False if they do not fit: the hold is then what it was before. */
  resize(bytes: number): boolean {
    const more = bytes - this.bytes
    if (more > 0 && !this.quota.take(more)) return false
    if (more < 0) this.quota.give(-more)
    this.bytes = bytes
    return true
  }

  /** Gives everything back. */
  release(): void {
    this.resize(0)
  }
}

/** Why a request is refused or its connection closed when the quota is used up. */
export const exceeded = (quota: Quota): string =>
  `Unfinished and waiting requests would hold more than ${quota.limit} bytes (maxUnfinishedBytes)`

/** The quota that connections share: a server provides its own, and there is no limit otherwise. */
export const RequestQuota: Context.Reference<Quota> = Context.Reference("dataconn/server/RequestQuota", {
  defaultValue: () => new Quota(Number.POSITIVE_INFINITY)
})
