/** The worker of one query: reads its events as fast as allowed, and keeps the rows for the page. */
import type { FromWorker, Outcome, Progress, Query, QueryError, Row, ToWorker } from "./Messages.ts"
import { Lines, type Record, rowParser, rowsText } from "./Records.ts"
import { RowStore } from "./RowStore.ts"
import { Summary } from "./Sampling.ts"

/** The maximum size of the kept part of a result, in UTF-16 units: later rows are only counted. */
const maxKept = 1024 * 1024 * 1024
const progressEveryMs = 100

const tell = (message: FromWorker): void => postMessage(message)

let parse = rowParser([])
let store = new RowStore(maxKept, parse)
let summary = new Summary([])
const abort = new AbortController()
let rows = 0
let bytes = 0
let startedAt = 0
let firstRowMs: number | undefined
let fraction: number | undefined
let resume: (() => void) | undefined
let paused: Promise<void> | undefined

const progress = (): Progress => ({
  rows,
  kept: store.kept,
  bytes,
  elapsedMs: performance.now() - startedAt,
  firstRowMs,
  fraction
})

const lost = (message: string): Outcome => ({ _tag: "Failed", error: { code: "connection_lost", message } })

/** A response that is not a result: a problem in JSON, or the answer of another HTTP server. */
const refused = async (response: Response): Promise<Outcome> => {
  const text = await response.text()
  try {
    const problem = JSON.parse(text) as QueryError & { readonly detail?: string }
    const error = { ...problem, message: problem.detail ?? problem.message, status: response.status }
    return { _tag: "Failed", error }
  } catch {
    return {
      _tag: "Failed",
      error: { code: `http_${response.status}`, message: text.slice(0, 500), status: response.status }
    }
  }
}

const add = (arrived: ReadonlyArray<Row>, text: string): void => {
  firstRowMs ??= performance.now() - startedAt
  rows += arrived.length
  summary.push(arrived)
  store.push(arrived, text)
}

/** Handles a record. Returns the outcome for the last one. */
const handle = (line: string): Outcome | undefined => {
  const text = rowsText(line)
  if (text !== undefined) {
    add(parse(text), text)
    return undefined
  }
  const record = JSON.parse(line) as Record
  switch (record.type) {
    case "columns":
      summary = new Summary(record.columns ?? [])
      parse = rowParser(record.columns ?? [])
      store = new RowStore(maxKept, parse)
      tell({ _tag: "Columns", queryId: record.queryId, columns: record.columns ?? [] })
      return undefined
    case "progress":
      fraction = record.fraction
      return undefined
    case "end":
      return { _tag: "Complete" }
    case "error":
      return record.error.code === "cancelled"
        ? { _tag: "Cancelled" }
        : { _tag: "Failed", error: record.error }
    default:
      return undefined
  }
}

const receive = async (response: Response): Promise<Outcome> => {
  if (!response.ok || response.body === null) return refused(response)
  const lines = new Lines()
  const decoder = new TextDecoder()
  const reader = response.body.getReader()
  for (let toldAt = 0; ; ) {
    // A pause of reading exerts back-pressure on the server.
    await paused
    const { done, value } = await reader.read()
    if (done) return lost("The gateway broke the response off: the result is incomplete")
    bytes += value.length
    for (const line of lines.push(decoder.decode(value, { stream: true }))) {
      const outcome = handle(line)
      if (outcome !== undefined) return outcome
    }
    if (performance.now() - toldAt > progressEveryMs) {
      toldAt = performance.now()
      tell({ _tag: "Progress", progress: progress() })
    }
  }
}

const run = async ({ query, target, token }: Query): Promise<Outcome> => {
  startedAt = performance.now()
  try {
    const response = await fetch("/v1/query", {
      method: "POST",
      signal: abort.signal,
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      },
      // JavaScript's numbers have 53 bits: wider ones are requested as text, and so are those that JSON
      // cannot represent.
      body: JSON.stringify({
        version: "v1",
        query,
        format: "events",
        numbers: "string",
        progress: true,
        target
      })
    })
    return await receive(response)
  } catch (error) {
    if (abort.signal.aborted) return { _tag: "Cancelled" }
    return lost(error instanceof Error ? error.message : String(error))
  }
}

const pause = (isPaused: boolean): void => {
  resume?.()
  resume = undefined
  paused = isPaused
    ? new Promise((resolve) => {
        resume = resolve
      })
    : undefined
}

/** Answers a request in all cases. */
const answer = async (id: number, make: () => FromWorker | Promise<FromWorker>): Promise<void> => {
  try {
    tell(await make())
  } catch (error) {
    tell({ _tag: "Unanswered", id, message: error instanceof Error ? error.message : String(error) })
  }
}

addEventListener("message", async ({ data }: MessageEvent<ToWorker>) => {
  switch (data._tag) {
    case "Run": {
      const outcome = await run(data.query)
      tell({ _tag: "Ended", outcome, progress: progress() })
      break
    }
    case "Pause":
      pause(data.isPaused)
      break
    case "Cancel":
      // The gateway treats the end of the request as a cancel.
      abort.abort()
      pause(false)
      break
    case "Rows": {
      const { from, id, to } = data
      await answer(id, async () => ({ _tag: "Rows", id, rows: await store.rows(from, to) }))
      break
    }
    case "Sample": {
      const { id, request } = data
      await answer(id, () => ({ _tag: "Sample", id, sample: summary.sample(request) }))
    }
  }
})
