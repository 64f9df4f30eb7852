import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as FramedConnection from "../../src/framing/FramedConnection.ts"
import * as Timers from "../../src/loop/Timers.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as FakeSocket from "../support/FakeSocket.ts"
import * as Peer from "../support/Peer.ts"

const a = Message.encode(Peer.request("a"))
const b = Message.encode(Peer.request("bb"))
const cancel = Message.encode(Peer.cancel)
const join = (...parts: ReadonlyArray<Uint8Array>) => Uint8Array.from(parts.flatMap((part) => [...part]))

interface Options extends Partial<FramedConnection.Options> {
  readonly maxFrameSize?: number
}

const make = (transport: Transport.Transport, { maxFrameSize, ...options }: Options = {}) =>
  FramedConnection.make(
    transport,
    Message.codec({ ...Message.defaultOptions, ...(maxFrameSize === undefined ? {} : { maxFrameSize }) }),
    { writeTimeoutMillis: Number.POSITIVE_INFINITY, ...options }
  )

const open = Effect.fnUntraced(function* (options: Options = {}) {
  const fake = FakeSocket.make()
  const framed = yield* make(yield* Transport.fromSocket(fake.socket), options)
  const pull = Effect.map(yield* Stream.toPull(framed.messages), (batch) => batch.map(Peer.show))
  return { fake, framed, pull }
})

/** A transport that the test feeds, and which says what it was asked for. */
const fed = () => {
  const asked: Array<string> = []
  let receiver: Transport.Receiver | undefined
  const transport: Transport.Transport = {
    read: (given) => {
      asked.push("read")
      receiver = given
    },
    pause: () => void asked.push("pause"),
    resume: () => void asked.push("resume"),
    write: () => Exit.void,
    destroy: () => {},
    unsent: () => 0
  }
  const feed = (...chunks: ReadonlyArray<Uint8Array>) =>
    receiver?.received(chunks as unknown as Transport.Chunks)
  return {
    asked,
    feed,
    transport,
    end: (code: number) => receiver?.ended(Cause.fail(FakeSocket.closeError(code)))
  }
}

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
      const { fake, framed, pull } = yield* open()
      fake.feed(join(a, b), cancel)
      fake.feed(b)
      assert.deepStrictEqual(yield* pull, ["R a", "R bb", "C"])
      assert.deepStrictEqual(yield* pull, ["R bb"])
      assert.strictEqual(framed.messagesRead(), 4)
      assert.strictEqual(framed.bytesRead(), a.length + 2 * b.length + cancel.length)
    })
  )

  it.effect("reads on until a frame is complete", () =>
    Effect.gen(function* () {
      const { fake, framed, pull } = yield* open()
      for (const byte of join(a, b).subarray(0, -1)) fake.feed(Uint8Array.of(byte))
      assert.deepStrictEqual(yield* pull, ["R a"])
      fake.feed(b.subarray(-1))
      assert.deepStrictEqual(yield* pull, ["R bb"])
      assert.strictEqual(framed.messagesRead(), 2)
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
      const { fake, framed } = yield* open()
      fake.feed(a, b)
      fake.feed(cancel)
      fake.fail(FakeSocket.closeError(1000))
      const all = yield* Stream.runCollect(framed.messages)
      assert.deepStrictEqual(all.map(Peer.show), ["R a", "R bb", "C"])
    })
  )

  it.effect("reads nothing ahead of itself", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair({ capacity: 10 })
      const reading = yield* make(yield* Transport.fromSocket(near))
      const writing = yield* make(yield* Transport.fromSocket(far))
      const pull = yield* Stream.toPull(reading.messages)
      const write = yield* Effect.forkChild(writing.writer.write(() => [Peer.request("x".repeat(50))]))
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.isUndefined(write.pollUnsafe())
      assert.lengthOf(yield* pull, 1)
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.isDefined(write.pollUnsafe())
    })
  )
})

