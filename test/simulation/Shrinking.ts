/**
 * Finds the smallest scenario in which a seed still fails in the same way.
 */
import type { Outcome, Subject, Variation } from "./Subject.ts"

/** A variation of a seed's scenario, and what came of it. */
export interface Varied<V extends Variation> {
  readonly variation: V
  readonly outcome: Outcome
}

/** A failure without its numbers. */
export const kind = (failure: string): string => failure.replaceAll(/\d+/g, "N")

// A smaller scenario often fails in another order of its fibers only.
const mostOrders = 5

/** The smallest scenario, with no more to read than before, that is found before `isLate`; at least the one that is given. */
export const shrink = <S, V extends Variation>(
  subject: Subject<S, V>,
  given: Varied<V>,
  isLate: () => boolean
): Varied<V> => {
  const { failures, seed } = given.outcome
  const sought = kind(failures[0] ?? "")
  let best = given

  let scenario = subject.apply(subject.scenario(seed, best.variation), best.variation.without)

  const isSmaller = (reduction: string): boolean => {
    const reduced = subject.apply(scenario, [reduction])
    if (JSON.stringify(reduced) === JSON.stringify(scenario)) return false
    const without = [...best.variation.without, reduction]
    const { order } = best.variation
    const others = Array.from({ length: mostOrders }, (_, i) => i).filter((other) => other !== order)
    for (const next of [order, ...others]) {
      if (isLate()) return false
      const variation = { ...best.variation, without, order: next }
      const outcome = subject.run(seed, variation)
      const longer = outcome.transcript.length > best.outcome.transcript.length
      if (longer || !outcome.failures.some((failure) => kind(failure) === sought)) continue
      best = { variation, outcome }
      scenario = reduced
      return true
    }
    return false
  }

  // What could not be left out with all else there may be later.
  let smaller = true
  while (smaller && !isLate()) {
    smaller = false
    for (const reduction of subject.candidates(scenario)) smaller = isSmaller(reduction) || smaller
  }
  return best
}
