/**
 * Medians, and figures as they are shown.
 */

/** One line of a bench's table. Figures that could not be taken are `null`. */
export type Row = Readonly<Record<string, string | number | null>>

export const median = (numbers: ReadonlyArray<number>): number => quantile(numbers, 0.5)

export const quantile = (numbers: ReadonlyArray<number>, share: number): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) * share)] ?? Number.NaN

/** A number of three digits that matter. */
export const round = <A extends number | null>(value: A): A =>
  (value === null ? value : Number(value.toPrecision(3))) as A
