/**
 * The console in a real browser, before real servers.
 */
import { fileURLToPath } from "node:url"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as esbuild from "esbuild"
import type { Page } from "playwright-core"
import * as Browser from "../support/Browser.ts"
import { isLong } from "../support/Long.ts"
import * as Poll from "../support/Poll.ts"
import { cells, live, open, run, Service, status, write } from "./ConsolePage.ts"

/** Their memory is to be the same. */
const rows = isLong ? 10_000_000 : 1_000_000

/** What JavaScript of the page holds, after a collection. */
const heap = (page: Page): Effect.Effect<number> =>
  Effect.promise(async () => {
    const session = await page.context().newCDPSession(page)
    await session.send("HeapProfiler.collectGarbage")
    await session.send("Performance.enable")
    const { metrics } = await session.send("Performance.getMetrics")
    await session.detach()
    return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? 0
  })

/** Runs in a page: reads rows while another query fails, and leaves a third. */
const clientPage = `(async () => {
  ${esbuild
    .buildSync({
      entryPoints: [fileURLToPath(new URL("../../src/browser/index.ts", import.meta.url))],
      bundle: true,
      write: false,
      format: "iife",
      globalName: "dataconn"
    })
    .outputFiles.map(({ text }) => text)
    .join("\n")}
  const gateway = await dataconn.connect(location.origin.replace("http", "ws") + "/v1/stream")
  const query = (text) => gateway.query({ query: text, target: "rows" }, { credit: 100000 })
  const code = (promise) => promise.then(() => "whole", (error) => error.code)
  const failed = code(query("fail 1000").bytes())
  let rows = 0
  for await (const { n } of query("rows 30000").rows()) if (n === rows) rows++
  const endless = query("endless")
  for await (const chunk of endless) break
  const left = await code(endless.receipt)
  gateway.close()
  return { rows, failed: await failed, left }
})()`

