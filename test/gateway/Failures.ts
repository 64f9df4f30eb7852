/**
 * What each kind of client sees of results that break off, in each format.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Browser from "../../src/browser/index.ts"
import * as Served from "./Served.ts"

/** The formats of results, and the records of `format=events`. */
const formats = ["json", "ndjson", "csv", "arrow", "parquet"] as const

/** A query that fails after its first rows. */
export interface Failing {
  readonly query: string
  readonly timeoutMs?: number
}

/** How it looks to clients that are told: those of the WebSocket, and of `format=events`; nothing if the gateway dies. */
export interface Told {
  readonly code: string
  readonly message: RegExp
}

/** `curl` says that the transfer was cut short. */
const cutShort = 18

const allAtOnce = { concurrency: "unbounded", discard: true } as const

const searchOf = ({ timeoutMs }: Failing, format: string): string =>
  `format=${format}${timeoutMs === undefined ? "" : `&timeoutMs=${timeoutMs}`}`

const curled = (url: string, failing: Failing, format: string) =>
  Effect.map(
    Served.curl(
      ...["-H", "content-type: application/sql", "-d", failing.query],
      `${url}/v1/query?${searchOf(failing, format)}`
    ),
    ({ code, stdout }) => {
      assert.strictEqual(code, cutShort, `curl ${format}`)
      assert.isNotEmpty(stdout, `curl ${format}`)
    }
  )

const fetched = (url: string, failing: Failing, format: string) =>
  Effect.promise(async (signal) => {
    const init = { ...Served.sql(failing.query), signal }
    const response = await fetch(`${url}/v1/query?${searchOf(failing, format)}`, init)
    assert.strictEqual(response.status, 200, `fetch ${format}`)
    const body = await response.text().then(
      () => "whole",
      () => "broken"
    )
    assert.strictEqual(body, "broken", `fetch ${format}`)
  })

/** Exactly one record ends the events, unless the gateway itself has gone. */
const recorded = (url: string, failing: Failing, told: Told | undefined) =>
  Effect.gen(function* () {
    const at = `${url}/v1/query?${searchOf(failing, "events")}`
    const exit = yield* Effect.exit(Served.fetched(at, Served.sql(failing.query)))
    if (told === undefined) return assert.isTrue(Exit.isFailure(exit), "events")
    const records = (yield* exit).text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    const ends = records.filter(({ type }) => type === "end" || type === "error")
    assert.lengthOf(ends, 1)
    assert.strictEqual(records.at(-1), ends[0])
    assert.strictEqual(ends[0].error?.code, told.code)
    assert.match(ends[0].error.message, told.message)
    assert.isTrue(records.some(({ type }) => type === "rows"))
  })

const streamed = (url: string, { query, timeoutMs }: Failing, code: string) =>
  Effect.promise(async () => {
    const connection = await Browser.connect(`${url.replace("http", "ws")}/v1/stream`)
    const seen = formats.map(async (format) => {
      const request = { query, format, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
      const running = connection.query(request)
      const error = await running.bytes().then(
        () => assert.fail(`the WebSocket has ${format} whole`),
        (error: Browser.QueryError) => error
      )
      assert.strictEqual(error.code, code, `WebSocket ${format}: ${error.message}`)
      // It had begun: the receipt is what says that it did not end.
      await running.accepted
      assert.strictEqual(await running.receipt.catch((error: Browser.QueryError) => error.code), code)
    })
    await Promise.all(seen)
    connection.close()
  })

/** Waits until the results of all queries are on their way. What has come is passed on before another request is answered. */
const begun = (url: string): Effect.Effect<unknown> =>
  Effect.andThen(asked(url), Served.fetched(`${url}/v1/targets`))

const asked = (url: string): Effect.Effect<unknown> =>
  Effect.repeat(
    Effect.map(Served.fetched(`${url}/v1/queries`), ({ json }) => {
      const verdicts = json()["queries"] as ReadonlyArray<{ readonly state: string; readonly bytes: number }>
      return verdicts.filter(({ bytes, state }) => state === "running" && bytes > 0).length
    }),
    { until: (count) => count === 3 * formats.length + 1 }
  )

/**
 * Asks the query with each client in each format, all at once, has them fail once all are on their way, and fails unless
 * each client sees it.
 */
export const seen = (
  { fail, url }: { readonly fail: Effect.Effect<unknown>; readonly url: string },
  failing: Failing,
  told?: Told
): Effect.Effect<void> =>
  Effect.all(
    [
      ...formats.flatMap((format) => [curled(url, failing, format), fetched(url, failing, format)]),
      Effect.andThen(begun(url), fail),
      recorded(url, failing, told),
      streamed(url, failing, told?.code ?? "connection_lost")
    ],
    allAtOnce
  )
