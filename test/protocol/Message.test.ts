import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Message from "../../src/protocol/Message.ts"
import * as Reference from "./reference.ts"
import * as Transcripts from "./transcripts.ts"

const types = Object.values(Message.Type)
const withoutBody = "CKH"

const optionsOf = (transcript: Partial<Message.CodecOptions>): Message.CodecOptions => ({
  bodyLimits: transcript.bodyLimits,
  lengthCounts: transcript.lengthCounts ?? Message.defaultOptions.lengthCounts,
  maxFrameSize: transcript.maxFrameSize ?? Message.defaultOptions.maxFrameSize
})

const decode = (options: Message.CodecOptions, chunks: ReadonlyArray<Uint8Array>) => {
  const decoder = Message.codec(options).makeDecoder()
  const frames: Array<Message.Message> = []
  let error: Message.FrameError | undefined
  for (const chunk of chunks) {
    const next = decoder.push(chunk, frames)
    if (error !== undefined) expect(next).toBe(error)
    error = next
  }
  const partial = decoder.partial
  const end = decoder.end()
  if (error !== undefined) expect(end).toBe(error)
  expect(partial).toBe(error === undefined && end !== undefined)
  return { frames, error: end }
}

const text = (body: Uint8Array): string => Buffer.from(body).toString()

/** A few cuts for long input, all of them for short input. */
const splits = (input: Uint8Array): Array<Array<Uint8Array>> =>
  input.length < 300
    ? Reference.allSplits(input)
    : [[], [1], [4], [5], [6], [200], [input.length - 1], [2, 5, 9, 300]].map((at) =>
        Reference.split(input, at)
      )

describe("transcripts", () => {
  it("cover every type, with and without a body", () => {
    const seen = new Set(Transcripts.good.map(({ letter, body }) => letter + (body === "" ? "" : "+")))
    const expected = types.map(Message.letter).flatMap((l) => (withoutBody.includes(l) ? [l] : [l, `${l}+`]))
    expect([...seen].sort()).toEqual(expected.sort())
  })

  it("cover every reason", () => {
    const seen = new Set(Transcripts.bad.map(({ reason }) => reason._tag))
    expect(seen.size).toBe(Message.FrameErrorReason.members.length)
  })

  it.each(Transcripts.good)("decode and encode: $what", (good) => {
    const input = Reference.bytes(good.hex)
    for (const chunks of splits(input)) {
      const { error, frames } = decode(optionsOf(good), chunks)
      expect(error).toBeUndefined()
      expect(frames.map(({ type, body }) => [Message.letter(type), text(body)])).toEqual([
        [good.letter, good.body]
      ])
    }
    const frame = Message.make(good.letter.charCodeAt(0) as Message.Type, Buffer.from(good.body))
    expect(Reference.hex(Message.encode(frame, optionsOf(good)))).toBe(Reference.hex(input))
    expect(Message.size(frame)).toBe(input.length)
    const header = Message.header(optionsOf(good), frame.type, frame.body.length)
    expect(header).toEqual(input.subarray(0, Message.headerSize))
  })

  it.each(Transcripts.bad)("are refused: $what", (bad) => {
    for (const chunks of splits(Reference.bytes(bad.hex))) {
      const { error, frames } = decode(optionsOf(bad), chunks)
      expect(frames.map(({ type }) => Message.letter(type)).join("")).toBe(bad.frames)
      expect(error).toBeInstanceOf(Message.FrameError)
      expect({ ...error?.reason }).toEqual(bad.reason)
      expect(error?.message).toMatch(bad.names)
      expect(error?.message).toBe(error?.reason.message)
    }
  })

  it("decode and encode one after the other", () => {
    const inOneWay = Transcripts.good.filter(({ lengthCounts }) => lengthCounts === undefined)
    const input = Reference.concat(inOneWay.map(({ hex }) => Reference.bytes(hex)))
    const { error, frames } = decode(Message.defaultOptions, [input])
    expect(error).toBeUndefined()
    expect(frames.map(({ type }) => Message.letter(type))).toEqual(inOneWay.map(({ letter }) => letter))
    expect(Reference.hex(Reference.concat(frames.map((frame) => Message.encode(frame))))).toBe(
      Reference.hex(input)
    )
  })
})

