import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import * as SharedQueue from "../../src/threads/SharedQueue.ts"

/** The views of two threads. */
const queue = (capacity: number, counted = 0) => {
  const memory = SharedQueue.allocate(capacity)
  // As if so many bytes had been written and read.
  new Int32Array(memory).fill(counted, 0, 2)
  return { writer: new SharedQueue.SharedQueue(memory), reader: new SharedQueue.SharedQueue(memory) }
}

const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)

const take = (reader: SharedQueue.SharedQueue, most: number): ReadonlyArray<number> => {
  const into = new Uint8Array(most)
  return [...into.subarray(0, reader.read(into))]
}

describe("a queue of bytes in shared memory", () => {
  it("takes what there is room for, and gives it in its order", () => {
    const { reader, writer } = queue(4)
    assert.strictEqual(writer.write(bytes(1, 2, 3)), 3)
    assert.strictEqual(writer.write(bytes(4, 5, 6)), 1)
    assert.strictEqual(writer.write(bytes(7)), 0)
    assert.deepStrictEqual(take(reader, 3), [1, 2, 3])
    assert.strictEqual(writer.write(bytes(5, 6, 7, 8)), 3)
    assert.strictEqual(reader.size, 4)
    assert.deepStrictEqual(take(reader, 9), [4, 5, 6, 7])
    assert.deepStrictEqual(take(reader, 9), [])
    assert.strictEqual(writer.room, 4)
  })

  for (const counted of [2 ** 31 - 3, -3]) {
    it(`goes on where its counts go over, from ${counted >>> 0}`, () => {
      const { reader, writer } = queue(8, counted)
      for (let round = 0; round < 5; round++) {
        assert.strictEqual(writer.write(bytes(1, 2, 3, 4, 5, 6)), 6)
        assert.strictEqual(reader.size, 6)
        assert.strictEqual(writer.room, 2)
        assert.deepStrictEqual(take(reader, 8), [1, 2, 3, 4, 5, 6])
      }
    })
  }

  it("loses and invents nothing, whatever the sizes are", () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(100)), { minLength: 50, maxLength: 200 })
    fc.assert(
      fc.property(steps, (steps) => {
        const { reader, writer } = queue(64)
        let written = 0
        let taken = 0
        for (const [isWrite, length] of steps) {
          if (isWrite) {
            const chunk = Uint8Array.from({ length }, (_, i) => (written + i) % 251)
            const expected = Math.min(length, writer.room)
            assert.strictEqual(writer.write(chunk), expected)
            written += expected
          } else {
            for (const byte of take(reader, length)) assert.strictEqual(byte, taken++ % 251)
          }
          assert.strictEqual(reader.size, written - taken)
        }
      })
    )
  })

  it("tells once that the other thread waits", () => {
    const { reader, writer } = queue(4)
    assert.isFalse(writer.wakesReader())
    reader.awaitBytes()
    assert.isTrue(writer.wakesReader())
    assert.isFalse(writer.wakesReader())
    writer.awaitRoom()
    assert.isTrue(reader.wakesWriter())
    assert.isFalse(reader.wakesWriter())
  })

  it("has one end, and is abandoned by its reader", () => {
    const { reader, writer } = queue(4)
    assert.strictEqual(reader.ending, "open")
    writer.end("ended")
    writer.end("dropped")
    assert.strictEqual(reader.ending, "ended")
    assert.isFalse(writer.isAbandoned)
    reader.abandon()
    assert.isTrue(writer.isAbandoned)
  })

  it("has a capacity that is a power of two", () => {
    for (const capacity of [0, 3, -8, 1.5, Number.NaN]) {
      assert.throws(() => SharedQueue.allocate(capacity), /^capacity must be a power of two, and is /)
    }
  })
})
