/**
 * Bytes on the wire, written and checked by hand against PROTOCOL.md §1: length (4 bytes, little endian),
 * type (one letter), body.
 */

import type * as LengthDelimited from "../../src/framing/LengthDelimited.ts"
import * as Message from "../../src/protocol/Message.ts"

/** A frame as a peer sends it. `body` is its text. */
export interface Good {
  readonly what: string
  readonly hex: string
  readonly letter: string
  readonly body: string
  readonly lengthCounts?: LengthDelimited.LengthCounts
}

export const good: ReadonlyArray<Good> = [
  // Each of the nine types.
  //      length   R  S E L E C T   1
  { what: "Request", hex: "08000000 52 53454c4543542031", letter: "R", body: "SELECT 1" },
  { what: "Cancel", hex: "00000000 43", letter: "C", body: "" },
  //      length   A  { }
  { what: "Acknowledge Request", hex: "02000000 41 7b7d", letter: "A", body: "{}" },
  //      length   J  n o
  { what: "Reject Request", hex: "02000000 4a 6e6f", letter: "J", body: "no" },
  //      length   I  [ 1 ,
  { what: "Intermediate Chunk", hex: "03000000 49 5b312c", letter: "I", body: "[1," },
  //      length   F  2 ]
  { what: "Final Chunk", hex: "02000000 46 325d", letter: "F", body: "2]" },
  //      length   E  o o p s
  { what: "Error", hex: "04000000 45 6f6f7073", letter: "E", body: "oops" },
  { what: "Acknowledge Cancel", hex: "00000000 4b", letter: "K", body: "" },
  { what: "Heartbeat", hex: "00000000 48", letter: "H", body: "" },

  // An empty body is legal for every type.
  { what: "empty Request", hex: "00000000 52", letter: "R", body: "" },
  { what: "empty Acknowledge Request", hex: "00000000 41", letter: "A", body: "" },
  { what: "empty Reject Request", hex: "00000000 4a", letter: "J", body: "" },
  { what: "empty Intermediate Chunk", hex: "00000000 49", letter: "I", body: "" },
  { what: "empty Final Chunk", hex: "00000000 46", letter: "F", body: "" },
  { what: "empty Error", hex: "00000000 45", letter: "E", body: "" },

  // 0x0102 = 258 bytes of "a": the low byte comes first.
  {
    what: "second byte of the length",
    hex: `02010000 49 ${"61".repeat(258)}`,
    letter: "I",
    body: "a".repeat(258)
  },
  // 0x010003 = 65539 bytes of "."
  {
    what: "third byte of the length",
    hex: `03000100 49 ${"2e".repeat(65539)}`,
    letter: "I",
    body: ".".repeat(65539)
  },

  // The other two ways to count: 8 bytes of body and 1 of type, or 4 of length besides.
  {
    what: "Request, type counted",
    hex: "09000000 52 53454c4543542031",
    letter: "R",
    body: "SELECT 1",
    lengthCounts: "typeAndBody"
  },
  { what: "Cancel, type counted", hex: "01000000 43", letter: "C", body: "", lengthCounts: "typeAndBody" },
  {
    what: "Request, whole frame counted",
    hex: "0d000000 52 53454c4543542031",
    letter: "R",
    body: "SELECT 1",
    lengthCounts: "frame"
  },
  { what: "Cancel, whole frame counted", hex: "05000000 43", letter: "C", body: "", lengthCounts: "frame" }
]

/**
 * Input that is not a sequence of frames. `frames` are the letters of those before the violation; `reason` is
 * all that the error says, and `names` the setting that its message points to.
 */
export interface Bad {
  readonly what: string
  readonly hex: string
  readonly frames: string
  readonly reason: { readonly _tag: string; readonly [field: string]: unknown }
  readonly names: RegExp
  readonly lengthCounts?: LengthDelimited.LengthCounts
  readonly maxFrameSize?: number
  readonly bodyLimits?: Message.BodyLimits
}