describe("decoding", () => {
  it("refuses every type but the nine", () => {
    for (let type = 0; type < 256; type++) {
      const { error } = decode(Message.defaultOptions, [Uint8Array.of(0, 0, 0, 0, type)])
      if (types.includes(type as Message.Type)) expect(error).toBeUndefined()
      else expect(error?.reason).toEqual(new Message.UnknownType({ type }))
    }
  })

  it("agrees with the reference on arbitrary input, arbitrarily split", () => {
    const letters = types.map(Message.letter).join("")
    const checkHeader = (type: number, length: number) => {
      if (!letters.includes(String.fromCharCode(type))) return { _tag: "UnknownType", type }
      const refused = length > 0 && withoutBody.includes(String.fromCharCode(type))
      return refused ? { _tag: "UnexpectedBody", type, length } : undefined
    }
    const part = fc.oneof(
      { weight: 12, arbitrary: fc.tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 300 })) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 9 }) }
    )
    const input = fc.record({
      lengthCounts: fc.constantFrom("body" as const, "typeAndBody" as const, "frame" as const),
      maxFrameSize: fc.oneof(fc.nat(320), fc.constant(1024)),
      parts: fc.array(part, { maxLength: 10 }),
      cuts: fc.array(fc.nat(2000), { maxLength: 30 })
    })
    fc.assert(
      fc.property(input, ({ cuts, lengthCounts, maxFrameSize, parts }) => {
        const layout = { fieldWidth: 4, byteOrder: "little", typeBytes: 1, lengthCounts } as const
        const stream = Reference.concat(
          parts.map((p) =>
            p instanceof Uint8Array
              ? p
              : Reference.encode(layout, p[0], Message.hasBody(p[0]) ? p[1] : new Uint8Array(0))
          )
        )
        const { error, frames } = decode({ lengthCounts, maxFrameSize }, Reference.split(stream, cuts))
        const expected = Reference.decode({ ...layout, maxFrameSize, checkHeader }, stream)
        expect(frames.map(({ type, body }) => ({ type, body: Reference.hex(body) }))).toEqual(expected.frames)
        expect(error && { ...error.reason }).toEqual(expected.ending)
      }),
      { numRuns: 2000 }
    )
  })

  it("gives views of the chunk", () => {
    const chunk = Message.encode(Message.make(Message.Type.Intermediate, Buffer.from("[1,")))
    const [frame] = decode(Message.defaultOptions, [chunk]).frames
    expect(frame?.body.buffer).toBe(chunk.buffer)
  })

  it("appends to the array given with each chunk", () => {
    const decoder = Message.codec().makeDecoder()
    const heartbeat = Message.encode(Message.make(Message.Type.Heartbeat))
    const first: Array<Message.Message> = []
    const second: Array<Message.Message> = []
    decoder.push(heartbeat, first)
    decoder.push(heartbeat, second)
    decoder.push(heartbeat, first)
    expect([first.length, second.length]).toEqual([2, 1])
  })
})

describe("decoding with split chunks", () => {
  const chunkTypes: ReadonlyArray<Message.Type> = [Message.Type.Intermediate, Message.Type.Final]
  const isChunk = (type: Message.Type) => chunkTypes.includes(type)
  const frame = fc.record({
    type: fc.constantFrom(
      Message.Type.Accept,
      Message.Type.Intermediate,
      Message.Type.Final,
      Message.Type.Error
    ),
    body: fc.uint8Array({ maxLength: 40 })
  })

  /** Frames with the parts of a chunk put together again: those up to the one that has its type. */
  const joined = (frames: ReadonlyArray<Message.Message>, sent: ReadonlyArray<Message.Message>) => {
    const left = [...frames]
    return sent.map(({ body, type }) => {
      const parts: Array<number> = []
      while (isChunk(type) && left[0] !== undefined && parts.length + left[0].body.length < body.length) {
        expect(left[0].type).toBe(Message.Type.Intermediate)
        parts.push(...(left.shift()?.body ?? []))
      }
      const last = left.shift()
      return { type: last?.type, body: Uint8Array.from([...parts, ...(last?.body ?? [])]) }
    })
  }

  it("gives the same chunks in parts, as they arrive, and all other bodies whole", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), fc.array(fc.nat(300)), (sent, cuts) => {
        const bytes = Uint8Array.from(sent.flatMap((one) => [...Message.encode(one)]))
        const decoder = Message.codec({ ...Message.defaultOptions, splitChunks: () => true }).makeDecoder()
        const frames: Array<Message.Message> = []
        const ends = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]
        let start = 0
        for (const end of ends) {
          expect(decoder.push(bytes.subarray(start, end), frames)).toBeUndefined()
          start = end
        }
        expect(decoder.end()).toBeUndefined()
        expect(joined(frames, sent)).toEqual(sent)
      })
    )
  })

  it("hands a part out before the rest has come, and still knows an end inside the frame", () => {
    const decoder = Message.codec({ ...Message.defaultOptions, splitChunks: () => true }).makeDecoder()
    const bytes = Message.encode(Message.make(Message.Type.Final, Uint8Array.of(1, 2, 3)))
    const frames: Array<Message.Message> = []
    decoder.push(bytes.subarray(0, 7), frames)
    expect(frames).toEqual([{ type: Message.Type.Intermediate, body: Uint8Array.of(1, 2) }])
    expect(decoder.partial).toBe(true)
    expect(decoder.end()?.message).toBe("The input ended inside a frame, 7 of 8 bytes into it")
  })

  it("hands a final message out whole whose body is no part of the result", () => {
    const options = { ...Message.defaultOptions, splitChunks: () => false }
    const decoder = Message.codec(options).makeDecoder()
    const final = Message.make(Message.Type.Final, Uint8Array.of(1, 2, 3))
    const bytes = Message.encode(final)
    const frames: Array<Message.Message> = []
    decoder.push(bytes.subarray(0, 7), frames)
    expect(frames).toEqual([])
    decoder.push(bytes.subarray(7), frames)
    expect(frames).toEqual([final])
  })
})

