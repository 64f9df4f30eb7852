import { assert, describe, it } from "@effect/vitest"
import * as Events from "../../src/gateway/Events.ts"

/** The rows of each record that NDJSON becomes, with a cut at each place. */
const recordsOf = (ndjson: string, cut: number): ReadonlyArray<ReadonlyArray<unknown>> => {
  const bytes = Buffer.from(ndjson)
  const records = new Events.RowRecords(100)
  const made = [records.push([bytes.subarray(0, cut)]), records.push([bytes.subarray(cut)]), records.finish()]
  const rows = made.flatMap((record) =>
    record === undefined ? [] : [JSON.parse(String(Buffer.from(record))).rows]
  )
  assert.strictEqual(records.rows, rows.flat().length)
  return rows
}

describe("the records of rows", () => {
  it.each<[ndjson: string, rows: ReadonlyArray<unknown>]>([
    ['{"a":1}\n{"a":2}\n', [{ a: 1 }, { a: 2 }]],
    ['{"a":1}\n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['\ufeff\r\n{"a":1}\r\n\r\n \n\n{"a":2}\r\n\n', [{ a: 1 }, { a: 2 }]],
    ["\ufeff1", [1]],
    ["\n\n", []],
    ["", []]
  ])("have every row of %j once, wherever its chunks are cut", (ndjson, rows) => {
    for (let cut = 0; cut <= Buffer.byteLength(ndjson); cut++) {
      assert.deepStrictEqual(recordsOf(ndjson, cut).flat(), rows)
    }
  })

  it.each(['{"a":1}\n{"a":', "ab", '{"a":1}\n]}'])("end within a row for %j", (ndjson) => {
    assert.throws(() => recordsOf(ndjson, ndjson.length), /ends within a row/)
  })
})
