import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Message from "../../src/protocol/Message.ts"
import { accept, chunk, end } from "../../src/testing/StepEngine.ts"
import * as Peer from "../support/Peer.ts"
import * as Served from "../support/Served.ts"

/** Ways to get a connection into each state; how the query then ended; what has been read. */
const states: ReadonlyArray<
  readonly [
    name: string,
    enter: (served: Served.Served) => Effect.Effect<unknown>,
    log: ReadonlyArray<string>,
    tags: string
  ]
> = [
  ["fresh", () => Effect.void, [], "Opened Closed"],
  ["initialising", ({ peer }) => peer.request("one"), ["init one", "ended"], "Opened Request Aborted Closed"],
  [
    "responding",
    ({ peer, steps }) =>
      Effect.gen(function* () {
        yield* steps.step(accept, chunk("a"))
        yield* peer.request("one")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "I a"])
      }),
    ["init one", "ended"],
    "Opened Request Accepted Aborted Closed"
  ],
  [
    "after a response",
    ({ peer, steps }) =>
      Effect.gen(function* () {
        yield* steps.step(accept, end)
        yield* peer.request("one")
        assert.deepStrictEqual(yield* peer.take(2), ["A yes", "F"])
      }),
    ["init one", "ended"],
    "Opened Request Accepted Completed Closed"
  ],
  [
    "after K",
    ({ peer }) =>
      Effect.gen(function* () {
        yield* peer.request("one")
        yield* peer.cancel
        assert.strictEqual(yield* peer.next, "K")
      }),
    ["init one", "ended"],
    "Opened Request Cancelled Closed"
  ]
]

const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)
const type = (letter: string) => letter.charCodeAt(0)

const serverTypes = [
  Message.Type.Accept,
  Message.Type.Reject,
  Message.Type.Intermediate,
  Message.Type.Final,
  Message.Type.Error,
  Message.Type.CancelAcknowledged,
  Message.Type.Heartbeat
]

const illegal: ReadonlyArray<readonly [name: string, input: Uint8Array, detail: string]> = [
  ...serverTypes.map(
    (server) =>
      [
        Message.name(server),
        Message.encode(Message.make(server)),
        `${Message.name(server)} from a client`
      ] as const
  ),
  ["an unknown type", bytes(0, 0, 0, 0, type("x")), "is not a message type"],
  ["a cancel with a body", bytes(1, 0, 0, 0, type("C"), 1), "may have no body"],
  ["an accept above maxFrameSize", bytes(96, 0, 0, 0, type("A")), "maxFrameSize"],
  ["a frame of the largest length", bytes(255, 255, 255, 255, type("R")), "maxFrameSize"]
]

const tooLong = (length: number) => bytes(length, 0, 0, 0, type("R"))

