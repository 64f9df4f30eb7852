/**
 * Random numbers from one seed: the same seed gives the same numbers for ever.
 */

/** The generator sfc32. Children are independent: what one draws changes nothing for another. */
export class Random {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(seed: number) {
    this.a = seed | 0
    this.b = (seed / 2 ** 32) | 0
    this.c = 0x9e3779b9
    for (let i = 0; i < 12; i++) this.next()
  }

  /** The next 32 bits, unsigned. */
  next(): number {
    const result = (((this.a + this.b) | 0) + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + result
    return result >>> 0
  }

  /** An integer from 0 up to `limit`, which is not reached. */
  below(limit: number): number {
    return Math.floor((this.next() / 2 ** 32) * limit)
  }

  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  chance(probability: number): boolean {
    return this.next() < probability * 2 ** 32
  }

  pick<A>(choices: readonly [A, ...ReadonlyArray<A>]): A {
    return choices[this.below(choices.length)] as A
  }

  /** A generator of its own, decided by this one. */
  child(): Random {
    return new Random(this.next() * 2 ** 20 + (this.next() >>> 12))
  }
}
