/**
 * Whether values grow over time, in spite of their ups and downs: the slope of Theil and Sen, and between which
 * two the true one lies after Kendall. It asks for no kind of distribution, and a few values that are far off
 * change next to nothing.
 */

/** By how much values grow in a second. */
export interface Trend {
  readonly slope: number
  readonly lowest: number
  readonly highest: number
}

/** A value and when it was taken, in seconds. */
export type Point = readonly [seconds: number, value: number]

/** Standard deviations on either side: beyond them lies one in a thousand. */
const deviations = 3.29

const between = ([t, a]: Point, [u, b]: Point): number => (b - a) / (u - t)

/** Of points in the order of their times, no two of which are the same. */
export const of = (points: ReadonlyArray<Point>): Trend => {
  const slopes = points
    .flatMap((later, i) => points.slice(0, i).map((earlier) => between(earlier, later)))
    .sort((a, b) => a - b)
  const n = points.length
  const spread = deviations * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)
  const rank = (at: number) => slopes[Math.round(at)]
  const middle = (slopes.length - 1) / 2
  return {
    slope: ((rank(Math.floor(middle)) ?? 0) + (rank(Math.ceil(middle)) ?? 0)) / 2,
    // Of few points nothing can be said.
    lowest: rank(middle - spread / 2) ?? Number.NEGATIVE_INFINITY,
    highest: rank(middle + spread / 2) ?? Number.POSITIVE_INFINITY
  }
}