for (const [state, enter, log, tags] of states) {
  describe(`${state}:`, () => {
    if (state === "initialising" || state === "responding") {
      it.effect("a request above maxFrameSize is a violation as soon as its header has come", () =>
        Effect.gen(function* () {
          const served = yield* Served.open({ maxFrameSize: 100 })
          yield* enter(served)
          yield* Served.settle
          yield* served.peer.sendBytes(tooLong(96))
          assert.deepStrictEqual(yield* served.peer.rest, ["closed"])
          assert.strictEqual((yield* served.ended).reason, "protocol")
          assert.include(served.closed().detail, "maxFrameSize")
        })
      )
    } else {
      it.effect("a request above maxFrameSize is rejected, and the next one is answered", () =>
        Effect.gen(function* () {
          const served = yield* Served.open({ maxFrameSize: 100, maxSkippedSize: 200 })
          yield* enter(served)
          yield* Served.settle
          for (const size of [96, 195]) {
            yield* served.peer.sendBytes(tooLong(size))
            yield* served.peer.sendBytes(new Uint8Array(size))
            assert.match(yield* served.peer.next, /^J \{"code":"too_large",.*maxFrameSize/)
          }
          assert.deepStrictEqual(served.steps.log, log)
          yield* served.steps.step(accept, end)
          yield* served.peer.request("next")
          assert.deepStrictEqual(yield* served.peer.take(2), ["A yes", "F"])
        })
      )

      for (const [maxSkippedSize, length] of [
        [200, 196],
        [5, 96]
      ] as const) {
        it.effect(`a request above maxSkippedSize is a violation: ${maxSkippedSize}`, () =>
          Effect.gen(function* () {
            const served = yield* Served.open({ maxFrameSize: 100, maxSkippedSize })
            yield* enter(served)
            yield* Served.settle
            yield* served.peer.sendBytes(tooLong(length))
            assert.deepStrictEqual(yield* served.peer.rest, ["closed"])
            assert.strictEqual((yield* served.ended).reason, "protocol")
          })
        )
      }
    }

    for (const [name, input, detail] of illegal) {
      it.effect(`${name} is a violation`, () =>
        Effect.gen(function* () {
          const served = yield* Served.open({ maxFrameSize: 100 })
          yield* enter(served)
          yield* Served.settle
          yield* served.peer.sendBytes(input)
          assert.deepStrictEqual(yield* served.peer.rest, ["closed"])
          assert.strictEqual((yield* served.ended).reason, "protocol")
          assert.include(served.closed().detail, detail)
          assert.deepStrictEqual(served.steps.log, log)
          assert.strictEqual(served.tags(), tags)
        })
      )
    }

    const endings = [
      ["closes", (peer: Peer.Peer) => peer.close, "End of file"],
      ["half-closes", (peer: Peer.Peer) => peer.halfClose, "End of file"],
      ["resets", (peer: Peer.Peer) => peer.reset, "read ECONNRESET"],
      [
        "closes inside a frame",
        (peer: Peer.Peer) => Effect.andThen(peer.sendBytes(bytes(3, 0, 0, 0, type("R"), 1)), peer.halfClose),
        "6 of 8 bytes"
      ]
    ] as const
    for (const [name, end, detail] of endings) {
      it.effect(`a peer that ${name} ends the connection`, () =>
        Effect.gen(function* () {
          const served = yield* Served.open()
          yield* enter(served)
          yield* Served.settle
          yield* end(served.peer)
          assert.strictEqual((yield* served.ended).reason, "read")
          assert.include(served.closed().detail, detail)
          assert.deepStrictEqual(served.steps.log, log)
          assert.strictEqual(served.tags(), tags)
          assert.strictEqual(yield* served.peer.next, "closed")
        })
      )
    }
  })
}

describe("a request", () => {
  it.effect("while another is in flight is a violation", () =>
    Effect.gen(function* () {
      for (const enter of [states[1]?.[1], states[2]?.[1]]) {
        const served = yield* Served.open()
        yield* enter?.(served) ?? assert.fail()
        yield* served.peer.request("two")
        assert.deepStrictEqual(yield* served.peer.rest, ["closed"])
        assert.strictEqual((yield* served.ended).reason, "protocol")
        assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
      }
    })
  )

  it.effect("while one is being cancelled is a violation", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 10 })
      yield* served.steps.step(accept, chunk("aaaaaaaaaa"))
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.peer.cancel
      yield* served.peer.request("two")
      assert.strictEqual((yield* served.ended).reason, "protocol")
      assert.include(served.closed().detail, "Request before the cancel was acknowledged")
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )

  it.effect("before a violation in the same segment is begun and aborted", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.peer.sendBytes(
        Uint8Array.from([...Message.encode(Peer.request("one")), ...bytes(0, 0, 0, 0, type("x"))])
      )
      assert.deepStrictEqual(yield* served.peer.rest, ["closed"])
      assert.strictEqual((yield* served.ended).reason, "protocol")
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )

  it.effect("followed by a half-close is aborted", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.steps.step(accept)
      yield* served.peer.request("one")
      yield* served.peer.halfClose
      yield* served.ended
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )

  it.effect("may have an empty body", () =>
    Effect.gen(function* () {
      const served = yield* Served.open()
      yield* served.steps.step(accept, end)
      yield* served.peer.request("")
      assert.deepStrictEqual(yield* served.peer.take(2), ["A yes", "F"])
    })
  )

  it.effect("arrives whole however it is cut, and with lengths that count something else", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ lengthCounts: "frame" })
      yield* served.steps.step({ _tag: "reject", payload: "no" })
      const encoded = Message.encode(Peer.request("one"), {
        ...Message.defaultOptions,
        lengthCounts: "frame"
      })
      for (const byte of encoded) {
        yield* served.peer.sendBytes(bytes(byte))
        yield* Effect.yieldNow
      }
      yield* Served.settle
      assert.deepStrictEqual(served.steps.log, ["init one", "ended"])
    })
  )
})

describe("a response whose end is still being written", () => {
  it.effect("reaches a peer that has half-closed", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      yield* served.steps.step(accept, chunk("a"), end)
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.peer.halfClose
      yield* Served.settle
      assert.deepStrictEqual(yield* served.peer.rest, ["A yes", "F a", "closed"])
      yield* served.ended
      assert.strictEqual(served.tags(), "Opened Request Accepted Completed Closed")
    })
  )

  it.effect("is aborted by a violation", () =>
    Effect.gen(function* () {
      const served = yield* Served.open({ capacity: 4 })
      yield* served.steps.step(accept, chunk("a"), end)
      yield* served.peer.request("one")
      yield* Served.settle
      yield* served.peer.send(Message.make(Message.Type.Heartbeat))
      assert.strictEqual((yield* served.ended).reason, "protocol")
      assert.strictEqual(served.tags(), "Opened Request Accepted Aborted Closed")
    })
  )
})
