import { Writable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import * as LogSink from "../../src/server/LogSink.ts"

/** A stream whose reader takes one line whenever it is asked to. */
const slow = () => {
  const taken: Array<string> = []
  const waiting: Array<() => void> = []
  const stream = new Writable({
    write: (chunk, _, done) => {
      waiting.push(() => {
        taken.push(String(chunk))
        done()
      })
    },
    highWaterMark: 1
  })
  const read = async () => {
    waiting.shift()?.()
    // The stream goes on in a turn of its own.
    await new Promise(setImmediate)
  }
  return { stream, taken, read }
}

const dropped = (count: number) => `${count} dropped`

describe("a sink", () => {
  it("holds no more than it may, drops what is beyond, and says how much that was", async () => {
    const { read, stream, taken } = slow()
    const sink = LogSink.toStream(stream, { maxBuffered: 12, dropped })
    for (const line of ["one", "two", "three", "four", "five"]) {
      sink(line)
      assert.isAtMost(stream.writableLength, 12)
    }
    for (let i = 0; i < 5; i++) await read()
    assert.deepStrictEqual(taken, ["one\n", "two\n", "3 dropped\n"])
  })

  it("says so before the next line, if there is room for both", async () => {
    const { read, stream, taken } = slow()
    const sink = LogSink.toStream(stream, { maxBuffered: 24, dropped })
    for (const line of ["one", "a line of many words", "two"]) sink(line)
    await read()
    sink("three")
    for (let i = 0; i < 5; i++) await read()
    assert.deepStrictEqual(taken, ["one\n", "1 dropped\n", "two\n", "three\n"])
  })

  it("says it again of what is dropped later", async () => {
    const { read, stream, taken } = slow()
    const sink = LogSink.toStream(stream, { maxBuffered: 10, dropped })
    for (let round = 0; round < 2; round++) {
      for (const line of ["a line", "another"]) sink(line)
      for (let i = 0; i < 3; i++) await read()
    }
    assert.deepStrictEqual(taken, ["a line\n", "1 dropped\n", "a line\n", "1 dropped\n"])
  })

  it("writes a line that is longer if nothing waits", async () => {
    const { read, stream, taken } = slow()
    const sink = LogSink.toStream(stream, { maxBuffered: 1, dropped })
    for (let round = 0; round < 2; round++) {
      sink("a line")
      await read()
    }
    assert.deepStrictEqual(taken, ["a line\n", "a line\n"])
  })

  it("writes nothing to a stream that is gone", () => {
    const { stream } = slow()
    const sink = LogSink.toStream(stream, { maxBuffered: 10, dropped })
    stream.destroy()
    sink("one")
    assert.strictEqual(stream.writableLength, 0)
  })
})
