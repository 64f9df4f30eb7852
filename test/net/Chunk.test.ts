import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Chunk from "../../src/net/Chunk.ts"

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i & 0xff)

/** An owned chunk, and how often it was given back. */
const own = (length: number) => {
  const given: Array<Uint8Array> = []
  const chunk = Chunk.owned(bytes(length), (each) => void given.push(each))
  return { chunk, given }
}

describe("an owned chunk", () => {
  it("is given back to its owner once, however often it is released", () => {
    const { chunk, given } = own(3)
    assert.isTrue(Chunk.isOwned(chunk))
    assert.deepStrictEqual(given, [])
    for (let i = 0; i < 3; i++) Chunk.release(chunk)
    assert.isFalse(Chunk.isOwned(chunk))
    assert.strictEqual(given.length, 1)
    assert.strictEqual(given[0], chunk)
  })

  it("may be owned again, as memory that is used again is", () => {
    const { chunk, given } = own(3)
    Chunk.release(chunk)
    Chunk.owned(chunk, (each) => void given.push(each))
    Chunk.release(chunk)
    Chunk.release(chunk)
    assert.strictEqual(given.length, 2)
  })

  it("is not given back twice by an owner that releases it itself, or fails", () => {
    let times = 0
    const chunk = Chunk.owned(bytes(1), (each) => {
      times++
      Chunk.release(each)
      throw new Error("broken")
    })
    assert.throws(() => Chunk.release(chunk), "broken")
    Chunk.release(chunk)
    assert.strictEqual(times, 1)
  })

  it("leaves its views without an owner", () => {
    const { chunk, given } = own(10)
    const view = chunk.subarray(2, 5)
    assert.isFalse(Chunk.isOwned(view))
    Chunk.release(view)
    assert.deepStrictEqual(given, [])
  })

  it("shows its owner neither as bytes nor as a key", () => {
    const { chunk } = own(3)
    assert.deepStrictEqual([...chunk], [0, 1, 2])
    assert.strictEqual(JSON.stringify(Object.keys(chunk)), JSON.stringify(Object.keys(bytes(3))))
  })
})

describe("keep", () => {
  it("copies a chunk that is owned, and gives it back", () => {
    for (const length of [0, 1, 100, 4096, 10_000]) {
      const { chunk, given } = own(length)
      const kept = Chunk.keep(chunk)
      assert.strictEqual(given.length, 1)
      chunk.fill(0xee)
      assert.deepStrictEqual(kept, bytes(length))
      assert.strictEqual(kept.constructor, Uint8Array)
      assert.isFalse(Chunk.isOwned(kept))
    }
  })

  it("is the chunk itself where nobody owns it, or it was given back", () => {
    const plain = bytes(5)
    assert.strictEqual(Chunk.keep(plain), plain)
  })
})

describe("release", () => {
  it("does nothing to a chunk that nobody owns", () => {
    const plain = bytes(3)
    Chunk.release(plain)
    assert.deepStrictEqual(plain, bytes(3))
  })
})

describe("a divided chunk", () => {
  it("is given back once, when all of its parts and the divider have been released, in whichever order", () => {
    const arbitrary = fc.record({
      parts: fc.array(fc.tuple(fc.nat(20), fc.nat(10)), { maxLength: 6 }),
      order: fc.array(fc.nat(6), { maxLength: 30 })
    })
    fc.assert(
      fc.property(arbitrary, ({ order, parts }) => {
        const { chunk, given } = own(32)
        const divided = new Chunk.Divided(chunk)
        const views = parts.map(([start, length]) => divided.part(start, length))
        views.forEach((view, i) => {
          const [start, length] = parts[i] ?? [0, 0]
          assert.deepStrictEqual(view, bytes(32).subarray(start, start + length))
          assert.strictEqual(view.buffer, chunk.buffer)
        })
        const left = new Set(views)
        divided.end()
        for (const i of order) {
          assert.strictEqual(given.length, left.size === 0 ? 1 : 0)
          const view = views[i]
          if (view === undefined) continue
          Chunk.release(view)
          left.delete(view)
        }
        for (const view of left) Chunk.release(view)
        assert.strictEqual(given.length, 1)
      })
    )
  })

  it("is held by the divider while parts may follow", () => {
    const { chunk, given } = own(10)
    const divided = new Chunk.Divided(chunk)
    Chunk.release(divided.part(0, 5))
    assert.deepStrictEqual(given, [])
    Chunk.release(divided.part(5, 5))
    divided.end()
    assert.strictEqual(given.length, 1)
  })
})
