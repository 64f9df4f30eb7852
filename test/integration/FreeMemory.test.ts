import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as CLibrary from "../../src/process/CLibrary.ts"
import * as FreeMemory from "../../src/process/FreeMemory.ts"
import * as Garbage from "../support/Garbage.ts"

const MiB = 1024 ** 2

/** Memory in pieces, of which one in a hundred is kept: the allocator cannot give back what lies between by itself. */
const fragments = (): ReadonlyArray<Uint8Array> =>
  Array.from({ length: 4000 }, () => Buffer.allocUnsafeSlow(100_000).fill(1)).filter((_, i) => i % 100 === 0)

describe.runIf(CLibrary.trim() !== undefined)("memory that the C library holds", () => {
  it.effect("goes back to the system within 15 seconds, once it is much", () =>
    Effect.gen(function* () {
      yield* Effect.forkChild(FreeMemory.always, { startImmediately: true })
      const before = process.memoryUsage.rss()
      const kept = fragments()
      yield* Garbage.collect
      // The second waits until what the first has found is freed.
      yield* Garbage.collect
      const held = process.memoryUsage.rss()
      assert.isAbove(held - before, 200 * MiB)
      yield* TestClock.adjust("15 seconds")
      assert.isBelow(process.memoryUsage.rss() - before, 100 * MiB)
      assert.strictEqual(kept.length, 40)
    })
  )
})
