/**
 * How a bench is run.
 */
export interface Options {
  /** Only for a moment, to see that it works. */
  readonly quick: boolean
  /** How often each measurement is repeated. */
  readonly repeats: number
}
