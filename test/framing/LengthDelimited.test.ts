import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as LengthDelimited from "../../src/framing/LengthDelimited.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as Reference from "../protocol/reference.ts"

/** A decoder whose header check may refuse for reasons of its own. */
const makeDecoder = (options: Reference.Options) =>
  LengthDelimited.decoders<{ readonly _tag: string }>({ ...options, toError: (reason) => reason })()

const widths = [1, 2, 3, 4, 8] as const
const layouts: ReadonlyArray<LengthDelimited.Layout> = widths.flatMap((fieldWidth) =>
  (["little", "big"] as const).flatMap((byteOrder) =>
    ([0, 1] as const).flatMap((typeBytes) =>
      LengthDelimited.LengthCounts.literals.map((lengthCounts) => ({
        fieldWidth,
        byteOrder,
        typeBytes,
        lengthCounts
      }))
    )
  )
)

const title = (layout: LengthDelimited.Layout): string =>
  `${layout.fieldWidth} bytes, ${layout.byteOrder}, ${layout.typeBytes} of type, counts ${layout.lengthCounts}`

const plain: LengthDelimited.Layout & { readonly maxFrameSize: number } = {
  fieldWidth: 4,
  byteOrder: "little",
  typeBytes: 1,
  lengthCounts: "body",
  maxFrameSize: 1024
}

/** The fields of an error that the reference knows too. Beyond the safe integers lengths are rounded. */
const ending = (error: { readonly _tag: string } | undefined): Reference.Ending => {
  if (error === undefined) return undefined
  const fields: { _tag: string; frameSize?: unknown } = { ...error }
  if (Number(fields.frameSize) > Number.MAX_SAFE_INTEGER) fields.frameSize = "beyond"
  return fields
}

const reference = (options: Reference.Options, input: Uint8Array): Reference.Decoded => {
  const decoded = Reference.decode(options, input)
  return { ...decoded, ending: ending(decoded.ending) }
}

/**
 * How the memory of chunks is treated: they have no owner; or they have one, who overwrites them when all of their
 * bodies have been released, which the consumer does when it has them all, or with each of them at once.
 */
const holdings = ["plain", "released late", "kept at once"] as const
type Holding = (typeof holdings)[number]

/** Far cheaper than `expect`, for every chunk of every split. */
const holds = (condition: boolean, what: string): void => {
  if (!condition) throw new Error(what)
}

/** Decodes the chunks, and checks on the way what holds whatever they are. */
const decode = (
  options: Reference.Options,
  chunks: ReadonlyArray<Uint8Array>,
  holding: Holding = "plain"
): Reference.Decoded => {
  const decoder = makeDecoder(options)
  const frames: Array<LengthDelimited.Frame> = []
  const released = new Set<Uint8Array>()
  const own = (chunk: Uint8Array) =>
    holding === "plain"
      ? chunk
      : Chunk.owned(chunk, (given) => {
          holds(given === chunk && !released.has(chunk), "a chunk is released once")
          released.add(chunk)
          chunk.fill(0xee)
        })
  let received = 0
  let mostHeld = 0
  let failure: { readonly _tag: string } | undefined
  for (const chunk of chunks.map((each) => own(each.slice()))) {
    const out: Array<LengthDelimited.Frame> = []
    const error = decoder.push(chunk, out)
    received += chunk.length
    if (failure !== undefined) {
      holds(error === failure && out.length === 0, "a failed decoder stays failed")
    }
    failure = error
    for (const { body, type } of out) {
      frames.push({ type, body: holding === "kept at once" ? Chunk.keep(body) : body })
    }
    if (holding === "kept at once") holds(released.has(chunk), "nothing else holds a chunk")
    if (failure !== undefined) holds(!decoder.partial, "a failed decoder holds nothing")
    mostHeld = Math.max(mostHeld, decoder.buffered / Math.max(256, 4 * received))
  }
  holds(mostHeld <= 1, "what is held is in proportion to what was received")
  const partial = decoder.partial
  const end = decoder.end()
  holds(partial === (end !== undefined && failure === undefined), "partial tells of an end inside a frame")
  if (failure !== undefined) holds(end === failure, "a failed decoder stays failed")
  holds(decoder.end() === end, "an end stays the same")
  const decoded = {
    frames: frames.map(({ body, type }) => ({ type, body: Reference.hex(body) })),
    ending: ending(end)
  }
  for (const { body } of frames) Chunk.release(body)
  if (holding !== "plain") holds(released.size === chunks.length, "all chunks are released")
  return decoded
}

