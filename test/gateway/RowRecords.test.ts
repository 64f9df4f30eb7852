import { assert, it } from "@effect/vitest"
import { RowRecords } from "../../src/gateway/Events.ts"

it("keeps the beginning of a row when the memory of its chunk has been given back", () => {
  const records = new RowRecords(100)
  const chunk = Buffer.from('{"a":1}\n{"a":')
  records.push([chunk])
  chunk.fill(0)
  const record = records.push([Buffer.from("2}\n")])
  assert.strictEqual(Buffer.from(record ?? []).toString(), '{"type":"rows","rows":[{"a":2}]}\n')
})
