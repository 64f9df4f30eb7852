import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as FrameSocket from "../../src/framing/FramedConnection.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as FakeSocket from "../support/FakeSocket.ts"
import * as Peer from "../support/Peer.ts"

const a = Message.encode(Peer.request("a"))
const b = Message.encode(Peer.request("bb"))
const cancel = Message.encode(Peer.cancel)
const join = (...parts: ReadonlyArray<Uint8Array>) => Uint8Array.from(parts.flatMap((part) => [...part]))

const open = Effect.fnUntraced(function* (options: Partial<FrameSocket.Options> = {}) {
  const fake = FakeSocket.make()
  const frames = yield* FrameSocket.make(yield* Transport.fromSocket(fake.socket), {
    ...Message.defaultOptions,
    writeTimeoutMillis: Number.POSITIVE_INFINITY,
    ...options
  })
  const pull = Effect.map(frames.pull, (batch) => batch.map(Peer.show))
  return { fake, frames, pull }
})

/** What a pull fails with: `Done`, or the reason of the error. */
const failure = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<string> =>
  Effect.map(Effect.exit(effect), (exit) => {
    assert.isTrue(Exit.isFailure(exit))
    const error = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : assert.fail()
    assert.strictEqual(error._tag, "Some")
    const value = (error._tag === "Some" ? error.value : undefined) as {
      readonly _tag: string
      readonly reason?: { readonly _tag: string }
    }
    return value.reason?._tag ?? value._tag
  })

describe("a pull", () => {
  it.effect("brings all frames of one read", () =>
    Effect.gen(function* () {
      const { fake, frames, pull } = yield* open()
      fake.feed(join(a, b), cancel)
      fake.feed(b)
      assert.deepStrictEqual(yield* pull, ["R a", "R bb", "C"])
      assert.deepStrictEqual(yield* pull, ["R bb"])
      assert.strictEqual(frames.messagesRead(), 4)
      assert.strictEqual(frames.bytesRead(), a.length + 2 * b.length + cancel.length)
    })
  )

  it.effect("reads on until a frame is complete", () =>
    Effect.gen(function* () {
      const { fake, frames, pull } = yield* open()
      for (const byte of join(a, b).subarray(0, -1)) fake.feed(Uint8Array.of(byte))
      assert.deepStrictEqual(yield* pull, ["R a"])
      fake.feed(b.subarray(-1))
      assert.deepStrictEqual(yield* pull, ["R bb"])
      assert.strictEqual(frames.messagesRead(), 2)
    })
  )

  it.effect("brings the frames before a malformed one first, and then its error for ever", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open()
      fake.feed(join(a, Uint8Array.of(0, 0, 0, 0, 0x7a), b))
      fake.feed(b)
      assert.deepStrictEqual(yield* pull, ["R a"])
      assert.strictEqual(yield* failure(pull), "UnknownType")
      assert.strictEqual(yield* failure(pull), "UnknownType")
    })
  )

  it.effect("fails for a frame above the limit as soon as its header is there", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open({ maxFrameSize: 6 })
      fake.feed(a, b.subarray(0, 5))
      assert.deepStrictEqual(yield* pull, ["R a"])
      assert.strictEqual(yield* failure(pull), "MaxSizeTooShortForPayload")
    })
  )

  it.effect("is done when the peer closes behind a frame", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open()
      fake.feed(a)
      fake.fail(FakeSocket.closeError(1000))
      assert.deepStrictEqual(yield* pull, ["R a"])
      assert.strictEqual(yield* failure(pull), "Done")
      assert.strictEqual(yield* failure(pull), "Done")
    })
  )

  it.effect("is done when the peer closes without a byte", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open()
      fake.fail(FakeSocket.closeError(1000))
      assert.strictEqual(yield* failure(pull), "Done")
    })
  )

  for (const length of [1, 4, 5, 6]) {
    it.effect(`fails when the peer closes ${length} bytes into a frame`, () =>
      Effect.gen(function* () {
        const { fake, pull } = yield* open()
        fake.feed(b.subarray(0, length))
        fake.fail(FakeSocket.closeError(1000))
        assert.strictEqual(yield* failure(pull), "EndInsideFrame")
      })
    )
  }

  it.effect("fails as the socket does when the connection breaks", () =>
    Effect.gen(function* () {
      const broken = yield* open()
      broken.fake.feed(a)
      broken.fake.fail(FakeSocket.closeError(1006))
      assert.deepStrictEqual(yield* broken.pull, ["R a"])
      assert.strictEqual(yield* failure(broken.pull), "SocketCloseError")
      const reset = yield* open()
      reset.fake.fail(FakeSocket.readError("read ECONNRESET"))
      assert.strictEqual(yield* failure(reset.pull), "SocketReadError")
    })
  )

  it.effect("is also a stream", () =>
    Effect.gen(function* () {
      const { fake, frames } = yield* open()
      fake.feed(a, b)
      fake.feed(cancel)
      fake.fail(FakeSocket.closeError(1000))
      const all = yield* Stream.runCollect(frames.frames)
      assert.deepStrictEqual(all.map(Peer.show), ["R a", "R bb", "C"])
    })
  )

  it.effect("reads nothing ahead of itself", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair({ capacity: 10 })
      const options = { ...Message.defaultOptions, writeTimeoutMillis: Number.POSITIVE_INFINITY }
      const reading = yield* FrameSocket.make(yield* Transport.fromSocket(near), options)
      const writing = yield* FrameSocket.make(yield* Transport.fromSocket(far), options)
      const write = yield* Effect.forkChild(writing.writer.write(() => [Peer.request("x".repeat(50))]))
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.isUndefined(write.pollUnsafe())
      assert.lengthOf(yield* reading.pull, 1)
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.isDefined(write.pollUnsafe())
    })
  )
})

