import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { BigDecimal, Effect, Layer } from "effect"
import { marketServer } from "../readme/market.ts"
import { counts } from "../readme/pool.ts"
import { turnover } from "../readme/rows.ts"
import * as Folder from "../support/Folder.ts"

it.live("a pool counts the trades of a server that knows its token, and a client adds them up", () =>
  Effect.gen(function* () {
    const folder = yield* Folder.make
    const file = join(folder, "trades.csv")
    const address = `unix:${join(folder, "socket")}`
    const rows = ["ABC,1.10,9007199254740993", "GHI,2.00,1", "ABC,3.05,2"].map(
      (row) => `2024-01-02 09:30:00,${row}\n`
    )
    writeFileSync(file, `ts,symbol,price,size\n${rows.join("")}`)
    yield* Layer.build(marketServer(file, address, "s3cret"))
    assert.deepStrictEqual(yield* counts(address, "s3cret"), [2, 0, 1])
    const paid = yield* turnover(address, "s3cret", "ABC")
    assert.strictEqual(BigDecimal.format(paid), "9907919180215098.4")
    const error = yield* Effect.flip(counts(address, "guess"))
    assert.strictEqual(error.message, "metadata.token is not one of this server's")
  })
)