describe("the messages of a connection", () => {
  it.effect("have one reader", () =>
    Effect.gen(function* () {
      const { fake, framed, pull } = yield* open()
      const first = yield* Effect.forkChild(pull, { startImmediately: true })
      const second = yield* Effect.exit(Stream.runDrain(framed.messages))
      assert.isTrue(Exit.hasDies(second))
      assert.include(String(second), "one reader")
      fake.feed(a)
      assert.deepStrictEqual(yield* Fiber.join(first), ["R a"])
    })
  )

  it.effect("go to the next reader when one has left, and none is lost", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open()
      const first = yield* Effect.forkChild(pull, { startImmediately: true })
      yield* Fiber.interrupt(first)
      fake.feed(a)
      fake.feed(b)
      assert.deepStrictEqual([...(yield* pull), ...(yield* pull)], ["R a", "R bb"])
    })
  )

  it.effect("are read for as long as a reader waits, and no longer", () =>
    Effect.gen(function* () {
      const { asked, feed, transport } = fed()
      const framed = yield* make(transport)
      const pull = yield* Stream.toPull(framed.messages)
      assert.deepStrictEqual(asked, [])
      const first = yield* Effect.forkChild(pull, { startImmediately: true })
      assert.deepStrictEqual(asked, ["read"])
      feed(a.subarray(0, 3))
      assert.deepStrictEqual(asked, ["read"])
      feed(a.subarray(3))
      yield* Fiber.join(first)
      assert.deepStrictEqual(asked, ["read", "pause"])
      const second = yield* Effect.forkChild(pull, { startImmediately: true })
      assert.deepStrictEqual(asked, ["read", "pause", "resume"])
      yield* Fiber.interrupt(second)
      assert.deepStrictEqual(asked, ["read", "pause", "resume", "pause"])
    })
  )

  it.effect("that a transport brings while nobody waits are held for the next reader, in their order", () =>
    Effect.gen(function* () {
      const { end, feed, transport } = fed()
      const framed = yield* make(transport)
      const pull = Effect.map(yield* Stream.toPull(framed.messages), (batch) => batch.map(Peer.show))
      const first = yield* Effect.forkChild(pull, { startImmediately: true })
      feed(a)
      feed(b, cancel)
      feed(a)
      end(1000)
      assert.deepStrictEqual(yield* Fiber.join(first), ["R a"])
      assert.deepStrictEqual(yield* pull, ["R bb", "C", "R a"])
      assert.strictEqual(yield* failure(pull), "Done")
    })
  )

  it.effect("end for whoever waits, and ever after, when reading is stopped", () =>
    Effect.gen(function* () {
      const { fake, framed, pull } = yield* open()
      const waiting = yield* Effect.forkChild(failure(pull), { startImmediately: true })
      framed.stop()
      assert.strictEqual(yield* Fiber.join(waiting), "Done")
      fake.feed(a)
      assert.strictEqual(yield* failure(pull), "Done")
      assert.strictEqual(framed.messagesRead(), 0)
    })
  )

  it.effect("that nobody has taken are dropped when reading is stopped, and later chunks are released", () =>
    Effect.gen(function* () {
      const { feed, transport } = fed()
      const framed = yield* make(transport)
      const pull = yield* Stream.toPull(framed.messages)
      const first = yield* Effect.forkChild(pull, { startImmediately: true })
      feed(a)
      feed(b)
      yield* Fiber.join(first)
      framed.stop()
      assert.strictEqual(yield* failure(pull), "Done")
      let released = 0
      feed(Chunk.owned(a.slice(), () => void released++))
      assert.strictEqual(released, 1)
    })
  )

  it.effect("end when the connection's scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { pull } = yield* Scope.provide(open(), scope)
      const waiting = yield* Effect.forkChild(failure(pull), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(waiting), "Done")
    })
  )
})

describe("frameTimeout", () => {
  const timeout = { frameTimeoutMillis: 1000 }

  it.effect("ends a connection on which a message takes longer to arrive", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open(timeout)
      const waiting = yield* Effect.forkChild(failure(pull), { startImmediately: true })
      yield* TestClock.adjust(5000)
      fake.feed(b.subarray(0, 1))
      yield* Effect.yieldNow
      yield* TestClock.adjust(600)
      fake.feed(b.subarray(1, 3))
      yield* Effect.yieldNow
      yield* TestClock.adjust(399)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(waiting), "FrameTimeout")
      fake.feed(b.subarray(3))
      assert.strictEqual(yield* failure(pull), "FrameTimeout")
    })
  )

  it.effect("begins anew with each message, also where one ends and the next begins in one read", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open(timeout)
      const taken: Array<string> = []
      const reading = yield* Effect.forkChild(
        Effect.forever(Effect.tap(pull, (batch) => Effect.sync(() => taken.push(...batch)))),
        { startImmediately: true }
      )
      fake.feed(b.subarray(0, 3))
      for (let i = 0; i < 5; i++) {
        yield* Effect.yieldNow
        yield* TestClock.adjust(900)
        fake.feed(join(b.subarray(3), b.subarray(0, 3)))
      }
      yield* Effect.yieldNow
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(taken, ["R bb", "R bb", "R bb", "R bb", "R bb"])
      assert.isUndefined(reading.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isDefined(reading.pollUnsafe())
    })
  )

  it.effect("counts no silence between messages", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open(timeout)
      fake.feed(a)
      assert.deepStrictEqual(yield* pull, ["R a"])
      yield* TestClock.adjust("1 day")
      fake.feed(b)
      assert.deepStrictEqual(yield* pull, ["R bb"])
    })
  )

  it.effect("counts no time in which the reader itself does not want the rest", () =>
    Effect.gen(function* () {
      const { fake, pull } = yield* open(timeout)
      fake.feed(join(a, b.subarray(0, 3)))
      assert.deepStrictEqual(yield* pull, ["R a"])
      yield* TestClock.adjust(5000)
      const waiting = yield* Effect.forkChild(pull, { startImmediately: true })
      yield* TestClock.adjust(999)
      fake.feed(b.subarray(3))
      assert.deepStrictEqual(yield* Fiber.join(waiting), ["R bb"])
      fake.feed(b.subarray(0, 3))
      const slow = yield* Effect.forkChild(failure(pull), { startImmediately: true })
      yield* Effect.yieldNow
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(slow), "FrameTimeout")
    })
  )

  for (const frameTimeoutMillis of [0, -1, Number.NaN]) {
    it.effect(`cannot be ${frameTimeoutMillis} ms`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(open({ frameTimeoutMillis }))
        assert.isTrue(Exit.hasDies(exit))
        assert.include(String(exit), "frameTimeoutMillis must be a duration longer than zero")
      })
    )
  }
})

describe("the end of a connection's scope", () => {
  it.effect("leaves no timer, also not that of a write which was kept waiting for a while", () =>
    Effect.gen(function* () {
      const timers = yield* Timers.make
      const connection = Effect.gen(function* () {
        const { fake, framed } = yield* open({ writeTimeoutMillis: 60_000 })
        fake.block()
        const writing = yield* Effect.forkChild(
          framed.writer.write(() => [Peer.cancel]),
          { startImmediately: true }
        )
        assert.strictEqual(timers.size, 1)
        fake.release()
        yield* Fiber.join(writing)
      })
      yield* Effect.scoped(Effect.provideService(connection, Timers.Shared, timers))
      assert.strictEqual(timers.size, 0)
    })
  )
})
