/**
 * Hostile clients: conversations out of frames, most of them correct, with a few things wrong.
 */
import * as fc from "fast-check"
import * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as Bodies from "./Bodies.ts"
import { awaited, endings, type Script, type Step } from "./Script.ts"

const { maxFrameSize } = ServerConfig.defaults

const frame = (letter: string, body: Uint8Array = new Uint8Array(0)): Buffer => {
  const header = Buffer.alloc(5)
  header.writeUInt32LE(body.length)
  header.write(letter, 4, "latin1")
  return Buffer.concat([header, body])
}

const cancel = frame("C")

const letters = "RCAJIFEKH"

const request = Bodies.body.map((body) => frame("R", body))

const anyFrame = fc
  .tuple(fc.constantFrom(...letters, "Z", "r", "\0", "\xff"), fc.uint8Array({ maxLength: 20 }))
  .map(([letter, body]) => frame(letter, body))

/** A frame whose header does not tell the truth, or that is not all there. */
const mutated = fc
  .tuple(
    fc.oneof(request, fc.constant(cancel), anyFrame),
    fc.constantFrom("more", "less", "none", "huge", "limit", "type", "cut", "flip"),
    fc.nat()
  )
  .map(([whole, how, n]) => {
    const bytes = Buffer.from(whole)
    const length = bytes.readUInt32LE()
    switch (how) {
      case "more":
        bytes.writeUInt32LE(length + 1 + (n % 3))
        break
      case "less":
        bytes.writeUInt32LE(Math.max(0, length - 1 - (n % 3)))
        break
      case "none":
        bytes.writeUInt32LE(0)
        break
      case "huge":
        bytes.writeUInt32LE(0xffffffff - (n % 3))
        break
      case "limit":
        bytes.writeUInt32LE(maxFrameSize - 5 + (n % 3))
        break
      case "type":
        bytes[4] = n % 256
        break
      case "cut":
        return bytes.subarray(0, n % bytes.length)
      case "flip":
        bytes[n % bytes.length] = n >> 8
    }
    return bytes
  })

/** A whole request of exactly the largest size, and one byte more. */
const largest = fc
  .constantFrom(0, 1)
  .map((more) => frame("R", new Uint8Array(maxFrameSize - 5 + more).fill(0x20)))

const storm = fc.integer({ min: 2, max: 200 }).map((n) => Buffer.concat(Array(n).fill(cancel)))

interface Part {
  readonly bytes: Uint8Array
  readonly then: Step | undefined
}

const wait = fc.constantFrom(...awaited).map((what): Step => ({ _tag: "Await", what }))

const then = fc.oneof(
  { weight: 12, arbitrary: wait },
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constant<Step>({ _tag: "StopReading" }) }
)

const part: fc.Arbitrary<Part> = fc.record({
  bytes: fc.oneof(
    { weight: 16, arbitrary: request },
    { weight: 5, arbitrary: fc.constant(cancel) },
    { weight: 3, arbitrary: mutated },
    { weight: 1, arbitrary: anyFrame },
    { weight: 1, arbitrary: storm },
    { weight: 1, arbitrary: fc.tuple(request, request).map((both) => Buffer.concat(both)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
    { weight: 1, arbitrary: largest }
  ),
  then
})

/** Where the bytes of a part are cut into writes: byte by byte where they are few, or at a few places. */
const cuts = fc.oneof(
  { weight: 3, arbitrary: fc.constant<"whole">("whole") },
  { weight: 1, arbitrary: fc.constant<"dribble">("dribble") },
  { weight: 2, arbitrary: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }) }
)

const dribbled = 40

const split = (bytes: Uint8Array, how: "whole" | "dribble" | ReadonlyArray<number>): Array<Uint8Array> => {
  if (how === "whole" || bytes.length < 2) return [bytes]
  const offsets =
    how === "dribble"
      ? Array.from({ length: Math.min(bytes.length, dribbled) - 1 }, (_, i) => i + 1)
      : how.map((n) => n % bytes.length)
  const at = [...new Set([0, ...offsets])].sort((a, b) => a - b)
  return at.map((start, i) => bytes.subarray(start, at[i + 1] ?? bytes.length))
}

const steps = (parts: ReadonlyArray<Part>, how: Parameters<typeof split>[1]): Array<Step> =>
  parts.flatMap(({ bytes, then }) => [
    ...split(bytes, how).map((piece): Step => ({ _tag: "Send", bytes: piece })),
    ...(then === undefined ? [] : [then])
  ])

export const script: fc.Arbitrary<Script> = fc
  .record({
    where: fc.constantFrom<Script["where"]>("tcp", "tcp", "tcp", "unix"),
    parts: fc.array(part, { maxLength: 6 }),
    how: cuts,
    ending: fc.oneof(
      { weight: 3, arbitrary: fc.constant<"stay">("stay") },
      { weight: 3, arbitrary: fc.constantFrom(...endings) }
    )
  })
  .map(({ ending, how, parts, where }) => ({ where, steps: steps(parts, how), ending }))
