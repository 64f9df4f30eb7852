/**
 * A real Chromium, where there is one.
 */
import { existsSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Browser, chromium, type Page } from "playwright-core"

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

/** Its program, or `undefined` where none is installed. `CHROMIUM` names another one. */
export const program: string | undefined = process.env["CHROMIUM"] ?? places.find(existsSync)

/** Starts it; the scope ends it. */
export const start: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      ...(program === undefined ? {} : { executablePath: program }),
      // Tests may run as root, as in containers, whose shared memory is small.
      args: ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"]
    })
  ),
  (browser) => Effect.promise(() => browser.close())
)

export interface PageOptions {
  readonly url: string
  readonly size?: { readonly width: number; readonly height: number }
}

/** A page with nothing of other pages, and what went wrong in it. */
export const open = (
  browser: Browser,
  { size = { width: 1200, height: 760 }, url }: PageOptions
): Effect.Effect<{ readonly page: Page; readonly errors: ReadonlyArray<string> }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext({ viewport: size })),
      (context) => Effect.promise(() => context.close())
    )
    const page = yield* Effect.promise(() => context.newPage())
    const errors: Array<string> = []
    page.on("pageerror", (error) => errors.push(error.message))
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text())
    })
    yield* Effect.promise(() => page.goto(url))
    return { page, errors }
  })
