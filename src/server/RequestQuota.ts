/**
 * The memory that a server's requests may take before they run: incomplete frames, and complete requests that
 * wait for their turn.
 *
 * `Quota` is the account of a server, and a `Hold` is the share of one decoder or one waiting request.
 * Neither knows a socket: their owners report sizes, and act on the result.
 */
import * as Context from "effect/Context"

/** An account of bytes with a limit. */
export class Quota {
  /** In bytes; may be `Infinity`. Bytes taken before the limit was lowered stay. */
  limit: number
  private taken = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** The number of bytes that are taken at present; never more than the limit was. */
  get used(): number {
    return this.taken
  }

  /** Takes bytes, all or none: false if they do not fit. */
  take(bytes: number): boolean {
    if (this.taken + bytes > this.limit) return false
    this.taken += bytes
    return true
  }

  /** Returns bytes that were taken. */
  give(bytes: number): void {
    this.taken -= bytes
  }
}

/** One owner's share of a quota. It is returned exactly once, however often the owner releases it. */
export class Hold {
  private readonly quota: Quota
  private bytes = 0

  constructor(quota: Quota) {
    this.quota = quota
  }

  /** Sets the number of held bytes. False if they do not fit: the hold is then unchanged. */
  resize(bytes: number): boolean {
    const more = bytes - this.bytes
    if (more > 0 && !this.quota.take(more)) return false
    if (more < 0) this.quota.give(-more)
    this.bytes = bytes
    return true
  }

  /** Returns all bytes. */
  release(): void {
    this.resize(0)
  }
}

/** The text for a request that is refused, or a connection that is closed, because the quota is used up. */
export const exceeded = (quota: Quota): string =>
  `Unfinished and waiting requests would hold more than ${quota.limit} bytes (maxUnfinishedBytes)`

/** The quota that connections share: a server provides its own. Default: no limit. */
export const RequestQuota: Context.Reference<Quota> = Context.Reference("dataconn/server/RequestQuota", {
  defaultValue: () => new Quota(Number.POSITIVE_INFINITY)
})