describe("a reader", () => {
  /** What a reader is told, in order. */
  const told = Effect.fnUntraced(function* (...reads: ReadonlyArray<Uint8Array>) {
    const { fake, frames } = yield* open()
    const log: Array<string> = []
    frames.read({
      received: (batch) => void log.push(...batch.map(Peer.show)),
      partial: (partial) => void log.push(partial ? "begun" : "whole"),
      ended: (cause) => void log.push(FrameSocket.inputEnd(cause)._tag)
    })
    for (const bytes of reads) fake.feed(bytes)
    yield* Effect.replicateEffect(Effect.yieldNow, 10)
    return { fake, frames, log }
  })

  it.effect("is told when a frame has begun, and when nothing is left of one", () =>
    Effect.gen(function* () {
      const { log } = yield* told(a, b.subarray(0, 1), b.subarray(1, 3), b.subarray(3))
      assert.deepStrictEqual(log, ["R a", "begun", "whole", "R bb"])
    })
  )

  it.effect("is told so again when one ends and the next begins in the same read", () =>
    Effect.gen(function* () {
      const { log } = yield* told(a.subarray(0, 3), join(a.subarray(3), b.subarray(0, 2)))
      assert.deepStrictEqual(log, ["begun", "begun", "R a"])
    })
  )

  it.effect("is told that nothing is left when a frame turns out malformed, and then of the end", () =>
    Effect.gen(function* () {
      const { log } = yield* told(Uint8Array.of(0, 0), Uint8Array.of(0, 0, 0), a)
      assert.deepStrictEqual(log, ["begun", "whole", "Malformed"])
    })
  )

  it.effect("is told of the end once, and of nothing after it has stopped", () =>
    Effect.gen(function* () {
      const { fake, log } = yield* told(a)
      fake.fail(FakeSocket.closeError(1000))
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.deepStrictEqual(log, ["R a", "PeerClosed"])
      const stopped = yield* told(a)
      stopped.frames.stop()
      stopped.fake.feed(b)
      stopped.fake.fail(FakeSocket.closeError(1000))
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.deepStrictEqual(stopped.log, ["R a"])
    })
  )

  it.effect("that throws has reached its end", () =>
    Effect.gen(function* () {
      const { fake, frames } = yield* open()
      const causes: Array<Cause.Cause<unknown>> = []
      frames.read({
        received: () => {
          throw new Error("broken")
        },
        ended: (cause) => void causes.push(cause)
      })
      fake.feed(a)
      fake.feed(b)
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.deepStrictEqual(
        causes.map((cause) => String(Cause.squash(cause))),
        ["Error: broken"]
      )
    })
  )
})
