/**
 * Detects a process that has used up the memory that it may take, and uses little of it: pure.
 *
 * The C library keeps the address space of small freed blocks for other small blocks, and mapped
 * address space counts towards a process's limit. After many small blocks there may permanently be none
 * left for large ones.
 */

/** The memory of a process, in bytes. */
export interface Usage {
  /** The memory that counts towards the limit. */
  readonly mapped: number
  /** The resident memory. */
  readonly resident: number
}

/** Shares of the limit: an exhausted process has more mapped and less resident than these. */
const mostMapped = 0.75
const leastResident = 0.5

/**
 * Whether the memory is wasted, for a process that could take `limit` bytes more than it had
 * when it was `ready`.
 */
const isWasted = (ready: Usage, now: Usage, limit: number): boolean =>
  now.mapped - ready.mapped > limit * mostMapped && now.resident - ready.resident < limit * leastResident

/**
 * How many times in a row memory was wasted. A process that has just taken memory has not written to all of
 * it yet, so a single time means nothing.
 */
export const count = (before: number, ready: Usage, now: Usage, limit: number): number =>
  isWasted(ready, now, limit) ? before + 1 : 0
