/**
 * Where a file is not UTF-8. DuckDB has no message for some of these places: it fails as if by a fault of its
 * own, and gives its instance up.
 */
import { isUtf8 } from "node:buffer"
import { open } from "node:fs/promises"

/** How much is searched at a time: about a millisecond of the event loop. */
const pieceBytes = 1024 ** 2

/** Most bytes of a file that are searched. */
const maxBytes = 1024 ** 3

/** Longest character, in bytes. */
const maxCharacter = 4

const lineFeed = 0x0a

/** The number of the first line that is not UTF-8, from 1; `undefined` if none is found. */
export const lineOf = async (path: string): Promise<number | undefined> => {
  const file = await open(path)
  try {
    const buffer = Buffer.alloc(pieceBytes)
    let line = 1
    for (let at = 0, kept = 0; at < maxBytes; ) {
      const { bytesRead } = await file.read(buffer, kept, pieceBytes - kept, at)
      at += bytesRead
      const whole = buffer.subarray(0, kept + bytesRead)
      const piece = bytesRead === 0 ? whole : whole.subarray(0, lastBoundary(whole))
      if (!isUtf8(piece)) return line + linesBefore(piece)
      if (bytesRead === 0) return undefined
      line += count(piece)
      kept = buffer.copy(buffer, 0, piece.length, whole.length)
    }
    return undefined
  } finally {
    await file.close()
  }
}

/** The end of the last character that is there in whole, or may be. */
const lastBoundary = (bytes: Uint8Array): number => {
  for (let at = bytes.length - 1; at >= 0 && at >= bytes.length - maxCharacter; at--) {
    const byte = bytes[at] as number
    if (byte < 0x80) return bytes.length
    if (byte >= 0xc0) return at
  }
  return bytes.length
}

const count = (bytes: Uint8Array): number => {
  let lines = 0
  for (const byte of bytes) if (byte === lineFeed) lines++
  return lines
}

/** The number of lines before the first that is not UTF-8. */
const linesBefore = (bytes: Uint8Array): number => {
  let lines = 0
  for (let start = 0; start < bytes.length; lines++) {
    const end = bytes.indexOf(lineFeed, start)
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) break
    start = end + 1
  }
  return lines
}
