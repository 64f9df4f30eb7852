/** A query that was run: its worker and its state. */
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
  /** The reason why arrived rows cannot be shown. */
  trouble = ""
  private readonly worker: Worker
  private readonly changed: () => void
  private readonly waiting = new Map<number, (answer: unknown) => void>()
  private lastId = 0
  private isClosed = false

  /** Starts the query. `changed` is called at each change of its state. */
  constructor(query: Query, changed: () => void) {
    this.query = query
    this.changed = changed
    this.worker = new Worker("worker.js", { type: "module" })
    this.worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => this.hear(data))
    this.worker.addEventListener("error", ({ message = "The worker of the query is gone" }) => {
      this.outcome ??= { _tag: "Failed", error: { code: "internal", message } }
      this.trouble = message
      this.close()
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
      case "Unanswered":
        this.trouble = message.message
        this.answer(message.id, undefined)
        break
    }
    this.changed()
  }

  private answer(id: number, answer: unknown): void {
    const resolve = this.waiting.get(id)
    this.waiting.delete(id)
    resolve?.(answer)
  }

  /**
   * Every request is answered, with `undefined` if the worker fails or has ended, so that callers never hang.
   */
  private ask<A>(message: (id: number) => ToWorker): Promise<A | undefined> {
    if (this.isClosed) return Promise.resolve(undefined)
    const id = ++this.lastId
    return new Promise((resolve) => {
      this.waiting.set(id, resolve as (answer: unknown) => void)
      this.tell(message(id))
    })
  }

  rows(from: number, to: number): Promise<ReadonlyArray<Row> | undefined> {
    return this.ask((id) => ({ _tag: "Rows", id, from, to }))
  }

  sample(request: SampleRequest): Promise<Sample | undefined> {
    return this.ask((id) => ({ _tag: "Sample", id, request }))
  }

  /** Pauses reading, which exerts back-pressure on the server, or resumes it. */
  pause(isPaused: boolean): void {
    this.isPaused = isPaused
    this.tell({ _tag: "Pause", isPaused })
    this.changed()
  }

  cancel(): void {
    this.isPaused = false
    this.tell({ _tag: "Cancel" })
  }

  /** Cancels the query, and drops its rows. */
  close(): void {
    this.isClosed = true
    this.cancel()
    this.worker.terminate()
    for (const id of this.waiting.keys()) this.answer(id, undefined)
  }
}