describe.skipIf(Browser.program === undefined)("the console", { timeout: 90_000 }, () => {
  layer(live, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("runs a query with the keyboard, and shows its rows and how it went", () =>
      Effect.gen(function* () {
        const { errors, page } = yield* open()
        yield* run(
          page,
          "SELECT 9007199254740993 AS big, NULL AS none, 'ä <b>' AS text, 'nan'::DOUBLE AS nan, '-inf'::FLOAT AS inf, -0.0::DOUBLE AS zero, '{\"a\": 1.10}'::JSON AS json, e'two\n\tlines' AS lines FROM range(2)"
        )
        const line = yield* status(page, /^Complete/)
        assert.match(line, /^Complete · 2 rows · .* · first row after /)
        assert.deepStrictEqual(yield* cells(page), [
          "1",
          "9007199254740993",
          "NULL",
          "ä <b>",
          "NaN",
          "-Infinity",
          "-0",
          '{"a": 1.10}',
          "two↵⇥lines"
        ])
        yield* Effect.promise(async () => {
          // A page that is reached without TLS has none.
          await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
          await page.keyboard.press("Alt+r")
          await page.keyboard.press("Control+ArrowRight")
          await page.keyboard.press("Enter")
          assert.strictEqual(await page.locator("#cell[open] pre").textContent(), "two\n\tlines")
          const pasted = async () => {
            await page.keyboard.press("Control+C")
            await page.keyboard.press("Escape")
            await page.click(".cm-content")
            await page.keyboard.press("Control+A")
            await page.keyboard.press("Control+V")
            return page.locator(".cm-line").allTextContents()
          }
          const whole = ["two", "\tlines"]
          // In the dialog, of which all may be selected.
          assert.deepStrictEqual(await pasted(), whole)
          await page.keyboard.press("Alt+r")
          await page.keyboard.press("Enter")
          await page.keyboard.press("Control+A")
          assert.deepStrictEqual(await pasted(), whole)
          // In the rows, while what is selected is in the editor.
          await page.keyboard.press("Control+A")
          await page.keyboard.press("Alt+r")
          await page.keyboard.press("Control+A")
          assert.deepStrictEqual(await pasted(), whole)
          await page.locator(".cell.active").dblclick()
          await page.waitForSelector("#cell[open]")
          await page.keyboard.press("Escape")
          // Cells that the mouse selects.
          const cell = page.locator(".canvas .row:first-child .cell")
          await cell.nth(-2).hover()
          await page.mouse.down()
          await cell.nth(-1).hover()
          await page.mouse.up()
          assert.deepStrictEqual(await pasted(), ['{"a": 1.10}\t"two', '\tlines"'])
          for (let tab = 0; tab < 12; tab++) await page.keyboard.press("Alt+n")
          const last = await page.locator('.tabs > span:has([aria-selected="true"])').boundingBox()
          assert.isAtMost((last?.x ?? 0) + (last?.width ?? 0), 1200)
          // A zoom of 400 %.
          await page.setViewportSize({ width: 320, height: 256 })
          await page.keyboard.press("Alt+1")
          await page.waitForSelector(".canvas .row")
          const row = await page.locator(".canvas .row").first().boundingBox()
          assert.isAtMost((row?.y ?? 256) + (row?.height ?? 0), 256)
          assert.isAtMost(await page.locator("html").evaluate((it) => it.scrollWidth as number), 320)
          const table = { name: "one", kind: "table", columns: [] }
          const schemas = [{ catalog: "memory", name: "main", tables: [table] }]
          const targets = [
            { name: "cut", schemas, isComplete: false },
            { name: "broken", schemas: [], isComplete: false, error: { message: "It is gone" } }
          ]
          await page.route("**/v1/catalog", (route) => route.fulfill({ json: { targets } }))
          await page.reload()
          await page.waitForSelector("#catalog:has-text('not all tables')", { state: "attached" })
          await page.selectOption("#target", "broken")
          await page.waitForSelector("#catalog p:text-is('It is gone')", { state: "attached" })
          await page.waitForSelector('[role="tab"][aria-selected="true"]:text-is("Query 1")')
        })
        assert.deepStrictEqual(errors, [])
      })
    )

    it.effect("says how far the engine is with a query that has no rows yet, until it ends", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "silent")
        yield* status(page, /^Running · 50 % · 0 rows · /)
        yield* Effect.promise(() => page.click("#cancel"))
        yield* status(page, /^Cancelled, incomplete · 0 rows · /)
      })
    )

    it.effect("lists the tables, and completes their names and columns", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* Effect.promise(async () => {
          await page.click("#catalog details:has-text('trades') summary")
          await page.waitForSelector("#catalog details[open] li:has-text('symbol')")
          await page.click(".cm-content")
          await page.keyboard.press("Control+A")
          await page.keyboard.type("SELECT * FROM tra")
          await page.waitForSelector(".cm-tooltip-autocomplete:has-text('trades')")
        })
        for (const [before, after, column] of [
          ["SELECT sy", " FROM trades", "symbol"],
          ["FROM quotes AS q JOIN trades USING (ts) SELECT bid_", "", "bid_size"],
          ["SELECT * FROM (SELECT t.pr", " FROM trades t)", "price"],
          ["UPDATE trades SET ", "", "ts"]
        ] as const) {
          yield* write(page, after)
          yield* Effect.promise(async () => {
            await page.keyboard.press("Control+Home")
            await page.keyboard.insertText(before)
            await page.keyboard.press("Control+Space")
            await page.waitForSelector(`.cm-tooltip-autocomplete li:first-child:has-text("${column}")`)
            await page.keyboard.press("Escape")
          })
        }
      })
    )

    it.effect("runs the statement at the cursor, and closes the list of completions", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* run(page, "SELECT 'a;b' AS first; -- ;\nSELECT 'c' AS second")
        yield* status(page, /^Complete/)
        assert.deepStrictEqual(yield* cells(page), ["1", "c"])
        yield* Effect.promise(async () => {
          await page.keyboard.press("Control+Home")
          await page.keyboard.press("Control+Enter")
          await page.locator(".canvas .row:first-child .cell", { hasText: "a;b" }).waitFor()
          await page.keyboard.press("Control+A")
          await page.keyboard.type("SELECT 77 AS n FROM trades")
          await page.waitForSelector(".cm-tooltip-autocomplete")
          await page.keyboard.press("Control+Enter")
          await page.locator(".canvas .row:first-child .cell", { hasText: "77" }).waitFor()
        })
        assert.strictEqual(yield* Effect.promise(() => page.locator(".cm-tooltip-autocomplete").count()), 0)
      })
    )

    it.effect("marks the place of an error, in the text that was run", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* run(page, "SELECT 1 AS a,\n  nothing AS b\nFROM trades")
        yield* status(page, /^Failed/)
        const text = yield* Effect.promise(() => page.textContent("#error"))
        assert.match(text ?? "", /^invalid_query at line 2, column 3: .*nothing/)
        yield* Effect.promise(() => page.waitForSelector(".cm-lintRange-error:has-text('nothing')"))
      })
    )

    it.effect("says where an error is in all of the editor's text, in characters", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        const place = Effect.promise(async () => {
          await page.locator("#error:has-text('prise')").waitFor()
          await page.waitForSelector(".cm-lintRange-error:text-is('prise')")
          return /^\S+ at (.*?):/.exec((await page.textContent("#error")) ?? "")?.[1]
        })
        yield* run(page, "SELECT 1;\n\nSELECT prise FROM trades")
        assert.strictEqual(yield* place, "line 3, column 8")
        yield* run(page, "SELECT '💥💥', prise FROM trades")
        assert.strictEqual(yield* place, "line 1, column 14")
      })
    )

    it.effect("says why it does not run, and what became of a download", () =>
      Effect.gen(function* () {
        const { page, rows } = yield* open()
        yield* run(page, " ")
        yield* status(page, /There is nothing to run$/)
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "hang 10")
        yield* status(page, /^Running · 10 rows/)
        yield* run(page, "fail 5000")
        yield* status(page, /^Running · .* · Still running: Escape cancels it/)
        yield* Effect.promise(async () => {
          // Escape closes these, and cancels nothing.
          await page.keyboard.press("Alt+h")
          await page.waitForSelector("#history[open]")
          await page.keyboard.press("Escape")
          await page.waitForSelector("#history", { state: "hidden" })
          await page.keyboard.type(" sel")
          await page.waitForSelector(".cm-tooltip-autocomplete")
          await page.keyboard.press("Escape")
          await page.waitForSelector(".cm-tooltip-autocomplete", { state: "detached" })
        })
        yield* status(page, /^Running · 10 rows/)
        yield* Effect.promise(() => page.keyboard.press("Escape"))
        yield* status(page, /^Cancelled, incomplete/)
        for (const key of ["Escape", "Alt+w"]) {
          yield* Effect.promise(() => page.selectOption("#download", "csv"))
          yield* Poll.until("the download runs", () => rows.begun() > rows.ended())
          assert.isTrue(yield* Effect.promise(() => page.isDisabled("#download")))
          yield* Effect.promise(() => page.keyboard.press(key))
          yield* Poll.until("the download ends at the back-end", () => rows.ended() === rows.begun())
          if (key === "Escape") yield* status(page, /The download was cancelled$/)
        }
        yield* run(page, "rows 3")
        yield* status(page, /^Complete/)
        // The editor's text has not been run.
        yield* write(page, "endless")
        const downloaded = Effect.promise(() => page.waitForEvent("download"))
        const chosen = Effect.promise(() => page.selectOption("#download", "arrow"))
        const [download] = yield* Effect.all([downloaded, chosen], { concurrency: 2 })
        assert.strictEqual(download.suggestedFilename(), "result.arrows")
        yield* status(page, /Ran again and downloaded$/)
        const { query, readOnly } = rows.requests.at(-1) ?? {}
        assert.deepStrictEqual([query, readOnly], ["rows 3", true])
        yield* run(page, "fail 5000")
        yield* status(page, /^Failed/)
        yield* Effect.promise(() => page.selectOption("#download", "csv"))
        assert.notMatch(yield* status(page, /The download failed$/), /Running again/)
        assert.match(
          (yield* Effect.promise(() => page.textContent("#error"))) ?? "",
          /Not downloaded.*Division by zero/
        )
        yield* Effect.promise(async () => {
          await page.route(/\/v1\/(query|catalog)$/, (route) => route.fulfill({ status: 401 }))
          await page.selectOption("#download", "csv")
          await page.waitForSelector("#token-why:text('wants a token')")
          await page.fill("#token-text", "a wrong token")
          await page.keyboard.press("Enter")
          await page.waitForSelector("#token-why:text('refused the token')")
        })
      })
    )

    it.effect("cancels with Escape, at the back-end too", () =>
      Effect.gen(function* () {
        const { page, rows } = yield* open()
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "endless")
        yield* status(page, /^Running · [1-9]/)
        yield* Effect.promise(() => page.keyboard.press("Escape"))
        yield* status(page, /^Cancelled, incomplete/)
        yield* Poll.until("the query ends at the back-end", () => rows.ended() === rows.begun())
      })
    )

    it.effect("does not take a result that breaks off for a whole one", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "fail 5000")
        assert.match(yield* status(page, /^Failed/), /^Failed, incomplete · 5,000 rows/)
        assert.match(
          (yield* Effect.promise(() => page.textContent("#error"))) ?? "",
          /execution_failed: Division by zero/
        )
      })
    )

    it.effect.runIf(isLong)("holds the back-end back while it is paused, and goes on", () =>
      Effect.gen(function* () {
        const { page, rows } = yield* open()
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "endless")
        yield* status(page, /^Running · [1-9]/)
        yield* Effect.promise(() => page.click("#pause"))
        yield* status(page, /^Paused/)
        let made = -1
        while (made !== rows.made()) {
          made = rows.made()
          yield* Effect.sleep("500 millis")
        }
        yield* Effect.promise(() => page.click("#pause"))
        yield* Poll.until("more rows are made", () => rows.made() > made)
        yield* Effect.promise(() => page.click("#cancel"))
        yield* status(page, /^Cancelled/)
      })
    )

    it.effect(`shows any of ${rows} rows, in memory that does not grow with them`, () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* run(page, "SELECT range AS n FROM range(100000)")
        yield* status(page, /^Complete/)
        const before = yield* heap(page)
        yield* run(page, `SELECT range AS n FROM range(${rows})`)
        yield* status(page, new RegExp(`^Complete · ${rows.toLocaleString("en-US")} rows`))
        yield* Effect.promise(async () => {
          await page.focus(".grid")
          await page.keyboard.press("Control+End")
          await page.waitForSelector(`.canvas .active:has-text('${rows - 1}')`)
          const number = page.locator(".canvas .row:has(.active) .index")
          const hidden = await number.evaluate((it) => (it.scrollWidth - it.clientWidth) as number)
          assert.strictEqual(hidden, 0)
          await page.keyboard.press("PageUp")
          await page.keyboard.press("Control+Home")
          await page.waitForSelector(".canvas .row[aria-rowindex='2'] .cell:has-text('0')")
        })
        assert.isBelow((yield* heap(page)) - before, 50e6)
      })
    )

    it.effect.runIf(isLong)("keeps tabs and history over a reload, which cancels what runs", () =>
      Effect.gen(function* () {
        const { page, rows } = yield* open()
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "rows 1")
        yield* status(page, /^Complete/)
        yield* Effect.promise(() => page.keyboard.press("Alt+n"))
        yield* run(page, "endless")
        yield* status(page, /^Running · [1-9]/)
        yield* Effect.promise(async () => {
          await page.reload()
          await page.waitForSelector(".cm-content:has-text('endless')")
          await page.keyboard.press("Alt+1")
          await page.waitForSelector(".cm-content:has-text('rows 1')")
          await page.keyboard.press("Alt+h")
          await page.waitForSelector("#history li:has-text('rows 1')")
        })
        yield* Poll.until("the query ends at the back-end", () => rows.ended() === rows.begun())
      })
    )

    it.effect.runIf(isLong)("fits a phone, and the dark", () =>
      Effect.gen(function* () {
        const { page } = yield* open({ size: { width: 390, height: 780 } })
        yield* run(page, "FROM trades")
        yield* status(page, /^Complete/)
        const html = page.locator("html")
        const width = yield* Effect.promise(() => html.evaluate(({ scrollWidth }) => scrollWidth as number))
        assert.isAtMost(width, 390)
        const theme = () => html.getAttribute("data-theme")
        yield* Effect.promise(() => page.click("#theme"))
        assert.strictEqual(yield* Effect.promise(theme), "dark")
        yield* Effect.promise(() => page.click("#theme"))
        assert.strictEqual(yield* Effect.promise(theme), "light")
      })
    )

    it.effect.runIf(isLong)("names everything that can be used for those who do not see it", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* run(page, "SELECT 1 AS a")
        yield* status(page, /^Complete/)
        const nameless = yield* Effect.promise(async () => {
          const found: Array<string> = []
          for (const control of await page
            .locator("button, select, input, [role=grid], [role=textbox]")
            .all()) {
            const label = (await control.getAttribute("aria-label")) ?? (await control.textContent()) ?? ""
            const labels = await control.evaluate((it) => (it.labels?.length ?? 0) as number)
            if (label.trim() === "" && labels === 0)
              found.push(await control.evaluate((it) => it.outerHTML as string))
          }
          return found
        })
        assert.deepStrictEqual(nameless, [])
        const grid = page.getByRole("grid")
        assert.strictEqual(yield* Effect.promise(() => grid.getAttribute("aria-rowcount")), "2")
      })
    )

    it.effect("is not the only page: the client for browsers runs in any of the same origin", () =>
      Effect.gen(function* () {
        const { browser, rows, url } = yield* Service
        const { page } = yield* Browser.open(browser, { url: `${url}/healthz` })
        const seen = yield* Effect.promise(() => page.evaluate(clientPage))
        assert.deepStrictEqual(seen, { rows: 30_000, failed: "execution_failed", left: "cancelled" })
        yield* Poll.until("the query ends at the back-end", () => rows.ended() === rows.begun())
        // Its policy names its own script.
        const docs = yield* Browser.open(browser, { url: `${url}/docs` })
        yield* Effect.promise(() => docs.page.waitForSelector(".opblock"))
        assert.deepStrictEqual(docs.errors, [])
      })
    )
  })
})
