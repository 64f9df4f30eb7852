/**
 * Reads frames without keeping their bodies: a client that does no more than that is not the bottleneck.
 */
export interface Handlers {
  readonly onHeader?: (type: number, length: number) => void
  /** A part of a body. */
  readonly onBody?: (type: number, bytes: Uint8Array) => void
  readonly onEnd?: (type: number) => void
}

const headerSize = 5

/** A function to be called with each piece that arrives. */
export const make = ({ onBody, onEnd, onHeader }: Handlers): ((bytes: Buffer) => void) => {
  const header = Buffer.alloc(headerSize)
  let have = 0
  let left = 0
  let type = 0
  return (bytes) => {
    for (let at = 0; at < bytes.length; ) {
      if (have < headerSize) {
        const end = Math.min(bytes.length, at + headerSize - have)
        have += bytes.copy(header, have, at, end)
        at = end
        if (have < headerSize) return
        left = header.readUInt32LE(0)
        type = header[4] ?? 0
        onHeader?.(type, left)
      }
      const part = Math.min(left, bytes.length - at)
      if (part > 0) onBody?.(type, bytes.subarray(at, at + part))
      at += part
      left -= part
      if (left > 0) return
      have = 0
      onEnd?.(type)
    }
  }
}
