/**
 * The counts of a load, for one kind of request and one period. Tallies can be added.
 */
import * as Hdr from "hdr-histogram-js"

/** Latencies in microseconds, to three digits, up to an hour. */
export const histogram = (): Hdr.Histogram =>
  Hdr.build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: 3_600_000_000,
    numberOfSignificantValueDigits: 3,
    autoResize: false,
    useWebAssembly: false
  })

const counters = {
  /** Responses that ended with their whole result, or with the intended cancel. */
  complete: 0,
  rejected: 0,
  failed: 0,
  /** Complete by the protocol, but with an unexpected result. */
  wrong: 0,
  /** The connection ended before the response did. */
  lost: 0,
  /** Connections that ended without a request in flight. */
  closed: 0,
  /** Responses that had not ended when the time was over. */
  unfinished: 0,
  /** Requests that were due at their rate while no connection was free. */
  unsent: 0,
  heartbeats: 0,
  /** Bytes of results. */
  bytes: 0
}

export type Counters = typeof counters

/** How many different errors are counted separately. */
const maxErrors = 20
const otherErrors = "other errors"

/** A tally in the form in which a thread sends it. */
export interface Encoded {
  readonly counters: Counters
  readonly errors: ReadonlyArray<readonly [string, number]>
  readonly histograms: Record<keyof Histograms, string>
}

export interface Histograms {
  /**
   * From the sending of a request to the end of its response; for cancelled responses, from the
   * cancel to its end.
   */
  readonly raw: Hdr.Histogram
  /** The same from the time at which the request was due: at a rate this includes its wait. */
  readonly corrected: Hdr.Histogram
  /** From the sending of a request to the first byte of the result. */
  readonly firstByte: Hdr.Histogram
}

const names = ["raw", "corrected", "firstByte"] as const

export class Tally {
  readonly counters: Counters = { ...counters }
  readonly errors = new Map<string, number>()
  readonly histograms: Histograms = { raw: histogram(), corrected: histogram(), firstByte: histogram() }

  /** Counts a failure, by the words of its error. */
  error(counter: keyof Counters, words: string): void {
    this.counters[counter]++
    this.count(words, 1)
  }

  private count(words: string, times: number): void {
    const key = this.errors.has(words) || this.errors.size < maxErrors ? words : otherErrors
    this.errors.set(key, (this.errors.get(key) ?? 0) + times)
  }

  add(other: Tally): void {
    for (const name of Object.keys(counters) as Array<keyof Counters>) {
      this.counters[name] += other.counters[name]
    }
    for (const [words, times] of other.errors) this.count(words, times)
    for (const name of names) this.histograms[name].add(other.histograms[name])
  }

  encode(): Encoded {
    const encoded = names.map((name) => [name, Hdr.encodeIntoCompressedBase64(this.histograms[name])])
    return {
      counters: this.counters,
      errors: [...this.errors],
      histograms: Object.fromEntries(encoded) as Encoded["histograms"]
    }
  }

  static decode({ counters, errors, histograms }: Encoded): Tally {
    const tally = new Tally()
    Object.assign(tally.counters, counters)
    for (const [words, times] of errors) tally.errors.set(words, times)
    for (const name of names) {
      tally.histograms[name].add(Hdr.decodeFromCompressedBase64(histograms[name], 32, false))
    }
    return tally
  }
}

/** Percentiles of a histogram in milliseconds. */
export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** `undefined` if nothing was recorded. */
export const percentiles = (values: Hdr.Histogram): Percentiles | undefined => {
  if (values.totalCount === 0) return undefined
  const at = (percentile: number) => values.getValueAtPercentile(percentile) / 1000
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: values.maxValue / 1000 }
}
