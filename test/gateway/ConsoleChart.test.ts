/**
 * What the console shows of queries whose worker is busy, replaced or gone, and its charts.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
import * as Browser from "../support/Browser.ts"
import { isLong } from "../support/Long.ts"
import { live, open, run, status, write } from "./ConsolePage.ts"

/** Waits for the grid to show one row of one value. */
const shows = (page: Page, value: number) =>
  Effect.promise(() => page.waitForSelector(`.canvas .row:only-child .cell:text-is('${value}')`))

/** A worker that says it has rows, and fails when it is asked for them. */
const brokenWorker = `
  const progress = { rows: 5, kept: 5, bytes: 0, elapsedMs: 1 }
  addEventListener("message", ({ data }) => {
    if (data._tag === "Rows") throw new Error("no memory")
    if (data._tag !== "Run") return
    postMessage({ _tag: "Columns", queryId: "q", columns: [{ name: "n", type: "INTEGER" }] })
    postMessage({ _tag: "Ended", outcome: { _tag: "Complete" }, progress })
  })`

/** Runs in a page: how wide a text of an axis is, and the room that each axis has. */
const axes = (text: string) => `(() => {
  const context = document.createElement("canvas").getContext("2d")
  context.font = "12px system-ui, sans-serif"
  const rooms = [...document.querySelectorAll(".u-axis")].map((it) => it.offsetWidth)
  return { needed: context.measureText(${JSON.stringify(text)}).width, room: Math.min(...rooms) }
})()`

describe.skipIf(Browser.program === undefined)("the console", { timeout: 90_000 }, () => {
  layer(live, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("shows the rows of a query that replaces one whose rows were asked for", () =>
      Effect.gen(function* () {
        const { errors, page } = yield* open()
        yield* run(page, "SELECT range AS n FROM range(100000)")
        yield* status(page, /^Complete/)
        yield* write(page, "SELECT 7 AS x")
        // Both within one turn of the page: the worker cannot answer in between.
        yield* Effect.promise(() =>
          page.evaluate(`{
            const grid = document.querySelector(".grid")
            grid.dispatchEvent(new KeyboardEvent("keydown", { key: "End", ctrlKey: true }))
            document.querySelector("#run").click()
          }`)
        )
        yield* shows(page, 7)
        yield* run(page, "SELECT 8 AS x")
        yield* shows(page, 8)
        assert.deepStrictEqual(errors, [])
      })
    )

    it.effect("says that the rows of a query are gone, and shows those of the next one", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* Effect.promise(() =>
          page.route(
            "**/worker.js",
            (route) => route.fulfill({ body: brokenWorker, contentType: "text/javascript" }),
            { times: 1 }
          )
        )
        yield* run(page, "SELECT 6 AS x")
        yield* status(page, /^Complete · 5 rows · .* · .*no memory/)
        yield* run(page, "SELECT 7 AS x")
        yield* shows(page, 7)
      })
    )

    it.effect("draws a chart in two clicks", () =>
      Effect.gen(function* () {
        const { errors, page } = yield* open()
        yield* run(page, "SELECT range AS n, range * 2 AS twice FROM range(100000)")
        yield* status(page, /^Complete/)
        yield* Effect.promise(async () => {
          await page.click("#show-chart")
          await page.waitForSelector("#chart .uplot canvas")
        })
        assert.match((yield* Effect.promise(() => page.textContent("#chart"))) ?? "", /100,000 rows/)
        assert.deepStrictEqual(errors, [])
      })
    )

    it.effect("draws a chart while rows arrive, and never that of another query", () =>
      Effect.gen(function* () {
        const { page } = yield* open()
        yield* Effect.promise(() => page.selectOption("#target", "rows"))
        yield* run(page, "hang 5000")
        yield* status(page, /^Running · 5,000 rows/)
        yield* Effect.promise(async () => {
          await page.click("#show-chart")
          await page.waitForSelector("#chart:has(.uplot canvas):has-text('Drawing… 5,000 rows so far')")
          await page.click("#cancel")
          await page.waitForSelector("#chart:has(.uplot canvas):not(:has-text('Drawing…'))")
        })
        yield* run(page, "silent")
        yield* status(page, /^Running · 50 % · 0 rows/)
        const chart = page.locator("#chart")
        assert.match((yield* Effect.promise(() => chart.textContent())) ?? "", /Drawing…$/)
        assert.strictEqual(yield* Effect.promise(() => chart.locator(".uplot").count()), 0)
      })
    )

    for (const width of isLong ? [1200, 375] : [375]) {
      it.effect(`has room for the numbers of a chart ${width} pixels wide`, () =>
        Effect.gen(function* () {
          const { page } = yield* open({ size: { width, height: 760 } })
          yield* run(page, "SELECT range AS n, sin(range / 100.0) * 1000000 AS d FROM range(1000)")
          yield* status(page, /^Complete/)
          const { needed, room } = yield* Effect.promise(async () => {
            await page.click("#show-chart")
            await page.waitForSelector("#chart .uplot canvas")
            return page.evaluate<{ needed: number; room: number }>(axes("-1,000,000"))
          })
          // The ticks are beside them.
          assert.isAtLeast(room, needed + 10)
          yield* run(page, "SELECT * FROM (VALUES ('ill', 1), ('WWW', 2)) AS t(name, value)")
          const last = yield* Effect.promise(async () => {
            await page.waitForSelector("#chart .uplot:has-text('name')")
            return page.evaluate<number>(
              "document.querySelector('.uplot').clientWidth - document.querySelector('.u-over').offsetLeft - document.querySelector('.u-over').offsetWidth"
            )
          })
          // Half of a label is beyond the axis.
          assert.isAtLeast(last, 16)
        })
      )
    }
  })
})
