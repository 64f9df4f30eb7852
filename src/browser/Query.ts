/** A running query, and its result on its way to the reader. */
import { type Accepted, QueryError, type Receipt } from "./Models.ts"

interface Deferred<A> {
  readonly promise: Promise<A>
  readonly resolve: (value: A) => void
  readonly reject: (error: QueryError) => void
}

const deferred = <A>(): Deferred<A> => {
  const made = Promise.withResolvers<A>()
  // Prevents an unhandled rejection: awaiting the promise is optional.
  made.promise.catch(() => {})
  return made
}

const ndjson = "application/x-ndjson"

/** Fails with a `QueryError` for a result that is not NDJSON. */
const decoded = <A>(decode: () => A): A => {
  try {
    return decode()
  } catch (error) {
    throw new QueryError({
      code: "internal",
      message: `The result is not ${ndjson}: ${(error as Error).message}`
    })
  }
}

/** The rows of whole lines; empty lines are skipped. */
function* rowsOf(lines: string): Generator<unknown, void, void> {
  for (const line of lines.split("\n")) {
    if (line.trim() !== "") yield decoded(() => JSON.parse(line))
  }
}

/** The members of a connection that a query uses. */
export interface Line {
  readonly grant: (id: number, bytes: number) => void
  readonly cancel: (id: number) => void
}

/**
 * A running query. Its result is read once: as chunks, as rows, or as a whole.
 *
 * Leaving a loop over the result before its end cancels the query.
 *
 * @category models
 * @since 0.1.0
 */
export class Query implements AsyncIterable<Uint8Array> {
  /** Resolves when the query was accepted; rejects with a {@link QueryError} if it was not. */
  readonly accepted: Promise<Accepted>
  /** Resolves when the result is whole; rejects with a {@link QueryError} if it will not be. */
  readonly receipt: Promise<Receipt>
  private readonly id: number
  private readonly line: Line
  private readonly accepting = deferred<Accepted>()
  private readonly ending = deferred<Receipt>()
  private chunks: Array<Uint8Array> = []
  private error: QueryError | undefined
  private isOver = false
  private isRead = false
  private wake: (() => void) | undefined

  /** @internal */
  constructor(id: number, line: Line) {
    this.id = id
    this.line = line
    this.accepted = this.accepting.promise
    this.receipt = this.ending.promise
  }

  /** @internal */
  received(record: { readonly type: string; readonly [field: string]: unknown }): void {
    switch (record.type) {
      case "accepted":
        this.accepting.resolve(record as unknown as Accepted)
        break
      case "end":
        this.isOver = true
        this.ending.resolve(record["receipt"] as Receipt)
        break
      case "error":
        this.fail(new QueryError(record["error"] as ConstructorParameters<typeof QueryError>[0]))
        break
      case "cancelled":
        this.fail(new QueryError({ code: "cancelled", message: "The query was cancelled" }))
    }
    this.wake?.()
  }

  /** @internal */
  fail(error: QueryError): void {
    if (this.isOver) return
    this.isOver = true
    this.error = error
    this.accepting.reject(error)
    this.ending.reject(error)
    this.wake?.()
  }

  /** @internal */
  chunk(bytes: Uint8Array): void {
    this.chunks.push(bytes)
    this.wake?.()
  }

  /** Cancels the query, and returns when it has ended. */
  async cancel(): Promise<void> {
    if (!this.isOver) this.line.cancel(this.id)
    await this.ending.promise.catch(() => {})
  }

  /** The result as it arrives. Parts that are not read are not sent. Fails with a {@link QueryError}. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.isRead) throw new Error("The result of a query is read once")
    this.isRead = true
    try {
      for (;;) {
        const chunk = this.chunks.shift()
        if (chunk !== undefined) {
          yield chunk
          if (!this.isOver) this.line.grant(this.id, chunk.length)
        } else if (this.error !== undefined) throw this.error
        else if (this.isOver) return
        else await new Promise<void>((resolve) => (this.wake = resolve))
      }
    } finally {
      this.chunks = []
      if (!this.isOver) this.line.cancel(this.id)
    }
  }

  /**
   * The rows of a result in NDJSON, as they arrive: one for each line, including a last line without a line
   * break. Fails with a {@link QueryError}, and cancels the query, if the result has another format or is
   * malformed.
   *
   * **Gotchas**
   *
   * Numbers are JavaScript's: 9007199254740993 becomes 9007199254740992, and NaN `null`. A request with
   * `numbers: "string"` gets all such numbers, as texts; the `wideNumbers` of a column tells whether it has
   * any.
   */
  async *rows<Row = Record<string, unknown>>(): AsyncGenerator<Row, void, void> {
    const { format } = await this.accepted
    if (format !== ndjson) {
      void this.cancel()
      throw new QueryError({ code: "unsupported_format", message: `rows() reads ${ndjson}, not ${format}` })
    }
    const decoder = new TextDecoder("utf-8", { fatal: true })
    let rest = ""
    for await (const chunk of this) {
      const text = decoded(() => decoder.decode(chunk, { stream: true }))
      const end = text.lastIndexOf("\n")
      if (end >= 0) yield* rowsOf(rest + text.slice(0, end)) as Iterable<Row>
      rest = end < 0 ? rest + text : text.slice(end + 1)
    }
    yield* rowsOf(rest + decoded(() => decoder.decode())) as Iterable<Row>
  }

  /** The whole result as bytes. */
  async bytes(): Promise<Uint8Array> {
    const chunks: Array<Uint8Array> = []
    let size = 0
    for await (const chunk of this) {
      chunks.push(chunk)
      size += chunk.length
    }
    const all = new Uint8Array(size)
    let at = 0
    for (const chunk of chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    return all
  }

  /** The whole result as text. */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes())
  }
}