/** As `toEqual`, which takes most of the time of so many comparisons. */
const agrees = (actual: Reference.Decoded, expected: Reference.Decoded): void => {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected)
}

const bodyOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 0xff)

/** Streams that end in every way, with bodies around the steps in which the buffer grows. */
const catalogue = (layout: LengthDelimited.Layout): ReadonlyArray<Uint8Array> => {
  const frame = (type: number, length: number) => Reference.encode(layout, type, bodyOf(length))
  const fitting = layout.fieldWidth === 1 ? [0, 1, 65, 240] : [0, 1, 65, 257]
  const all = Reference.concat(fitting.map((length, i) => frame(i * 29, length)))
  const header = LengthDelimited.headerSize(layout)
  return [
    new Uint8Array(0),
    frame(1, 0),
    Reference.concat([frame(0, 0), frame(255, 0), frame(128, 0)]),
    all,
    all.subarray(0, -1),
    Reference.concat([frame(9, 5), frame(9, 5).subarray(0, header)]),
    Reference.concat([frame(9, 5), frame(9, 5).subarray(0, header - 1)]),
    Reference.concat([frame(9, 5), new Uint8Array(header), frame(9, 5)]),
    Reference.concat([frame(9, 5), new Uint8Array(header).fill(255), frame(9, 5)])
  ]
}

describe("decoding", () => {
  it.each(layouts.map((layout) => [title(layout), layout] as const))(
    "agrees with the reference at every split: %s",
    (_, layout) => {
      for (const stream of catalogue(layout)) {
        for (const maxFrameSize of [4096, 64]) {
          const options = { ...layout, maxFrameSize }
          const expected = reference(options, stream)
          for (const chunks of Reference.allSplits(stream)) {
            for (const holding of holdings) agrees(decode(options, chunks, holding), expected)
          }
        }
      }
    }
  )

  it("agrees with the reference on every prefix, cut in three at every two offsets", () => {
    const stream = Reference.concat([3, 0, 4].map((n) => Reference.encode(plain, n, bodyOf(n))))
    for (let end = 0; end <= stream.length; end++) {
      const prefix = stream.subarray(0, end)
      const expected = reference(plain, prefix)
      for (let a = 0; a <= end; a++) {
        for (let b = a; b <= end; b++) {
          agrees(decode(plain, Reference.split(prefix, [a, b])), expected)
        }
      }
    }
  })

  it("agrees with the reference on arbitrary input, arbitrarily split", () => {
    const part = (layout: LengthDelimited.Layout) =>
      fc.oneof(
        { weight: 8, arbitrary: fc.tuple(fc.nat(255), fc.nat(layout.fieldWidth === 1 ? 240 : 400)) },
        { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }) }
      )
    const input = fc.constantFrom(...layouts).chain((layout) =>
      fc.record({
        layout: fc.constant(layout),
        parts: fc.array(part(layout), { maxLength: 8 }),
        lost: fc.oneof(fc.constant(0), fc.nat(300)),
        cuts: fc.array(fc.nat(3000), { maxLength: 40 }),
        maxFrameSize: fc.oneof(fc.nat(600), fc.constant(Number.MAX_SAFE_INTEGER)),
        refused: fc.option(fc.nat(255), { nil: undefined }),
        holding: fc.constantFrom(...holdings)
      })
    )
    fc.assert(
      fc.property(input, ({ cuts, holding, layout, lost, maxFrameSize, parts, refused }) => {
        const whole = Reference.concat(
          parts.map((p) => (p instanceof Uint8Array ? p : Reference.encode(layout, p[0], bodyOf(p[1]))))
        )
        const stream = whole.subarray(0, Math.max(0, whole.length - lost))
        // Above the safe integers a length is rounded, and how is nobody's promise.
        const checkHeader = (type: number, length: number) =>
          type === refused
            ? { _tag: "Refused", length: Math.min(length, Number.MAX_SAFE_INTEGER) }
            : undefined
        const options = { ...layout, maxFrameSize, checkHeader }
        agrees(decode(options, Reference.split(stream, cuts), holding), reference(options, stream))
      }),
      { numRuns: 3000 }
    )
  })

  it("takes Node's Buffers and gives plain arrays", () => {
    const lengths = [0, 9, 300, Buffer.poolSize]
    const options = { ...plain, maxFrameSize: 2 * Buffer.poolSize }
    const stream = Buffer.from(Reference.concat(lengths.map((n) => Reference.encode(plain, 1, bodyOf(n)))))
    for (const own of [(chunk: Uint8Array) => chunk, (chunk: Uint8Array) => Chunk.owned(chunk, () => {})]) {
      const frames: Array<LengthDelimited.Frame> = []
      const decoder = LengthDelimited.makeDecoder(options)
      for (const chunk of [stream.subarray(0, 16), stream.subarray(16), stream.subarray(0)]) {
        decoder.push(own(chunk), frames)
      }
      const bodies = frames.map(({ body }) => Chunk.keep(body))
      expect(bodies).toEqual([...lengths, ...lengths].map(bodyOf))
      for (const body of bodies) expect(body.constructor).toBe(Uint8Array)
    }
  })
})

