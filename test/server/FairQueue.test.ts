import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { FairQueue } from "../../src/server/FairQueue.ts"

/** An item knows its address and when it came. */
interface Item {
  readonly address: string
  readonly at: number
}

const addresses = ["a", "b", "c", "d"]

type Operation =
  | { readonly _tag: "enter"; readonly address: string }
  | { readonly _tag: "next" }
  | { readonly _tag: "delete"; readonly which: number }

const operations: fc.Arbitrary<ReadonlyArray<Operation>> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ _tag: fc.constant("enter" as const), address: fc.constantFrom(...addresses) })
    },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("next" as const) }) },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("delete" as const), which: fc.nat() }) }
  ),
  { maxLength: 200 }
)

/** A queue, and what must be in it, in the order of arrival. */
class Watched {
  readonly queue: FairQueue<Item>
  readonly capacity: number
  waiting: ReadonlyArray<Item> = []
  private clock = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.queue = new FairQueue(capacity)
  }

  of(address: string): ReadonlyArray<Item> {
    return this.waiting.filter((item) => item.address === address)
  }

  private get most(): number {
    return Math.max(0, ...addresses.map((address) => this.of(address).length))
  }

  enter(address: string): void {
    const item = { address, at: this.clock++ }
    const [before, own, most] = [this.waiting.length, this.of(address).length, this.most]
    const entered = this.queue.enter(address, item)
    switch (entered._tag) {
      case "Waiting":
        assert.isBelow(before, this.capacity)
        this.waiting = [...this.waiting, item]
        return
      case "Full":
        assert.strictEqual(before, this.capacity)
        assert.strictEqual(own, most, "none has more than the address that is turned away")
        return
      case "Displaced": {
        assert.strictEqual(before, this.capacity)
        const theirs = this.of(entered.item.address)
        assert.isAbove(theirs.length, own)
        assert.strictEqual(theirs.length, most)
        assert.strictEqual(entered.item, theirs.at(-1), "the newest of the address that has most")
        this.waiting = [...this.waiting.filter((each) => each !== entered.item), item]
      }
    }
  }

  next(): Item | undefined {
    const item = this.queue.next()
    if (item === undefined) {
      assert.lengthOf(this.waiting, 0)
    } else {
      assert.strictEqual(item, this.of(item.address)[0], "the order within an address")
      this.waiting = this.waiting.filter((each) => each !== item)
    }
    return item
  }

  delete(which: number): void {
    const item = this.waiting[which % Math.max(1, this.waiting.length)]
    if (item === undefined) return
    assert.isTrue(this.queue.delete(item))
    assert.isFalse(this.queue.delete(item))
    this.waiting = this.waiting.filter((each) => each !== item)
  }

  run(operation: Operation): void {
    if (operation._tag === "enter") this.enter(operation.address)
    else if (operation._tag === "next") this.next()
    else this.delete(operation.which)
    this.check()
  }

  check(): void {
    assert.strictEqual(this.queue.size, this.waiting.length)
    assert.isAtMost(this.queue.size, this.capacity)
    for (const address of addresses) assert.strictEqual(this.queue.count(address), this.of(address).length)
  }
}

const capacities = fc.integer({ min: 0, max: 12 })

describe("a fair queue", () => {
  it("gives turns to addresses, not to those who come more often", () => {
    const watched = new Watched(10)
    for (const address of "aaaabbc") watched.enter(address)
    const order = Array.from({ length: 7 }, () => watched.next()?.address)
    assert.strictEqual(order.join(""), "abcabaa")
    assert.isUndefined(watched.next())
  })

  it("lets one address fill it while nobody else comes, and makes room for others", () => {
    const watched = new Watched(4)
    for (const address of "aaaaa") watched.enter(address)
    assert.lengthOf(watched.of("a"), 4)
    for (const address of "bcbb") watched.enter(address)
    assert.deepStrictEqual(
      ["a", "b", "c"].map((address) => watched.of(address).length),
      [1, 2, 1]
    )
  })

  it("has no place for anything if its capacity is 0", () => {
    const queue = new FairQueue<string>(0)
    assert.deepStrictEqual(queue.enter("a", "one"), { _tag: "Full" })
    assert.isUndefined(queue.next())
  })

  it("keeps its counts, its bound, the order within an address and the rule of who is displaced", () => {
    fc.assert(
      fc.property(capacities, operations, (capacity, all) => {
        const watched = new Watched(capacity)
        for (const operation of all) watched.run(operation)
        while (watched.waiting.length > 0) watched.next()
        watched.check()
        assert.isUndefined(watched.next())
      })
    )
  })

  it("gives nobody a second turn before each address that waits has had one", () => {
    fc.assert(
      fc.property(capacities, operations, operations, (capacity, before, meanwhile) => {
        const watched = new Watched(capacity)
        for (const operation of before) watched.run(operation)
        for (const address of addresses) {
          const first = watched.of(address)[0]
          if (first === undefined) continue
          // However many come meanwhile, whoever waits is served after at most one turn of each other address.
          const served: Array<string> = []
          for (const operation of meanwhile) {
            if (!watched.waiting.includes(first)) break
            if (operation._tag === "enter") watched.run(operation)
            else if (operation._tag === "next") served.push(watched.next()?.address ?? "")
          }
          assert.strictEqual(
            new Set(served).size,
            served.length,
            `turns before ${address}: ${served.join("")}`
          )
        }
      })
    )
  })
})
