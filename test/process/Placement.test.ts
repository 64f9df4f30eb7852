import { assert, describe, it } from "@effect/vitest"
import * as Placement from "../../src/process/Placement.ts"

const options: Placement.Options = { capacity: 3, longMillis: 1000, quarantineMillis: 2000 }
const now = 10_000

const query = (age: number, more: Partial<Placement.Query> = {}): Placement.Query => ({
  startedAt: now - age,
  isSuspect: false,
  isStopping: false,
  avoids: undefined,
  ...more
})

const place = (...running: ReadonlyArray<Placement.Query>): Placement.Place => ({
  isReady: true,
  isComing: false,
  running: new Set(running)
})

const down: Placement.Place = { isReady: false, isComing: true, running: new Set() }
const choose = (places: ReadonlyArray<Placement.Place>, isSuspect = false, keep?: number) =>
  Placement.choose(places, { isSuspect }, now, options, keep)

const long = () => query(5000)
const short = () => query(5)
const suspect = (age: number) => query(age, { isSuspect: true })

describe("a query", () => {
  it("goes where fewest queries run", () => {
    assert.strictEqual(choose([place(short()), place()]), 1)
    assert.strictEqual(choose([place(), place()]), 0)
  })

  it("goes where fewest long ones run, however many short ones there are", () => {
    assert.strictEqual(choose([place(long()), place(short(), short())]), 1)
    assert.strictEqual(choose([place(long(), long()), place(long(), short())]), 1)
  })

  it("avoids those that do not stop before all others", () => {
    assert.strictEqual(choose([place(query(10, { isStopping: true })), place(long(), long())]), 1)
  })

  it("waits where all are full or gone", () => {
    assert.isUndefined(choose([down, place(short(), short(), short())]))
  })

  it("is not put beside a suspect before that has survived its time", () => {
    assert.isUndefined(choose([place(suspect(1999))]))
    assert.strictEqual(choose([place(suspect(2000))]), 0)
  })
})

describe("a suspect", () => {
  it("is tried before queries that are none, and before suspects that began earlier", () => {
    assert.isTrue(Placement.precedes(suspect(10), short()))
    assert.isTrue(Placement.precedes(suspect(10), suspect(20)))
    assert.isTrue(Placement.precedes(suspect(10), suspect(10)))
    assert.isFalse(Placement.precedes(suspect(20), suspect(10)))
    assert.isFalse(Placement.precedes(short(), suspect(10)))
    assert.isFalse(Placement.precedes(short(), short()))
  })

  it("is alone, or beside suspects that have survived their time", () => {
    assert.isUndefined(choose([place(short()), place(suspect(10))], true))
    assert.strictEqual(choose([place(short()), place()], true), 1)
    assert.strictEqual(choose([place(short()), place(suspect(3000))], true), 1)
  })

  it("has a place kept for it: the next to come, or the one with least at risk", () => {
    assert.strictEqual(Placement.reserved([place(), down], now, options), 1)
    assert.strictEqual(Placement.reserved([place(long()), place(short(), short())], now, options), 1)
    assert.isUndefined(choose([place(short())], false, 0))
    assert.strictEqual(choose([place(short()), place(short(), short())], false, 0), 1)
  })
})
