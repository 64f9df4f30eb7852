/**
 * A recording becomes a scenario that asks, answers, cancels and leaves as it was recorded.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Recording from "../../src/recording/Recording.ts"
import * as FromRecording from "./FromRecording.ts"
import { Random } from "./Random.ts"
import * as Simulation from "./Simulation.ts"

const body = (type: string, from: string, at: number, connection = 1, length = 0) =>
  JSON.stringify({ at, connection, from, type, length })

const lines = [
  Recording.formatHeader({ values: "redacted", lengthCounts: "frame" }),
  JSON.stringify({ at: 0, connection: 1, event: "opened", peer: "server" }),
  body("R", "client", 20, 1, 30),
  body("H", "server", 30),
  body("A", "server", 50, 1, 10),
  body("I", "server", 60, 1, 100_000),
  body("F", "server", 61),
  JSON.stringify({ at: 70, connection: 2, event: "opened", peer: "server" }),
  body("R", "client", 90_000, 1, 30),
  body("A", "server", 90_001, 1, 10),
  body("C", "client", 90_200),
  body("K", "server", 90_201),
  body("R", "client", 90_202, 1, 30),
  body("J", "server", 90_203, 1, 30),
  JSON.stringify({ at: 90_204, connection: 1, from: "client", event: "closed" }),
  body("R", "client", 90_205, 2, 30),
  body("R", "client", 90_206, 2, 30),
  JSON.stringify({ at: 90_207, connection: 2, from: "server", event: "closed" })
]

const recording = Result.getOrThrow(Recording.parse(`${lines.join("\n")}\n`))

describe("a scenario of a recording", () => {
  it("asks, answers, cancels and leaves as it was recorded, in less time and bytes", () => {
    const { clients, settings } = FromRecording.make(recording)(new Random(1))
    assert.strictEqual(settings.lengthCounts, "frame")
    const [first, second] = clients
    assert.deepStrictEqual(
      first?.requests.map(({ cancelAfter, query, thinking }) => [
        thinking,
        query.init,
        query.initDelay,
        query.chunks,
        query.ending,
        cancelAfter
      ]),
      [
        [
          20,
          "accept",
          30,
          [
            { delay: 10, size: 1500 },
            { delay: 1, size: 0 }
          ],
          "complete",
          undefined
        ],
        [500, "accept", 1, [], "silent", 200],
        [1, "reject", 1, [], "silent", undefined]
      ]
    )
    assert.strictEqual(first?.leaving, "close")
    assert.deepInclude(second?.requests[0], { violation: "second request" })
    assert.strictEqual(second?.requests.length, 1)
    assert.isUndefined(second?.leaving)
  })

  it("shows nothing wrong in the code as it is, whatever the network does", () => {
    for (let seed = 1; seed <= 5; seed++) {
      const variation = { ...Simulation.asItIs, make: FromRecording.make(recording) }
      assert.deepStrictEqual(Simulation.run(seed, variation).failures, [], `seed ${seed}`)
    }
  })
})
