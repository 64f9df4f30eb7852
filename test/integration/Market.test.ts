import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { marketServer } from "../readme/market.ts"
import { counts } from "../readme/pool.ts"
import * as Folder from "../support/Folder.ts"

it.live("a pool counts the trades of a server that knows its token", () =>
  Effect.gen(function* () {
    const folder = yield* Folder.make
    const file = join(folder, "trades.csv")
    const address = `unix:${join(folder, "socket")}`
    writeFileSync(file, "symbol,price\nABC,1\nGHI,2\nABC,3\n")
    yield* Layer.build(marketServer(file, address, "s3cret"))
    assert.deepStrictEqual(
      (yield* counts(address, "s3cret")).map((line) => Object.values(JSON.parse(line))),
      [[2], [0], [1]]
    )
    const error = yield* Effect.flip(counts(address, "guess"))
    assert.strictEqual(error.message, "metadata.token is not one of this server's")
  })
)
