/**
 * Where a file is not UTF-8.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as IllText from "../../src/engine/duckdb/IllText.ts"
import * as Folder from "../support/Folder.ts"

const piece = 1024 ** 2
const euro = Buffer.from("€")

/** A file whose first megabyte ends within what follows. */
const across = (bytes: Uint8Array, before: number): Buffer =>
  Buffer.concat([Buffer.from("1\n".repeat(piece / 2)).subarray(before), bytes, Buffer.from("\n")])

describe("the first line that is not UTF-8", () => {
  it.effect.each<[what: string, content: Buffer, line: number | undefined]>([
    ["of an empty file", Buffer.alloc(0), undefined],
    ["of whole characters", Buffer.from("a\n€\n𝄞"), undefined],
    ["of a character that is cut by the end", Buffer.concat([Buffer.from("a\nb\n"), euro.subarray(0, 2)]), 3],
    ["of a byte that is none", Buffer.from("a\n\xff\n\xff\n", "latin1"), 2],
    ["of a character across two pieces", across(euro, 2), undefined],
    ["of a character that is cut there", across(euro.subarray(0, 2), 2), piece / 2],
    ["of a later piece", Buffer.concat([across(euro, 1), Buffer.from("x\n\xff", "latin1")]), piece / 2 + 3]
  ])("%s", ([, content, line]) =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "a.csv")
      writeFileSync(path, content)
      const found = yield* Effect.promise(() => IllText.lineOf(path))
      assert.strictEqual(found, line)
    })
  )
})
