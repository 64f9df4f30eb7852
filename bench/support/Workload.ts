/**
 * What the servers of a bench are asked for. A request's body is `TOTAL CHUNK MODE`: a result of TOTAL bytes in
 * chunks of CHUNK bytes, `ready` at once or `streamed` asynchronously.
 */
export interface Workload {
  readonly total: number
  readonly chunkSize: number
  readonly mode: "ready" | "streamed"
}

const decoder = new TextDecoder()

export const parse = (body: Uint8Array): Workload => {
  const [total, chunkSize, mode] = decoder.decode(body).split(" ")
  return {
    total: Number(total),
    chunkSize: Number(chunkSize),
    mode: mode === "streamed" ? "streamed" : "ready"
  }
}

export const format = ({ chunkSize, mode, total }: Workload): string => `${total} ${chunkSize} ${mode}`

/** A result that never ends. */
export const endless: Workload = { total: Number.POSITIVE_INFINITY, chunkSize: 64 * 1024, mode: "ready" }

const chunks = new Map<number, Uint8Array>()

/** A chunk of this size. The same one each time: what is measured is moving bytes, not making them. */
export const chunkOf = (size: number): Uint8Array => {
  let chunk = chunks.get(size)
  if (chunk === undefined) {
    chunk = Buffer.alloc(size, "a")
    chunks.set(size, chunk)
  }
  return chunk
}

/** The payload of every accept. */
export const accept = Buffer.from('{"format":"application/json","queryId":"1"}')
