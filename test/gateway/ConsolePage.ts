/**
 * The console in a real browser, before real servers: one with DuckDB, `main`, and one with a `RowEngine`, `rows`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type { Browser as Chromium, Page } from "playwright-core"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Address from "../../src/net/Address.ts"
import * as Browser from "../support/Browser.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as RowEngine from "./RowEngine.ts"
import { urlOf } from "./Served.ts"

interface Console {
  readonly browser: Chromium
  readonly url: string
  readonly rows: RowEngine.RowEngine
}

export class Service extends Context.Service<Service, Console>()("test/gateway/ConsolePage") {}

const start = Effect.gen(function* () {
  const rows = RowEngine.make()
  const duckDb = yield* DuckDbEngine.make({ sample: true, threads: 2 })
  const main = yield* LiveServer.start(duckDb)
  const other = yield* LiveServer.start(rows.engine)
  const gateway = yield* Gateway.make({
    http: ["127.0.0.1:0"],
    backends: { main: [Address.format(main.address)], rows: [Address.format(other.address)] }
  })
  const [address] = gateway.addresses
  if (address === undefined) return yield* Effect.die(new Error("the gateway listens nowhere"))
  return { browser: yield* Browser.start, url: urlOf(address), rows }
})

export const live = Layer.provide(Layer.effect(Service, Effect.orDie(start)), Logger.layer([]))

export const open = Effect.fnUntraced(function* (options: Partial<Browser.PageOptions> = {}) {
  const { browser, rows, url } = yield* Service
  const { errors, page } = yield* Browser.open(browser, { url, ...options })
  page.setDefaultTimeout(60_000)
  yield* Effect.promise(() => page.waitForSelector(".cm-content"))
  return { page, errors, rows }
})

export const write = (page: Page, query: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    await page.click(".cm-content")
    await page.keyboard.press("Control+A")
    // As pasted: typing would complete words and close brackets.
    await page.keyboard.insertText(query)
  })

export const run = (page: Page, query: string): Effect.Effect<void> =>
  Effect.andThen(
    write(page, query),
    Effect.promise(() => page.keyboard.press("Control+Enter"))
  )

/** Waits for what the console says of the query. */
export const status = (page: Page, pattern: RegExp): Effect.Effect<string> =>
  Effect.promise(async () => {
    const line = page.locator("#status", { hasText: pattern })
    await line.waitFor()
    return (await line.textContent()) ?? ""
  })

/** What the first row shows, with its number. */
export const cells = (page: Page): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() => page.locator(".canvas .row:first-child .cell").allTextContents())
