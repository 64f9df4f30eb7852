/**
 * Whether the editor can be read, in the light and in the dark: what WCAG AA asks of text is a contrast of 4.5:1.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
import * as Browser from "../support/Browser.ts"
import { isLong } from "../support/Long.ts"
import { live, open, run, status } from "./ConsolePage.ts"

interface Seen {
  readonly text: string
  readonly color: string
  readonly contrast: number
}

/**
 * Runs in a page: the texts of the editor, with the contrast to what is below them. A line may be selected, which its
 * elements do not tell.
 */
const texts = `(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const editor = document.querySelector(".cm-editor")
  const over = (colors) => {
    context.clearRect(0, 0, 1, 1)
    for (const color of colors) {
      context.fillStyle = color
      context.fillRect(0, 0, 1, 1)
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
  }
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((it) => (it / 255 <= 0.04045 ? it / 255 / 12.92 : ((it / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (a, b) => {
    const [less, more] = [luminance(a), luminance(b)].sort((a, b) => a - b)
    return (more + 0.05) / (less + 0.05)
  }
  const selection = document.createElement("div")
  selection.className = "cm-selectionBackground"
  editor.querySelector(".cm-selectionLayer").append(selection)
  const selected = getComputedStyle(selection).backgroundColor
  selection.remove()
  const seen = []
  const look = (element, text, pseudo) => {
    if (text.trim() === "" || element.getClientRects().length === 0) return
    const above = []
    for (let it = element; it !== null; it = it.parentElement) above.unshift(it)
    const { color } = getComputedStyle(element, pseudo)
    const on = (selection) => {
      const grounds = above.flatMap((it) => [
        ...(it.matches(".cm-line") ? selection : []),
        getComputedStyle(it).backgroundColor
      ])
      return contrast(over([...grounds, color]), over(grounds))
    }
    const isOpaque = above.every((it) => getComputedStyle(it).opacity === "1")
    seen.push({ text, color, contrast: isOpaque ? Math.min(on([]), on([selected])) : 0 })
  }
  for (const walker = document.createTreeWalker(editor, NodeFilter.SHOW_TEXT); walker.nextNode(); )
    look(walker.currentNode.parentElement, walker.currentNode.data)
  for (const input of editor.querySelectorAll("input.cm-textfield"))
    look(input, input.value || input.placeholder, input.value === "" ? "::placeholder" : undefined)
  return seen
})()`

/** Has as much shown in turn as the editor can, and looks at all of it. */
const look = (page: Page) =>
  Effect.promise(async () => {
    const all: Array<Seen> = []
    const see = async () => void all.push(...(await page.evaluate<ReadonlyArray<Seen>>(texts)))
    await page.waitForSelector(".cm-lintRange-error")
    await see()
    await page.keyboard.press("Control+Shift+M")
    await page.waitForSelector(".cm-panel-lint")
    await see()
    await page.keyboard.press("Escape")
    await page.click(".cm-content")
    await page.keyboard.press("Control+Home")
    await page.keyboard.press("Control+Shift+{")
    await page.waitForSelector(".cm-foldPlaceholder")
    await page.keyboard.press("Control+f")
    await page.keyboard.type("trades")
    await page.keyboard.press("Enter")
    await page.waitForSelector(".cm-searchMatch-selected")
    await see()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+End")
    await page.keyboard.type("tra")
    await page.waitForSelector(".cm-tooltip-autocomplete li[aria-selected]")
    await see()
    return all
  })

const sql = `SELECT 'text' AS s, "quoted" AS q,
  42 AS n, true AS b, NULL AS o -- a comment
;
SELECT (\u200b $1 AS x /* another */ FROM trades JOIN trades t WHERE prise::DOUBLE > 1 `

describe.skipIf(Browser.program === undefined)("the editor of the console", { timeout: 90_000 }, () => {
  layer(live, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    for (const theme of isLong ? ["light", "dark"] : ["dark"]) {
      it.effect(`can be read in the ${theme}`, () =>
        Effect.gen(function* () {
          const { page } = yield* open()
          const html = page.locator("html")
          yield* Effect.promise(async () => {
            await page.click("#theme")
            if ((await html.getAttribute("data-theme")) !== theme) await page.click("#theme")
          })
          yield* run(page, sql)
          yield* status(page, /^Failed/)
          const seen = yield* look(page)
          assert.isAtLeast(new Set(seen.map(({ color }) => color)).size, 10)
          assert.deepStrictEqual(
            seen.filter(({ contrast }) => contrast < 4.5),
            []
          )
        })
      )
    }
  })
})