describe("requests that are too long", () => {
  const options = { ...Message.defaultOptions, maxFrameSize: 16, maxSkippedSize: 100 }
  const body = (size: number) => new Uint8Array(size).fill(0x61)

  it("are skipped up to maxSkippedSize, and the messages behind them are read", () => {
    const input = Reference.concat([
      Message.encode(Message.make(Message.Type.Request, body(95))),
      Message.encode(Message.make(Message.Type.Cancel))
    ])
    for (const chunks of Reference.allSplits(input)) {
      const { error, frames } = decode(options, chunks)
      expect(error).toBeUndefined()
      expect(frames.map(({ body, skipped, type }) => [Message.letter(type), body.length, skipped])).toEqual([
        ["R", 0, 100],
        ["C", 0, undefined]
      ])
    }
    const longer = Message.encode(Message.make(Message.Type.Request, body(96)))
    expect(decode(options, [longer]).error?.reason._tag).toBe("MaxSizeTooShortForPayload")
  })

  it("are the only messages that are skipped", () => {
    for (const type of types.filter(Message.hasBody)) {
      const { error } = decode(options, [Message.encode(Message.make(type, body(95)))])
      if (type === Message.Type.Request) expect(error).toBeUndefined()
      else expect(error?.reason._tag).toBe("MaxSizeTooShortForPayload")
    }
  })
})

describe("a codec", () => {
  const wrong: ReadonlyArray<readonly [RegExp, object]> = [
    [/lengthCounts must be one of body, typeAndBody, frame, got "all"/, { lengthCounts: "all" }],
    [/maxFrameSize must be a size of at least 0 B, got NaN/, { maxFrameSize: Number.NaN }],
    [/maxSkippedSize must be a size of at least 0 B, got -1/, { maxSkippedSize: -1 }],
    [
      /maxAcceptSize must be a size of at least 0 B, got NaN/,
      { bodyLimits: { [Message.Type.Accept]: { setting: "maxAcceptSize", maxSize: Number.NaN } } }
    ]
  ]
  for (const [message, fields] of wrong) {
    it(`is refused: ${message.source}`, () => {
      const options = { ...Message.defaultOptions, ...fields } as Message.CodecOptions
      expect(() => Message.codec(options)).toThrow(RangeError)
      expect(() => Message.codec(options)).toThrow(message)
    })
  }
})

