import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { Listener } from "../../src/cli/load/Connection.ts"
import { Driver, type Line } from "../../src/cli/load/Driver.ts"
import * as Plan from "../../src/cli/load/Plan.ts"
import { percentiles, Tally } from "../../src/cli/load/Tally.ts"
import { type Kind, sized, split, type Task, weigh } from "../../src/cli/load/Task.ts"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as QueryServer from "../support/QueryServer.ts"

const small: Kind = { name: "small", request: new Uint8Array(1) }

const task = (changes: Partial<Task>): Task => ({
  server: "127.0.0.1:1",
  kinds: [small],
  connections: [0],
  requests: Number.POSITIVE_INFINITY,
  durationMillis: 1000,
  graceMillis: 0,
  connectTimeoutMillis: 0,
  ...changes
})

/** A connection whose responses the test ends. */
class FakeLine implements Line {
  listener: Listener | undefined
  requests = 0
  cancels = 0

  request(_: Uint8Array, listener: Listener): void {
    this.requests++
    this.listener = listener
  }

  cancel(): void {
    this.cancels++
  }

  complete(result?: Uint8Array): void {
    const { listener } = this
    listener?.accepted()
    if (result !== undefined) listener?.chunk(result)
    listener?.ended({ _tag: "Complete" })
  }
}

/** A driver at a time that the test sets. */
const drive = (changes: Partial<Task>, lines: ReadonlyArray<FakeLine>) => {
  let now = 5000
  let done = false
  const driver = new Driver(task(changes), () => now)
  driver.start(lines, () => {
    done = true
  })
  return {
    driver,
    isDone: () => done,
    pass: (millis: number) => {
      now += millis
      driver.tick()
    }
  }
}

describe("the driver of a load", () => {
  it("asks again as soon as a response has ended, until its time is over", () => {
    const line = new FakeLine()
    const { driver, isDone, pass } = drive({}, [line])
    for (let at = 0; at < 9; at++) {
      pass(100)
      line.complete()
    }
    assert.strictEqual(line.requests, 10)
    pass(100)
    line.complete()
    assert.strictEqual(line.requests, 10)
    assert.isTrue(isDone())
    const { counters, histograms } = driver.tally(0)
    assert.strictEqual(counters.complete, 10)
    assert.closeTo(percentiles(histograms.raw)?.p50 ?? 0, 100, 0.1)
  })

  it("counts the wait of requests that were due at a rate, in the corrected latency only", () => {
    const line = new FakeLine()
    const { driver, pass } = drive({ rate: 10 }, [line])
    // The first response takes half a second, in which five more are due; each of the others a millisecond.
    pass(500)
    line.complete()
    for (let at = 0; at < 5; at++) {
      pass(1)
      line.complete()
    }
    const { counters, histograms } = driver.tally(0)
    assert.strictEqual(counters.complete, 6)
    assert.closeTo(percentiles(histograms.raw)?.p50 ?? 0, 1, 0.01)
    assert.closeTo(percentiles(histograms.corrected)?.p50 ?? 0, 203, 1)
    assert.closeTo(percentiles(histograms.corrected)?.max ?? 0, 500, 1)
  })

  it("sends nothing before it is due, and says how many were never sent", () => {
    const line = new FakeLine()
    const { driver, pass } = drive({ rate: 10 }, [line])
    line.complete()
    assert.strictEqual(line.requests, 1)
    pass(99)
    assert.strictEqual(line.requests, 1)
    pass(1)
    assert.strictEqual(line.requests, 2)
    // Nothing ends any more.
    pass(900)
    driver.abandon()
    const { counters } = driver.tally(0)
    assert.strictEqual(counters.unfinished, 1)
    assert.strictEqual(counters.unsent, 8)
  })

  it("tells results that are short or altered from whole ones", () => {
    const { expected } = sized(1000)
    const whole = Buffer.from(`{"v":"${"x".repeat(991)}"}\n`)
    const altered = Buffer.from(whole)
    altered[500] = 0x79
    const line = new FakeLine()
    const { driver } = drive({ kinds: [{ ...small, expected }] }, [line])
    line.complete(whole)
    line.complete(whole.subarray(1))
    line.complete(altered)
    const { counters, errors } = driver.tally(0)
    assert.strictEqual(counters.complete, 1)
    assert.strictEqual(counters.wrong, 2)
    assert.deepStrictEqual(
      [...errors.keys()],
      ["a result of 999 bytes instead of 1000", "a result with other bytes than expected"]
    )
  })

  it("measures a cancel from when it was sent", () => {
    const line = new FakeLine()
    const { driver, pass } = drive({ kinds: [{ ...small, cancels: true }] }, [line])
    pass(300)
    line.listener?.chunk(new Uint8Array(10))
    line.listener?.chunk(new Uint8Array(10))
    assert.strictEqual(line.cancels, 1)
    pass(20)
    line.listener?.ended({ _tag: "Cancelled" })
    assert.closeTo(percentiles(driver.tally(0).histograms.raw)?.p50 ?? 0, 20, 0.1)
  })

  it("goes on with the other connections when one is lost, and ends with the last", () => {
    const lines = [new FakeLine(), new FakeLine()]
    const { driver, isDone } = drive({ connections: [0, 0] }, lines)
    lines[0]?.listener?.ended({ _tag: "Lost", detail: "reset" })
    assert.isFalse(isDone())
    lines[1]?.complete()
    lines[1]?.listener?.ended({ _tag: "Lost", detail: "reset" })
    assert.isTrue(isDone())
    assert.deepStrictEqual(Object.fromEntries(driver.tally(0).errors), { reset: 2 })
  })
})

