import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as TestClock from "effect/testing/TestClock"
import * as FaultySocket from "../../src/testing/FaultySocket.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"

const decoder = new TextDecoder()

/** Both ends of an open socket; a read is its chunks as text, or the reason of its failure. */
const ends = Effect.fnUntraced(function* (socket: Socket.Socket) {
  const pull = yield* Socket.readerBytes(socket)
  const writer = yield* socket.writer
  const read = Effect.match(pull, {
    onSuccess: (chunks): string => chunks.map((chunk) => decoder.decode(chunk)).join("|"),
    onFailure: ({ reason }): string => reason._tag
  })
  return { read, write: (text: string) => writer.write(text), writer }
})

const open = Effect.fnUntraced(function* (plan?: FaultySocket.Plan) {
  const [near, far] = yield* MemorySocket.pair()
  const faulty = FaultySocket.make(near, plan)
  return { faulty, here: yield* ends(faulty.socket), there: yield* ends(far) }
})

const settle = Effect.replicateEffect(Effect.yieldNow, 20)

const reason = (error: Socket.SocketError): string => error.reason._tag

describe("a plan", () => {
  it.effect("that is empty lets everything through", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open()
      yield* here.write("forth")
      assert.strictEqual(yield* there.read, "forth")
      yield* there.write("back")
      assert.strictEqual(yield* here.read, "back")
      yield* here.writer.write(new Socket.CloseEvent(1000))
      assert.strictEqual(yield* there.read, "SocketCloseError")
      assert.strictEqual(faulty.failed(), undefined)
    })
  )

  it.effect("caps what a read brings", () =>
    Effect.gen(function* () {
      const { here, there } = yield* open({ readSize: 2 })
      yield* there.writer.writeAll(["abc", "defg"])
      assert.deepStrictEqual(yield* Effect.replicateEffect(here.read, 4), ["ab", "c", "de", "fg"])
    })
  )

  it.effect("caps what a write carries, and each is an operation", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open({ writeSize: 2 })
      yield* here.writer.writeAll(["abc", "d"])
      assert.strictEqual(yield* there.read, "ab|c|d")
      assert.strictEqual(faulty.operations(), 4)
    })
  )

  it.effect("delays reads and writes on the Clock", () =>
    Effect.gen(function* () {
      const { here, there } = yield* open({ readDelay: 100, writeDelay: 1000 })
      const writing = yield* Effect.forkChild(here.write("a"), { startImmediately: true })
      yield* TestClock.adjust(999)
      assert.strictEqual(writing.pollUnsafe(), undefined)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* there.read, "a")
      yield* there.write("b")
      const reading = yield* Effect.forkChild(here.read, { startImmediately: true })
      yield* TestClock.adjust(99)
      assert.strictEqual(reading.pollUnsafe(), undefined)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(reading), "b")
    })
  )
})

describe("the operation that fails", () => {
  it.effect("may be the open", () =>
    Effect.gen(function* () {
      const [near] = yield* MemorySocket.pair()
      const faulty = FaultySocket.make(near, { failAt: 1 })
      assert.strictEqual(reason(yield* Effect.flip(faulty.socket.reader)), "SocketOpenError")
      assert.strictEqual(faulty.failed(), "open")
    })
  )

  it.effect("may be a read, and the next one goes on", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open({ failAt: 2 })
      yield* there.write("a")
      assert.strictEqual(yield* here.read, "SocketReadError")
      assert.strictEqual(yield* here.read, "a")
      assert.strictEqual(faulty.failed(), "read")
      assert.strictEqual(faulty.operations(), 3)
    })
  )

  it.effect("may be a part of a write, after which the rest is not sent", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open({ failAt: 3, writeSize: 2 })
      assert.strictEqual(reason(yield* Effect.flip(here.write("abcdef"))), "SocketWriteError")
      assert.strictEqual(yield* there.read, "ab")
      assert.strictEqual(faulty.failed(), "write")
    })
  )

  it.effect("may be the close, which closes all the same", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open({ failAt: 2 })
      const error = yield* Effect.flip(here.writer.write(new Socket.CloseEvent(1000)))
      assert.strictEqual(reason(error), "SocketWriteError")
      assert.strictEqual(faulty.failed(), "close")
      assert.strictEqual(yield* there.read, "SocketCloseError")
    })
  )
})

describe("a block", () => {
  it.effect("holds writes until they are released", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open()
      yield* faulty.block
      const writing = yield* Effect.forkChild(here.write("a"))
      yield* settle
      assert.strictEqual(writing.pollUnsafe(), undefined)
      yield* faulty.release
      yield* Fiber.join(writing)
      assert.strictEqual(yield* there.read, "a")
    })
  )

  it.effect("of reads holds what arrives until they are released", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open()
      const reading = yield* Effect.forkChild(here.read)
      yield* settle
      yield* faulty.blockReads
      yield* there.write("a")
      yield* settle
      assert.strictEqual(reading.pollUnsafe(), undefined)
      yield* faulty.releaseReads
      assert.strictEqual(yield* Fiber.join(reading), "a")
    })
  )

  it.effect("of reads ends with the connection", () =>
    Effect.gen(function* () {
      const { faulty, here } = yield* open()
      yield* faulty.blockReads
      const reading = yield* Effect.forkChild(here.read)
      yield* settle
      yield* faulty.reset
      assert.strictEqual(yield* Fiber.join(reading), "SocketReadError")
    })
  )

  it.effect("ends with the socket", () =>
    Effect.gen(function* () {
      const { faulty, here } = yield* open()
      yield* faulty.block
      const writing = yield* Effect.forkChild(Effect.flip(here.write("a")))
      yield* settle
      yield* here.writer.write(new Socket.CloseEvent(1000))
      assert.strictEqual(reason(yield* Fiber.join(writing)), "SocketWriteError")
    })
  )
})

describe("an end", () => {
  it.effect("of one direction leaves the other open", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open()
      yield* here.write("a")
      yield* faulty.halfClose
      assert.strictEqual(yield* there.read, "a")
      assert.strictEqual(yield* there.read, "SocketCloseError")
      assert.strictEqual(reason(yield* Effect.flip(here.write("b"))), "SocketWriteError")
      yield* there.write("c")
      assert.strictEqual(yield* here.read, "c")
    })
  )

  it.effect("by reset fails a read that waits, here and there, and loses what is in flight", () =>
    Effect.gen(function* () {
      const { faulty, here, there } = yield* open()
      yield* here.write("lost")
      const reading = yield* Effect.forkChild(here.read)
      yield* settle
      yield* faulty.reset
      assert.strictEqual(yield* Fiber.join(reading), "SocketReadError")
      assert.strictEqual(yield* there.read, "SocketReadError")
      assert.strictEqual(reason(yield* Effect.flip(here.write("b"))), "SocketWriteError")
    })
  )

  it.effect("by the owner's scope reaches the peer", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair()
      const scope = yield* Scope.make()
      yield* Scope.provide(ends(FaultySocket.make(near).socket), scope)
      const there = yield* ends(far)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* there.read, "SocketCloseError")
    })
  )
})