describe("laying out", () => {
  const chunk = (size: number, fill = 0x61) =>
    Message.make(Message.Type.Intermediate, new Uint8Array(size).fill(fill))
  const heartbeat = Message.make(Message.Type.Heartbeat)
  const layOut = (
    messages: ReadonlyArray<Message.Message>,
    options: Message.Options = Message.defaultOptions
  ) => Message.codec(options).layOut(messages as unknown as NonEmptyReadonlyArray<Message.Message>)
  const joined = (parts: ReadonlyArray<Uint8Array>) => Reference.hex(Reference.concat(parts))
  const encoded = (
    messages: ReadonlyArray<Message.Message>,
    options: Message.Options = Message.defaultOptions
  ) => joined(messages.map((message) => Message.encode(message, options)))

  const sizes: ReadonlyArray<ReadonlyArray<number>> = [
    [0],
    [1],
    [2048],
    [2049],
    [0, 0, 0],
    [10, 2049],
    [2049, 10],
    [2049, 70_000],
    [1, 5000, 2, 3, 6000, 4]
  ]
  for (const list of sizes) {
    it(`bodies of ${list.join(", ")} bytes gives the messages one after the other`, () => {
      const messages = list.map((size, i) => chunk(size, i + 1))
      expect(joined(layOut(messages))).toBe(encoded(messages))
    })
  }

  it("messages that are alike in type or length gives them one after the other", () => {
    const alphabet = [
      heartbeat,
      chunk(10),
      chunk(3000, 1),
      chunk(3000, 2),
      chunk(4000),
      Message.make(Message.Type.Final, new Uint8Array(3000))
    ]
    const lists = (length: number): ReadonlyArray<ReadonlyArray<Message.Message>> =>
      length === 0 ? [[]] : lists(length - 1).flatMap((list) => alphabet.map((each) => [...list, each]))
    for (const list of lists(4)) expect(joined(layOut(list))).toBe(encoded(list))
  })

  it("counts lengths as the peers have agreed", () => {
    for (const lengthCounts of ["body", "typeAndBody", "frame"] as const) {
      const options = { ...Message.defaultOptions, lengthCounts }
      for (const messages of [
        [chunk(3), chunk(5000)],
        [heartbeat],
        [Message.make(Message.Type.CancelAcknowledged)]
      ]) {
        expect(joined(layOut(messages, options))).toBe(encoded(messages, options))
      }
    }
  })

  it("copies small bodies into one buffer", () => {
    expect(layOut([heartbeat, chunk(10), chunk(2048), heartbeat])).toHaveLength(1)
  })

  it("sends large bodies from where they lie", () => {
    const large = [chunk(2049), chunk(4096)] as const
    const parts = layOut([chunk(1), large[0], large[1], chunk(1)])
    expect(parts).toHaveLength(5)
    expect(parts[1]).toBe(large[0].body)
    expect(parts[3]).toBe(large[1].body)
  })

  it("leaves no empty part", () => {
    for (const list of sizes) {
      for (const part of layOut(list.map((size) => chunk(size)))) expect(part.length).toBeGreaterThan(0)
    }
  })

  it("throws for a type that may have no body and is given one, alone or among others", () => {
    const illegal = Message.make(Message.Type.Heartbeat, new Uint8Array(1))
    for (const messages of [[illegal], [chunk(1), illegal]]) {
      expect(() => layOut(messages)).toThrow(/Heartbeat \(H\) may have no body/)
    }
  })
})

describe("encoding", () => {
  it("throws when a type that may have no body is given one", () => {
    for (const type of types) {
      const frame = Message.make(type, Uint8Array.of(1))
      if (Message.hasBody(type)) expect(Message.encode(frame)).toHaveLength(6)
      else expect(() => Message.encode(frame)).toThrow(`(${Message.letter(type)}) may have no body`)
    }
  })

  it("throws when the length does not fit its field", () => {
    const longest = 0xffffffff
    expect(Reference.hex(Message.header(Message.defaultOptions, Message.Type.Final, longest))).toBe(
      "ffffffff46"
    )
    const counting = { ...Message.defaultOptions, lengthCounts: "typeAndBody" as const }
    expect(() => Message.header(counting, Message.Type.Final, longest)).toThrow(/fieldWidth of 4/)
  })
})

describe("the types", () => {
  it("are the table of PROTOCOL.md §1", () => {
    const table = types.map((type) => [
      Message.letter(type),
      Message.name(type),
      Message.hasBody(type),
      Message.isTerminal(type)
    ])
    expect(table).toEqual([
      ["R", "Request", true, false],
      ["C", "Cancel", false, false],
      ["A", "Acknowledge Request", true, false],
      ["J", "Reject Request", true, true],
      ["I", "Intermediate Chunk", true, false],
      ["F", "Final Chunk", true, true],
      ["E", "Error", true, true],
      ["K", "Acknowledge Cancel", false, true],
      ["H", "Heartbeat", false, false]
    ])
  })
})

describe("FrameError", () => {
  it("survives encoding and decoding with its reason", () => {
    for (const bad of Transcripts.bad) {
      const { error } = decode(optionsOf(bad), [Reference.bytes(bad.hex)])
      const json = JSON.stringify(Schema.encodeUnknownSync(Message.FrameError)(error))
      const again = Schema.decodeUnknownSync(Message.FrameError)(JSON.parse(json))
      expect(again).toBeInstanceOf(Message.FrameError)
      expect(again.message).toBe(error?.message)
    }
  })
})
