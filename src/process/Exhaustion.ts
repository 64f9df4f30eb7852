/**
 * When a process has used up the memory that it may take, and uses little of it: pure.
 *
 * The C library keeps the addresses of small blocks that were freed for other small blocks, and what has an address
 * counts towards the limit of a process. After many small blocks there may be none left for large ones, for good.
 */

/** The memory of a process, in bytes. */
export interface Usage {
  /** What counts towards its limit. */
  readonly mapped: number
  /** What is in the memory of the machine. */
  readonly resident: number
}

/** Of the limit: more is mapped of a process that is exhausted, and less is resident. */
const mostMapped = 0.75
const leastResident = 0.5

/** Whether this is so, where a process could take `limit` bytes more than it had when it was `ready`. */
const isWasted = (ready: Usage, now: Usage, limit: number): boolean =>
  now.mapped - ready.mapped > limit * mostMapped && now.resident - ready.resident < limit * leastResident

/**
 * How often that was so, one time after the other. A process that has just taken memory has not written to all of it
 * yet, so once says nothing.
 */
export const count = (before: number, ready: Usage, now: Usage, limit: number): number =>
  isWasted(ready, now, limit) ? before + 1 : 0
