/**
 * A query that was run: its worker, and what is known of it.
 */
import type {
  Column,
  FromWorker,
  Outcome,
  Progress,
  Query,
  Row,
  Sample,
  SampleRequest,
  ToWorker
} from "./Messages.ts"

const nothing: Progress = {
  rows: 0,
  kept: 0,
  bytes: 0,
  elapsedMs: 0,
  firstRowMs: undefined,
  fraction: undefined
}

export class Run {
  readonly query: Query
  columns: ReadonlyArray<Column> = []
  progress = nothing
  outcome: Outcome | undefined
  isPaused = false
  private readonly worker: Worker
  private readonly changed: () => void
  private readonly waiting = new Map<number, (answer: never) => void>()
  private lastId = 0

  /** Starts the query. `changed` is called when something of it has. */
  constructor(query: Query, changed: () => void) {
    this.query = query
    this.changed = changed
    this.worker = new Worker("worker.js", { type: "module" })
    this.worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => this.hear(data))
    this.worker.addEventListener("error", (event) => {
      this.outcome = { _tag: "Failed", error: { code: "internal", message: event.message } }
      this.changed()
    })
    this.tell({ _tag: "Run", query })
  }

  get isRunning(): boolean {
    return this.outcome === undefined
  }

  private tell(message: ToWorker): void {
    this.worker.postMessage(message)
  }

  private hear(message: FromWorker): void {
    switch (message._tag) {
      case "Columns":
        this.columns = message.columns
        break
      case "Progress":
        this.progress = message.progress
        break
      case "Ended":
        this.progress = message.progress
        this.outcome = message.outcome
        break
      case "Rows":
        this.answer(message.id, message.rows)
        return
      case "Sample":
        this.answer(message.id, message.sample)
        return
    }
    this.changed()
  }

  private answer(id: number, answer: unknown): void {
    const resolve = this.waiting.get(id)
    this.waiting.delete(id)
    resolve?.(answer as never)
  }

  private ask<A>(message: (id: number) => ToWorker): Promise<A> {
    const id = ++this.lastId
    return new Promise((resolve) => {
      this.waiting.set(id, resolve as (answer: never) => void)
      this.tell(message(id))
    })
  }

  rows(from: number, to: number): Promise<ReadonlyArray<Row>> {
    return this.ask((id) => ({ _tag: "Rows", id, from, to }))
  }

  sample(request: SampleRequest): Promise<Sample> {
    return this.ask((id) => ({ _tag: "Sample", id, request }))
  }

  /** Reads no further, which holds the server back, or goes on. */
  pause(isPaused: boolean): void {
    this.isPaused = isPaused
    this.tell({ _tag: "Pause", isPaused })
    this.changed()
  }

  cancel(): void {
    this.isPaused = false
    this.tell({ _tag: "Cancel" })
  }

  /** Cancels it, and forgets its rows. */
  close(): void {
    this.cancel()
    this.worker.terminate()
  }
}
