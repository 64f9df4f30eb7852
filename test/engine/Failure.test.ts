import { assert, describe, it } from "vitest"
import * as Failure from "../../src/engine/duckdb/Failure.ts"

const failure = (type: string, message: string): Failure.Failure => ({ type, message, offset: undefined })

describe("a failure of DuckDB's own", () => {
  it("is read without the addresses of its code", () => {
    const after = "\n\nStack Trace:\n\n/usr/lib/duckdb.node(+0x1)\n\nThis error signals an assertion failure"
    const internal = { exception_type: "INTERNAL", exception_message: `Oops${after}` }
    const ofClient = { exception_type: "Invalid Input", exception_message: `Mine${after}` }
    const read = (text: string) => Failure.fromCause(new Error(text)).message
    assert.strictEqual(read(JSON.stringify(internal)), "Oops")
    assert.strictEqual(read(`INTERNAL Error: Oops${after}`), "INTERNAL Error: Oops")
    assert.strictEqual(read(JSON.stringify(ofClient)), `Mine${after}`)
  })
})

describe("a query that finds no memory", () => {
  it.each([
    ["what the process has none left for", "Failed to allocate block of 262144 bytes (bad allocation)", true],
    ["more than any other needs", "Failed to allocate block of 4294967296 bytes (bad allocation)", false],
    ["what others have", "failed to allocate data of size 16.0 MiB (1.4 GiB/1.5 GiB used)", true],
    ["more than there is", "failed to allocate data of size 4.0 GiB (40.0 KiB/858.3 MiB used)", false],
    ["what it needs itself", "could not allocate block of size 8.0 GiB (1.0 GiB/2.0 GiB used)", false]
  ])("may be run again if that is %s: %s", (_, message, retryable) => {
    const out = failure("Out of Memory", message)
    for (const error of [Failure.toError(out), Failure.toReject(out, "SELECT 1")]) {
      assert.strictEqual(error.code, "out_of_memory")
      assert.strictEqual(error.retryable, retryable)
    }
  })

  it("may be run again if only a step before it failed, of which DuckDB says no more", () => {
    const aborted = failure("TransactionContext", "Current transaction is aborted (please ROLLBACK)")
    for (const error of [Failure.toError(aborted), Failure.toReject(aborted, "SELECT 1")]) {
      assert.strictEqual(error.code, "out_of_memory")
      assert.isTrue(error.retryable)
      assert.notInclude(error.message, "ROLLBACK")
    }
  })
})
