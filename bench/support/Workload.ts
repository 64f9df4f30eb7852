/**
 * What the servers of a bench are asked for. A request's body, or the query of a v1 request, is `TOTAL CHUNK MODE`: a result of TOTAL bytes in
 * chunks of CHUNK bytes, `ready` at once or `streamed`: one promise for each chunk. What follows in the body is
 * padding.
 */
export interface Workload {
  readonly total: number
  readonly chunkSize: number
  readonly mode: "ready" | "streamed"
  /** Asked for as it is, of a server that makes results of its own: one of TOTAL bytes. */
  readonly query?: string
}

const KiB = 1024
const decoder = new TextDecoder()
/** No request says more than this before its padding. */
const prefix = 64

const brace = 0x7b

const textOf = (body: Uint8Array): string =>
  body[0] === brace ? JSON.parse(decoder.decode(body)).query : decoder.decode(body.subarray(0, prefix))

export const parse = (body: Uint8Array): Workload => {
  const [total, chunkSize, mode] = textOf(body).split(" ")
  return {
    total: Number(total),
    chunkSize: Number(chunkSize),
    mode: mode === "streamed" ? "streamed" : "ready"
  }
}

export const format = ({ chunkSize, mode, query, total }: Workload): string =>
  query ?? `${total} ${chunkSize} ${mode} `

/** A result that never ends. */
export const endless: Workload = { total: Number.POSITIVE_INFINITY, chunkSize: 64 * KiB, mode: "ready" }

/** The payload of every accept. */
export const accept = Buffer.from('{"format":"application/json","queryId":"1"}')

/** Every result repeats this. */
const period = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
let text = Buffer.alloc(64 * KiB, period)

/** The bytes of a result from `position` on. Views of one buffer: what is measured is moving bytes, not making them. */
export const bytesAt = (position: number, length: number): Uint8Array => {
  const start = position % period.length
  if (text.length < start + length) text = Buffer.alloc(start + length, period)
  return text.subarray(start, start + length)
}

/** Whether `bytes` are those of a result from `position` on. */
export const matches = (bytes: Uint8Array, position: number): boolean =>
  Buffer.compare(bytes, bytesAt(position, bytes.length)) === 0

/** Chunks by their length, and by where in the period they begin. */
const chunks = new Map<number, Array<Uint8Array>>()

const chunkAt = (position: number, length: number): Uint8Array => {
  let ofLength = chunks.get(length)
  if (ofLength === undefined) {
    ofLength = []
    chunks.set(length, ofLength)
  }
  const start = position % period.length
  const chunk = ofLength[start] ?? bytesAt(start, length)
  ofLength[start] = chunk
  return chunk
}

/** The chunks of a result, one a call, and then `undefined`. Chunks of one length and content are one object. */
export const source = ({ chunkSize, total }: Workload): (() => Uint8Array | undefined) => {
  let position = 0
  return () => {
    const left = total - position
    if (left <= 0) return undefined
    const chunk = chunkAt(position, Math.min(left, chunkSize))
    position += chunkSize
    return chunk
  }
}