describe("the task of a load", () => {
  it("is shared out among threads without losing a connection or a request a second", () => {
    const parts = split(task({ connections: [0, 1, 2, 3, 4], rate: 30 }), 2)
    assert.deepStrictEqual(
      parts.map(({ connections }) => connections),
      [
        [0, 2, 4],
        [1, 3]
      ]
    )
    assert.strictEqual(
      parts.reduce((sum, { rate = 0 }) => sum + rate, 0),
      30
    )
    assert.strictEqual(split(task({}), 8).length, 1)
  })

  it("shares connections out by weight", () => {
    const count = (kinds: ReadonlyArray<number>) =>
      [0, 1, 2].map((kind) => kinds.filter((it) => it === kind).length)
    assert.deepStrictEqual(count(weigh([8, 1, 1], 20)), [16, 2, 2])
    assert.deepStrictEqual(count(weigh([8, 1, 1], 3)), [1, 1, 1])
  })

  it("keeps its numbers on the way between threads", () => {
    const tally = new Tally()
    tally.error("lost", "reset")
    tally.counters.bytes = 2 ** 40
    tally.histograms.raw.recordValue(1234)
    const decoded = Tally.decode(structuredClone(tally.encode()))
    decoded.add(Tally.decode(tally.encode()))
    assert.strictEqual(decoded.counters.bytes, 2 ** 41)
    assert.deepStrictEqual([...decoded.errors], [["reset", 2]])
    assert.strictEqual(decoded.histograms.raw.totalCount, 2)
  })
})

const bench = Effect.fnUntraced(function* (server: string, ...args: ReadonlyArray<string>) {
  const command = yield* Dataconn.run(["bench", ...args, "--server", server])
  const code = yield* command.exit
  return { code, output: command.lines().join("\n"), stderr: command.stderr() }
})

/** What is wrong with flags of a mode, of which these are given. */
const problem = (mode: Plan.Mode, given: Partial<Parameters<typeof Plan.withoutEffect>[1]>) =>
  Plan.withoutEffect(mode, { size: false, query: false, rate: false, requests: false, ...given })

describe("a plan", () => {
  it("takes no flag that its mode has no use for", () => {
    for (const mode of Plan.modes) {
      const isLarge = mode === "bulk" || mode === "fan-out" || mode === "mix"
      const isSmall = mode === "small" || mode === "mix"
      assert.strictEqual(problem(mode, { size: true }) === undefined, isLarge)
      assert.strictEqual(problem(mode, { query: true }) === undefined, isSmall)
      assert.strictEqual(problem(mode, { rate: true }) === undefined, mode !== "idle")
      assert.strictEqual(problem(mode, { requests: true }) === undefined, mode !== "idle")
    }
  })
})

describe("dataconn bench", () => {
  it.live(
    "loads a server in each mode, verifies what it gets, and says what it could not get",
    () =>
      Effect.gen(function* () {
        const server = yield* Dataconn.serveTiny()
        const address = Address.format(yield* server.address)
        const fs = yield* FileSystem.FileSystem
        const folder = yield* fs.makeTempDirectoryScoped()

        const fanOut = yield* bench(address, "fan-out", "--clients", "5", "--size", "1MB", "--json")
        assert.strictEqual(fanOut.code, 0, fanOut.stderr)
        const report = JSON.parse(fanOut.output)
        assert.strictEqual(report.kinds[0].complete, 5)
        assert.strictEqual(report.kinds[0].bytes, 5e6)
        assert.isAbove(report.ceiling.bytesPerSecond, 0)

        const plot = `${folder}/latency.svg`
        const mix = yield* bench(
          address,
          "mix",
          "--clients",
          "4",
          "--size",
          "10kB",
          "--requests",
          "5",
          "--plot",
          plot
        )
        assert.strictEqual(mix.code, 0, mix.output)
        assert.match(mix.output, /^small +\d+/m)
        assert.match(mix.output, /cancel to its acknowledgement +[\d.]+/)
        assert.match(mix.output, /Errors: none/)
        assert.match(yield* fs.readFileString(plot), /^<svg [\s\S]*<\/svg>\n$/)

        const failing = yield* bench(
          address,
          "--query",
          "SELECT nothing",
          "--requests",
          "3",
          "--clients",
          "1",
          "--no-ceiling"
        )
        assert.strictEqual(failing.code, 1)
        assert.match(failing.output, /3 x invalid_query: .*nothing/)
      }).pipe(Effect.provide(NodeServices.layer), Effect.scoped),
    60_000
  )

  it.live("asks for a format that the server has", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.ofFormats("text/csv")
      const flags = ["--query", "csv a|", "--requests", "2", "--clients", "1", "--no-ceiling"]
      const { code, output } = yield* bench(address, ...flags)
      assert.match(output, /Errors: none/)
      assert.strictEqual(code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("says that nobody listens", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* bench("127.0.0.1:1", "idle", "--clients", "2")
      assert.strictEqual(code, 2)
      assert.match(stderr, /^Cannot connect to 127\.0\.0\.1:1: .*ECONNREFUSED.* \(see --server\)$/m)
    }).pipe(Effect.scoped)
  )
})
