/**
 * The rows of a result, in blocks that the browser keeps outside of the page's memory (`Blob`) and may write
 * to disk. Only an index and the blocks that were read last are objects here.
 */
import type { Row } from "./Messages.ts"

/** The approximate length of a block's text. */
const blockLength = 1024 * 1024
/** The number of cached blocks. */
const cached = 4

/** Rows that arrived together, as the text of a JSON array without its brackets. */
interface Block {
  readonly start: number
  readonly count: number
  readonly text: Blob
}

export class RowStore {
  private readonly maxLength: number
  private readonly parse: (text: string) => ReadonlyArray<Row>
  private readonly blocks: Array<Block> = []
  private readonly recent = new Map<Block, ReadonlyArray<Row>>()
  private pending: Array<string> = []
  private pendingRows: Array<Row> = []
  private pendingLength = 0
  private length = 0
  private size = 0
  private isFull = false

  /**
   * `maxLength` is the maximum length of the kept text; later rows are dropped. `parse` reads rows from the
   * text that they were added with.
   */
  constructor(maxLength: number, parse: (text: string) => ReadonlyArray<Row>) {
    this.maxLength = maxLength
    this.parse = parse
  }

  /** The number of kept rows. */
  get kept(): number {
    return this.size
  }

  /** Adds rows, whose JSON is `text` without its brackets. */
  push(rows: ReadonlyArray<Row>, text: string): void {
    this.isFull ||= this.length + text.length > this.maxLength
    if (this.isFull || rows.length === 0) return
    this.pending.push(text)
    for (const row of rows) this.pendingRows.push(row)
    this.pendingLength += text.length
    this.length += text.length
    this.size += rows.length
    if (this.pendingLength >= blockLength) this.seal()
  }

  private seal(): void {
    const count = this.pendingRows.length
    const text = new Blob([this.pending.join(",")])
    this.blocks.push({ start: this.size - count, count, text })
    this.pending = []
    this.pendingRows = []
    this.pendingLength = 0
  }

  /** The rows from `from` up to `to`, as far as there are any. */
  async rows(from: number, to: number): Promise<ReadonlyArray<Row>> {
    const found: Array<Row> = []
    const end = Math.min(to, this.size)
    for (let at = Math.max(0, from); at < end; ) {
      const [start, rows] = await this.around(at)
      const part = rows.slice(at - start, end - start)
      if (part.length === 0) break
      found.push(...part)
      at += part.length
    }
    return found
  }

  /** The block with this row: its first row's index, and its rows. */
  private async around(at: number): Promise<readonly [number, ReadonlyArray<Row>]> {
    const pendingStart = this.size - this.pendingRows.length
    if (at >= pendingStart) return [pendingStart, this.pendingRows]
    const block = this.find(at)
    return [block.start, await this.read(block)]
  }

  private find(at: number): Block {
    let low = 0
    let high = this.blocks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.blocks[middle] as Block).start <= at) low = middle
      else high = middle - 1
    }
    return this.blocks[low] as Block
  }

  private async read(block: Block): Promise<ReadonlyArray<Row>> {
    const rows = this.recent.get(block) ?? this.parse(await block.text.text())
    this.recent.delete(block)
    this.recent.set(block, rows)
    for (const oldest of this.recent.keys()) {
      if (this.recent.size <= cached) break
      this.recent.delete(oldest)
    }
    return rows
  }
}
