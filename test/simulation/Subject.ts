/**
 * What can be simulated: the runs of its seeds, and how their scenarios become smaller.
 */

export interface Outcome {
  readonly seed: number
  /** What was found wrong; nothing is the aim. */
  readonly failures: ReadonlyArray<string>
  readonly transcript: ReadonlyArray<string>
  /** Two runs with the same hash did the same. */
  readonly hash: string
  readonly tasks: number
  /** How much virtual time has passed. */
  readonly millis: number
}

/** How a run differs from the one that its seed decides. `V` is what a subject has besides. */
export interface Variation {
  /** What is taken from the scenario; see `Reduction`. */
  readonly without: ReadonlyArray<string>
  /** Which order fibers run in; 0 is the seed's own. */
  readonly order: number
}

export interface Subject<S, V extends Variation> {
  /** What the command line is told to simulate this, before the seeds. */
  readonly flags: (variation: V) => ReadonlyArray<string>
  /** Runs a seed to its end, on the caller's stack. */
  readonly run: (seed: number, variation: V) => Outcome
  /** What a seed decides on. */
  readonly scenario: (seed: number, variation: V) => S
  /** The scenario without what is named. */
  readonly apply: (scenario: S, without: ReadonlyArray<string>) => S
  /** What a scenario could be without, what makes it smallest first. */
  readonly candidates: (scenario: S) => ReadonlyArray<string>
}