export const bad: ReadonlyArray<Bad> = [
  // A limit of the type's own, which others of the same size have not.
  {
    what: "a body above the limit of its type",
    hex: "03000000 49 616263 03000000 41",
    frames: "I",
    reason: { _tag: "BodyTooLong", type: 0x41, length: 3, setting: "maxAcceptSize", maxSize: 2 },
    names:
      /^Acknowledge Request \(A\) has a body of 3 bytes, but maxAcceptSize is 2 bytes: raise maxAcceptSize/,
    bodyLimits: { [Message.Type.Accept]: { setting: "maxAcceptSize", maxSize: 2 } }
  },
  // Types that are none: a letter, a small letter, the zero byte.
  {
    what: "unknown letter",
    hex: "00000000 58",
    frames: "",
    reason: { _tag: "UnknownType", type: 0x58 },
    names: /^0x58 \("X"\) is not a message type.*lengthCounts/
  },
  {
    what: "small letter",
    hex: "00000000 72",
    frames: "",
    reason: { _tag: "UnknownType", type: 0x72 },
    names: /^0x72 \("r"\) .*lengthCounts/
  },
  {
    what: "zero type",
    hex: "00000000 00",
    frames: "",
    reason: { _tag: "UnknownType", type: 0 },
    names: /^0x00 is .*lengthCounts/
  },
  // "GET / HTTP/1.1": the fifth byte is the slash. Told by its type, although the size is absurd too.
  {
    what: "a browser",
    hex: "47455420 2f 20485454502f312e31",
    frames: "",
    reason: { _tag: "UnknownType", type: 0x2f },
    names: /^0x2f \("\/"\) .*does not speak DataConn/
  },
  // The frame before the violation is still good.
  {
    what: "unknown letter after a Heartbeat",
    hex: "00000000 48 00000000 5a",
    frames: "H",
    reason: { _tag: "UnknownType", type: 0x5a },
    names: /^0x5a \("Z"\)/
  },

  // The three types that may have no body. The body itself need not have arrived.
  {
    what: "Cancel with a body",
    hex: "01000000 43",
    frames: "",
    reason: { _tag: "UnexpectedBody", type: 0x43, length: 1 },
    names: /^Cancel \(C\) may have no body.*lengthCounts/
  },
  {
    what: "Acknowledge Cancel with a body",
    hex: "02000000 4b 6e6f",
    frames: "",
    reason: { _tag: "UnexpectedBody", type: 0x4b, length: 2 },
    names: /^Acknowledge Cancel \(K\) .*lengthCounts/
  },
  {
    what: "Heartbeat with a body",
    hex: "05000000 48",
    frames: "",
    reason: { _tag: "UnexpectedBody", type: 0x48, length: 5 },
    names: /^Heartbeat \(H\) .*lengthCounts/
  },
  // 6 - 5 bytes of header = 1
  {
    what: "Cancel with a body, whole frame counted",
    hex: "06000000 43 00",
    frames: "",
    reason: { _tag: "UnexpectedBody", type: 0x43, length: 1 },
    names: /lengthCounts/,
    lengthCounts: "frame"
  },

  // 5 + 11 = 16 bytes would fit, 5 + 12 do not.
  {
    what: "one byte more than the limit",
    hex: "0b000000 52 6162636465666768696a6b 0c000000 52",
    frames: "R",
    reason: { _tag: "MaxSizeTooShortForPayload", maxFrameSize: 16, frameSize: 17 },
    names: /17 bytes.*raise maxFrameSize/,
    maxFrameSize: 16
  },
  // 0xffffffff + 5; as a signed number the length would be -1.
  {
    what: "the largest length",
    hex: "ffffffff 52",
    frames: "",
    reason: { _tag: "MaxSizeTooShortForPayload", maxFrameSize: 1048576, frameSize: 4294967300 },
    names: /raise maxFrameSize/
  },
  // The first byte tells that no header will ever fit.
  {
    what: "a limit below the header",
    hex: "00",
    frames: "",
    reason: { _tag: "MaxSizeTooShortForHeader", maxFrameSize: 4, headerSize: 5 },
    names: /raise maxFrameSize/,
    maxFrameSize: 4
  },

  // A length that does not even cover what it counts.
  {
    what: "length without the type",
    hex: "00000000 48",
    frames: "",
    reason: { _tag: "LengthTooShort", length: 0, minimum: 1, lengthCounts: "typeAndBody" },
    names: /set lengthCounts/,
    lengthCounts: "typeAndBody"
  },
  {
    what: "length without the header",
    hex: "04000000 48",
    frames: "",
    reason: { _tag: "LengthTooShort", length: 4, minimum: 5, lengthCounts: "frame" },
    names: /set lengthCounts/,
    lengthCounts: "frame"
  },

  // Ends that are not between two frames.
  {
    what: "end inside the length",
    hex: "0200",
    frames: "",
    reason: { _tag: "EndInsideFrame", received: 2, expected: undefined },
    names: /inside a header.* 2 byte/
  },
  {
    what: "end before the type",
    hex: "00000000",
    frames: "",
    reason: { _tag: "EndInsideFrame", received: 4, expected: undefined },
    names: /inside a header.* 4 byte/
  },
  {
    what: "end before the body",
    hex: "02000000 46",
    frames: "",
    reason: { _tag: "EndInsideFrame", received: 5, expected: 7 },
    names: /5 of 7 bytes/
  },
  {
    what: "end inside the body, after two frames",
    hex: "00000000 48 01000000 49 5b 02000000 46 32",
    frames: "HI",
    reason: { _tag: "EndInsideFrame", received: 6, expected: 7 },
    names: /6 of 7 bytes/
  }
]