describe("memory", () => {
  const emitted = (options: LengthDelimited.PlainOptions, chunks: ReadonlyArray<Uint8Array>) => {
    const frames: Array<LengthDelimited.Frame> = []
    const decoder = LengthDelimited.makeDecoder(options)
    for (const chunk of chunks) expect(decoder.push(chunk, frames)).toBeUndefined()
    return frames.map(({ body }) => body)
  }

  it("gives views of the chunk for the bodies that lie in it", () => {
    const stream = Reference.concat([5, 300, 1].map((n) => Reference.encode(plain, 1, bodyOf(n))))
    // At an offset of its buffer, as chunks of a socket may be.
    const chunk = Reference.concat([new Uint8Array(3), stream]).subarray(3)
    for (const chunks of [
      [chunk],
      [chunk.subarray(0, 5), chunk.subarray(5)],
      Reference.split(chunk, [10, 13])
    ]) {
      const bodies = emitted(plain, chunks)
      expect(bodies).toEqual([5, 300, 1].map(bodyOf))
      for (const body of bodies) expect(body.buffer).toBe(chunk.buffer)
    }
  })

  it("gives a body split over chunks a buffer of exactly its size", () => {
    const chunk = Reference.encode(plain, 1, bodyOf(1000))
    const [body] = emitted(plain, Reference.split(chunk, [6, 500]))
    expect(body).toEqual(bodyOf(1000))
    expect(body?.buffer).not.toBe(chunk.buffer)
    expect(body?.buffer.byteLength).toBe(1000)
  })

  it("keeps no memory for an empty body", () => {
    const chunk = Reference.encode(plain, 1, bodyOf(0))
    expect(emitted(plain, [chunk])[0]?.buffer.byteLength).toBe(0)
  })

  it("grows with the bytes received, not with the length claimed", () => {
    const options = { ...plain, maxFrameSize: Number.MAX_SAFE_INTEGER }
    const decoders = Array.from({ length: 100 }, () => LengthDelimited.makeDecoder(options))
    const before = process.memoryUsage().arrayBuffers
    for (const decoder of decoders) {
      expect(decoder.push(Reference.bytes("ffffffff 49"), [])).toBeUndefined()
      expect(decoder.buffered).toBe(0)
      expect(decoder.push(Reference.bytes("00"), [])).toBeUndefined()
      expect(decoder.buffered).toBe(256)
      expect(decoder.push(bodyOf(999), [])).toBeUndefined()
      expect(decoder.buffered).toBe(4000)
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
  })

  it("copies a body that comes byte by byte a bounded number of times", () => {
    const size = 1024 * 1024
    const frame = Reference.encode(plain, 1, bodyOf(size))
    const decoder = LengthDelimited.makeDecoder({ ...plain, maxFrameSize: frame.length })
    const frames: Array<LengthDelimited.Frame> = []
    const capacities = new Set<number>()
    for (let at = 0; at < frame.length; at++) {
      decoder.push(frame.subarray(at, at + 1), frames)
      capacities.add(decoder.buffered)
    }
    expect(frames.map(({ body }) => Reference.hex(body))).toEqual([Reference.hex(bodyOf(size))])
    expect(decoder.partial).toBe(false)
    expect(decoder.buffered).toBe(0)
    // What was copied while growing adds up to less than the body itself.
    const grown = [...capacities].filter((capacity) => capacity < size)
    expect(grown.reduce((sum, capacity) => sum + capacity, 0)).toBeLessThan(size)
  })

  it("lets go of a failed frame's bytes", () => {
    const decoder = LengthDelimited.makeDecoder(plain)
    decoder.push(Reference.bytes("10000000 49 0102"), [])
    expect(decoder.buffered).toBe(16)
    expect(decoder.end()).toMatchObject({ _tag: "EndInsideFrame", received: 7, expected: 21 })
    expect(decoder.buffered).toBe(0)
  })
})

describe("failing", () => {
  const failure = (options: Reference.Options, hex: string) => {
    const decoder = makeDecoder(options)
    return decoder.push(Reference.bytes(hex), []) ?? decoder.end()
  }

  it("names maxFrameSize when no header fits it", () => {
    const error = failure({ ...plain, maxFrameSize: 4 }, "00")
    expect(error).toBeInstanceOf(LengthDelimited.MaxSizeTooShortForHeader)
    expect(error).toMatchObject({ maxFrameSize: 4, headerSize: 5, message: /raise maxFrameSize/ })
    expect(failure({ ...plain, maxFrameSize: 4 }, "")).toBeUndefined()
    expect(failure({ ...plain, maxFrameSize: 5 }, "00000000 48")).toBeUndefined()
  })

  it("names maxFrameSize when a frame is larger", () => {
    const error = failure({ ...plain, maxFrameSize: 12 }, "08000000 52")
    expect(error).toBeInstanceOf(LengthDelimited.MaxSizeTooShortForPayload)
    expect(error).toMatchObject({ maxFrameSize: 12, frameSize: 13, message: /13 bytes.*raise maxFrameSize/ })
    expect(failure({ ...plain, maxFrameSize: 13 }, "08000000 52 0001020304050607")).toBeUndefined()
  })

  it("names lengthCounts when the length is less than it must count", () => {
    const error = failure({ ...plain, lengthCounts: "frame" }, "04000000 52")
    expect(error).toBeInstanceOf(LengthDelimited.LengthTooShort)
    expect(error).toMatchObject({ length: 4, minimum: 5, lengthCounts: "frame", message: /set lengthCounts/ })
  })

  it("says how far into a frame the input ended", () => {
    expect(failure(plain, "080000")).toMatchObject({ received: 3, message: /inside a header, 3 bytes/ })
    const error = failure(plain, "08000000 52 00")
    expect(error).toBeInstanceOf(LengthDelimited.EndInsideFrame)
    expect(error).toMatchObject({ received: 6, expected: 13, message: /6 of 13 bytes/ })
  })

  it("asks checkHeader before it waits for a body and before it judges the size", () => {
    const seen: Array<readonly [number, number]> = []
    const refused = { _tag: "Refused" }
    const checkHeader = (type: number, bodyLength: number) => {
      seen.push([type, bodyLength])
      return type === 2 ? refused : undefined
    }
    const decoder = makeDecoder({ ...plain, checkHeader })
    const frames: Array<LengthDelimited.Frame> = []
    const push = (hex: string) => decoder.push(Reference.bytes(hex), frames)
    expect(push("01000000 01 aa ffffffff")).toBeUndefined()
    expect(push("02")).toBe(refused)
    expect(push("00000000 01")).toBe(refused)
    expect(decoder.end()).toBe(refused)
    expect(seen).toEqual([
      [1, 1],
      [2, 0xffffffff]
    ])
    expect(frames.map(({ type }) => type)).toEqual([1])
  })

  it("takes lengths above Number.MAX_SAFE_INTEGER for too large, whatever maxFrameSize says", () => {
    const wide: Reference.Options = { ...plain, fieldWidth: 8, byteOrder: "big", typeBytes: 0 }
    const open = { ...wide, maxFrameSize: Number.POSITIVE_INFINITY }
    // The header's 8 bytes count: 2^53 - 1 - 8 is the longest body.
    expect(failure(open, "001ffffffffffff7")).toMatchObject({
      _tag: "EndInsideFrame",
      expected: Number.MAX_SAFE_INTEGER
    })
    for (const hex of ["001ffffffffffff8", "0020000000000001", "ffffffffffffffff"]) {
      expect(failure(open, hex)).toMatchObject({
        _tag: "MaxSizeTooShortForPayload",
        maxFrameSize: Number.MAX_SAFE_INTEGER
      })
    }
  })
})

describe("skipping", () => {
  const skipping = (maxSkippedSize: number) =>
    LengthDelimited.makeDecoder({
      ...plain,
      maxFrameSize: 16,
      skips: { types: (type) => type === 1, maxSkippedSize }
    })
  const stream = Reference.concat([
    Reference.encode(plain, 1, bodyOf(11)),
    Reference.encode(plain, 1, bodyOf(12)),
    Reference.encode(plain, 1, bodyOf(295)),
    Reference.encode(plain, 2, bodyOf(3))
  ])

  it("tells the size of a frame that is too large, at every split, and stores nothing of it", () => {
    for (const chunks of Reference.allSplits(stream)) {
      const decoder = skipping(300)
      const frames: Array<LengthDelimited.Frame> = []
      let released = 0
      for (const chunk of chunks) {
        expect(
          decoder.push(
            Chunk.owned(chunk.slice(), () => void released++),
            frames
          )
        ).toBeUndefined()
        expect(decoder.buffered).toBeLessThanOrEqual(16)
      }
      expect(frames.map(({ body, skipped, type }) => [type, Reference.hex(body), skipped])).toEqual([
        [1, Reference.hex(bodyOf(11)), undefined],
        [1, "", 17],
        [1, "", 300],
        [2, Reference.hex(bodyOf(3)), undefined]
      ])
      for (const { body } of frames) Chunk.release(body)
      expect(released).toBe(chunks.length)
      expect(decoder.end()).toBeUndefined()
    }
  })

  it("fails for a frame that is larger still, or of another type", () => {
    const frames: Array<LengthDelimited.Frame> = []
    expect(skipping(299).push(stream.slice(), frames)).toMatchObject({
      _tag: "MaxSizeTooShortForPayload",
      maxFrameSize: 16,
      frameSize: 300
    })
    expect(frames.map(({ skipped }) => skipped)).toEqual([undefined, 17])
    expect(skipping(300).push(Reference.encode(plain, 2, bodyOf(12)), [])).toMatchObject({ frameSize: 17 })
  })

  it("knows an end inside of one", () => {
    const decoder = skipping(300)
    decoder.push(Reference.encode(plain, 1, bodyOf(12)).subarray(0, 9), [])
    expect(decoder.partial).toBe(true)
    expect(decoder.end()).toMatchObject({ _tag: "EndInsideFrame", received: 9, expected: 17 })
  })
})

describe("options", () => {
  const wrong: ReadonlyArray<readonly [message: RegExp, options: { readonly [field: string]: unknown }]> = [
    [/fieldWidth must be one of 1, 2, 3, 4, 8, got 5/, { fieldWidth: 5 }],
    [/fieldWidth must be one of .*, got NaN/, { fieldWidth: Number.NaN }],
    [/byteOrder must be one of little, big, got "middle"/, { byteOrder: "middle" }],
    [/typeBytes must be one of 0, 1, got 2/, { typeBytes: 2 }],
    [/lengthCounts must be one of body, typeAndBody, frame, got "all"/, { lengthCounts: "all" }],
    [/maxFrameSize must be a size of at least 0 B, got NaN/, { maxFrameSize: Number.NaN }],
    [/maxFrameSize must be a size of at least 0 B, got -1/, { maxFrameSize: -1 }],
    [/maxFrameSize must be a size of at least 0 B, got 1.5/, { maxFrameSize: 1.5 }],
    [/maxFrameSize must be a size of at least 0 B, got undefined/, { maxFrameSize: undefined }],
    [
      /maxSkippedSize must be a size .*, got NaN/,
      { skips: { types: () => true, maxSkippedSize: Number.NaN } }
    ]
  ]
  for (const [message, fields] of wrong) {
    it(`are refused: ${message.source}`, () => {
      const options = { ...plain, ...fields } as unknown as LengthDelimited.PlainOptions
      for (const make of [LengthDelimited.makeDecoder, LengthDelimited.codec]) {
        expect(() => make(options)).toThrow(RangeError)
        expect(() => make(options)).toThrow(message)
      }
    })
  }
})

describe("encoding", () => {
  it.each(layouts.map((layout) => [title(layout), layout] as const))(
    "agrees with the reference: %s",
    (_, layout) => {
      const header = LengthDelimited.headerSize(layout)
      for (const length of layout.fieldWidth === 1 ? [0, 1, 128, 240] : [0, 1, 128, 255, 256, 40000]) {
        const expected = Reference.encode(layout, 0x52, bodyOf(length)).subarray(0, header)
        expect(LengthDelimited.encodeHeader(layout, 0x52, length)).toEqual(expected)
        const target = new Uint8Array(header + 4)
        expect(LengthDelimited.encodeHeaderInto(layout, target, 3, 0x52, length)).toBe(3 + header)
        expect(target).toEqual(Reference.concat([new Uint8Array(3), expected, new Uint8Array(1)]))
      }
    }
  )

  it.each(layouts.map((layout) => [title(layout), layout] as const))(
    "takes the longest body that fits the field and refuses the next: %s",
    (_, layout) => {
      const counted = { body: 0, typeAndBody: layout.typeBytes, frame: LengthDelimited.headerSize(layout) }
      const longest =
        Math.min(256 ** layout.fieldWidth - 1, Number.MAX_SAFE_INTEGER) - counted[layout.lengthCounts]
      const header = LengthDelimited.encodeHeader(layout, 7, longest)
      const seen: Array<number> = []
      LengthDelimited.makeDecoder({
        ...layout,
        maxFrameSize: Number.MAX_SAFE_INTEGER,
        checkHeader: (_, bodyLength) => void seen.push(bodyLength)
      }).push(header, [])
      expect(seen).toEqual([longest])
      expect(() => LengthDelimited.encodeHeader(layout, 7, longest + 1)).toThrow(
        new RegExp(`fieldWidth of ${layout.fieldWidth}`)
      )
    }
  )

  it("throws on what is no length and on a target that is too short", () => {
    for (const length of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => LengthDelimited.encodeHeader(plain, 1, length)).toThrow(RangeError)
    }
    const target = new Uint8Array(6)
    expect(LengthDelimited.encodeHeaderInto(plain, target, 1, 1, 0)).toBe(6)
    expect(() => LengthDelimited.encodeHeaderInto(plain, target, 2, 1, 0)).toThrow(/does not fit/)
    expect(() => LengthDelimited.encodeHeaderInto(plain, target, -1, 1, 0)).toThrow(/does not fit/)
  })
})
