import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Message from "../../src/protocol/Message.ts"
import { type End, type Limits, Response } from "../../src/protocol/Response.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const bytes = (text: string) => encoder.encode(text)
const show = ({ body, type }: Message.Message) => `${Message.letter(type)} ${decoder.decode(body)}`.trimEnd()

const small: Limits = { chunkSize: 4, prefetchSize: 30, batchSize: 20 }
const complete: End = { _tag: "Complete" }

/** All messages of a response to which nothing is added, write by write. */
const writes = (response: Response, written = 0): ReadonlyArray<ReadonlyArray<string>> => {
  const all: Array<ReadonlyArray<string>> = []
  while (true) {
    const messages = response.take(written)
    if (messages.length === 0) return all
    all.push(messages.map(show))
    response.sent()
  }
}

describe("a response", () => {
  it("begins with the accept, once", () => {
    const response = new Response(small)
    assert.deepStrictEqual(response.take(0), [])
    assert.isFalse(response.isAccepted)
    response.accepted(bytes("yes"))
    assert.isTrue(response.isAccepted)
    assert.deepStrictEqual(writes(response), [["A yes"]])
  })

  it("splits chunks that are longer than chunkSize", () => {
    const response = new Response(small)
    response.offer([bytes("abcdefghij")])
    response.ended(complete)
    assert.deepStrictEqual(writes(response), [["I abcd", "I efgh", "F ij"]])
  })

  it("has no empty chunk, and ends with an empty message where all chunks are gone", () => {
    const response = new Response(small)
    response.offer([bytes(""), bytes("a"), bytes("")])
    assert.deepStrictEqual(writes(response), [["I a"]])
    assert.isFalse(response.hasMore)
    response.ended(complete)
    assert.isTrue(response.hasMore)
    assert.deepStrictEqual(writes(response), [["F"]])
    assert.isTrue(response.done)
    assert.isFalse(response.hasMore)
  })

  it("ends with an error or a reject behind all of its chunks", () => {
    const failed = new Response(small)
    failed.offer([bytes("a")])
    failed.ended({ _tag: "Failed", payload: bytes("no") })
    assert.deepStrictEqual(writes(failed), [["I a", "E no"]])
    const rejected = new Response(small)
    rejected.ended({ _tag: "Rejected", payload: bytes("no") })
    assert.deepStrictEqual(writes(rejected), [["J no"]])
  })

  it("is full when it holds many chunks, however short they are", () => {
    const response = new Response({ chunkSize: 1024, prefetchSize: 1024 ** 2, batchSize: 1024 ** 2 })
    response.accepted(new Uint8Array(0))
    response.offer(Array(8191).fill(Uint8Array.of(1)))
    assert.isFalse(response.isFull)
    response.offer([Uint8Array.of(1)])
    assert.isTrue(response.isFull)
  })

  it("is full when prefetchSize is held, headers included, and until that has been taken", () => {
    const response = new Response(small)
    response.offer([bytes("0123456789"), bytes("abcdefghi")])
    assert.isFalse(response.isFull)
    response.offer([bytes("")])
    assert.isFalse(response.isFull)
    response.offer([bytes("x")])
    assert.isTrue(response.isFull)
    response.take(0)
    assert.isFalse(response.isFull)
  })

  it("gives a write no more than batchSize, and not much before the connection has written much", () => {
    const limits: Limits = { chunkSize: 1024, prefetchSize: 1, batchSize: 256 * 1024 }
    const chunk = new Uint8Array(1024)
    const sizeAfter = (written: number) => {
      const response = new Response(limits)
      response.offer(Array.from({ length: 1024 }, () => chunk))
      return response.take(written).reduce((size, message) => size + Message.size(message), 0)
    }
    const within = (size: number, limit: number) => {
      assert.isAtLeast(size, limit)
      assert.isBelow(size, limit + 2 * 1024)
    }
    within(sizeAfter(0), 64 * 1024)
    within(sizeAfter(1024 * 1024), 128 * 1024)
    within(sizeAfter(Number.MAX_SAFE_INTEGER), 256 * 1024)
  })

  it("gives each chunk back once: when all of it has been sent, or when the response is dropped", () => {
    const arbitrary = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 12 }),
      taken: fc.nat(6),
      chunkSize: fc.integer({ min: 1, max: 8 }),
      batchSize: fc.integer({ min: 1, max: 40 })
    })
    fc.assert(
      fc.property(arbitrary, ({ batchSize, chunkSize, sizes, taken }) => {
        const response = new Response({ chunkSize, batchSize, prefetchSize: 1 })
        const chunks = sizes.map((size, i) => new Uint8Array(size).fill(i))
        response.offer(chunks)
        const back: Array<Uint8Array> = []
        let sent = 0
        for (let i = 0; i < taken; i++) {
          for (const { body } of response.take(0)) sent += body.length
          back.push(...response.sent())
          const whole = chunks.filter(
            (_, at) => sizes.slice(0, at + 1).reduce((sum, size) => sum + size, 0) <= sent
          )
          assert.deepStrictEqual(back, whole)
          assert.deepStrictEqual(response.sent(), [])
        }
        back.push(...response.drop(), ...response.drop())
        assert.strictEqual(back.length, chunks.length)
        back.forEach((chunk, i) => void assert.strictEqual(chunk, chunks[i]))
      })
    )
  })

  it("takes nothing but bytes from an engine", () => {
    const response = new Response(small)
    for (const wrong of ["text", [1, 2], undefined, new Uint16Array(2)]) {
      const given = wrong as unknown as Uint8Array
      assert.throws(() => response.offer([given]), /The engine gave a chunk that is no Uint8Array/)
      assert.throws(() => response.accepted(given), /The engine gave a payload that is no Uint8Array/)
    }
    assert.isFalse(response.isAccepted)
    response.offer([Buffer.from("ok")])
    assert.deepStrictEqual(writes(response), [["I ok"]])
  })
})
