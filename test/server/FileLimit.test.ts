import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as FileLimit from "../../src/server/FileLimit.ts"

describe("the limit", () => {
  it("is the soft one of the kernel's table", () => {
    const limits = [
      "Limit                     Soft Limit           Hard Limit           Units     ",
      "Max processes             1                    2                    processes ",
      "Max open files            1024                 524288               files     "
    ].join("\n")
    assert.strictEqual(FileLimit.parse(limits), 1024)
  })

  it("is unknown where there is no such table, and where there is no limit", () => {
    assert.strictEqual(FileLimit.parse(""), undefined)
    assert.strictEqual(FileLimit.parse("Max open files   unlimited   unlimited   files"), undefined)
  })
})

describe.skipIf(process.platform !== "linux")("the check", () => {
  const warnings = Effect.fnUntraced(function* (maxConnections: number) {
    const said: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      said.push(`${logLevel} ${message}`)
    })
    yield* Effect.provide(FileLimit.check(maxConnections), Logger.layer([logger]))
    return said
  })

  it.live("warns of more connections than the process may have open, by the setting's name", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* warnings(1), [])
      const [warning = ""] = yield* warnings(Number.MAX_SAFE_INTEGER)
      assert.match(warning, /^Warn .*\(maxConnections\).*\(ulimit -n\)$/)
    })
  )

  it.live("leaves some for what is no connection", () =>
    Effect.gen(function* () {
      const limit = FileLimit.parse(readFileSync("/proc/self/limits", "utf8")) ?? assert.fail("no limit")
      const most = limit - FileLimit.others - FileLimit.dismissals(limit)
      assert.isEmpty(yield* warnings(most))
      assert.isNotEmpty(yield* warnings(limit - FileLimit.others))
    })
  )
})
