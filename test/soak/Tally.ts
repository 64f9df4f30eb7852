/**
 * What clients have done since they last told of it.
 */
export interface Tally {
  completed: number
  cancelled: number
  /** Responses that the client left in the middle, by closing or resetting its connection. */
  abandoned: number
  failed: number
  /** Of results, whole or not. */
  bytes: number
  /** The first few failures in words. */
  failures: Array<string>
}

export const make = (): Tally => ({
  completed: 0,
  cancelled: 0,
  abandoned: 0,
  failed: 0,
  bytes: 0,
  failures: []
})

const mostFailures = 10

export const fail = (tally: Tally, failure: string): void => {
  tally.failed++
  if (tally.failures.length < mostFailures) tally.failures.push(failure)
}

export const add = (to: Tally, from: Tally): void => {
  to.completed += from.completed
  to.cancelled += from.cancelled
  to.abandoned += from.abandoned
  to.failed += from.failed
  to.bytes += from.bytes
  to.failures.push(...from.failures.slice(0, mostFailures - to.failures.length))
}
