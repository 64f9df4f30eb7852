import { Buffer } from "node:buffer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as EffectScheduler from "effect/Scheduler"
import * as TestClock from "effect/testing/TestClock"
import * as Writer from "../../src/framing/Writer.ts"
import * as Timers from "../../src/loop/Timers.ts"
import { Scheduler, TurnScheduler } from "../../src/loop/TurnScheduler.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Settings from "../../src/server/Settings.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as FakeSocket from "../support/FakeSocket.ts"
import * as Peer from "../support/Peer.ts"

const body = (size: number, fill = 0x61): Uint8Array => new Uint8Array(size).fill(fill)
const chunk = (size: number, fill?: number): Message.Message =>
  Message.make(Message.Type.Intermediate, body(size, fill))
const text = (letters: string): Message.Message =>
  Message.make(Message.Type.Intermediate, new TextEncoder().encode(letters))
/** The lowest `MaxOpsBeforeYield` with which a fiber still gets on. */
const yieldOften = 3
const heartbeat = Message.make(Message.Type.Heartbeat)

const concat = (parts: ReadonlyArray<Uint8Array>): string => Buffer.concat(parts).toString("hex")
const encoded = (messages: ReadonlyArray<Message.Message>): string =>
  concat(messages.map((message) => Message.encode(message)))

/** The bodies that were written, in order. */
const written = (fake: FakeSocket.FakeSocket): Array<string> => {
  const messages: Array<Message.Message> = []
  const decoder = Message.codec().makeDecoder()
  for (const batch of fake.batches) {
    for (const part of batch) assert.isUndefined(decoder.push(part, messages))
  }
  assert.isFalse(decoder.partial)
  return messages.map(Peer.show)
}

/** A scheduler whose tasks the test runs. */
const held = (tasks: Array<() => void>): EffectScheduler.Scheduler => ({
  executionMode: "async",
  shouldYield: () => false,
  makeDispatcher: () => ({ scheduleTask: (task) => void tasks.push(task), flush: () => {} })
})

interface Options extends Partial<Writer.Options>, Transport.SocketOptions {}

const make = Effect.fnUntraced(function* (
  transport: Transport.Transport,
  options: Partial<Writer.Options> = {}
) {
  const timers = yield* Timers.use
  return yield* Writer.make(transport, Message.codec(), timers, { writeTimeoutMillis: 30_000, ...options })
})

/** A transport that does nothing but write. */
const transportOf = (write: Transport.Transport["write"]): Transport.Transport => ({
  read: () => {},
  pause: () => {},
  resume: () => {},
  write,
  destroy: () => {},
  unsent: () => 0
})

const open = Effect.fnUntraced(function* ({ unsent, ...options }: Options = {}) {
  const fake = FakeSocket.make()
  const transport = yield* Transport.fromSocket(fake.socket, { unsent })
  const writer = yield* make(transport, options)
  const write = (...messages: ReadonlyArray<Message.Message>) => writer.write(() => messages)
  return { fake, transport, writer, write }
})

describe("a write", () => {
  it.effect("hands its messages to the socket at once", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      yield* write(chunk(3), chunk(5000), heartbeat)
      assert.lengthOf(fake.batches, 1)
      assert.strictEqual(concat(fake.batches[0] ?? []), encoded([chunk(3), chunk(5000), heartbeat]))
      assert.strictEqual(writer.bytesWritten(), 8 + 5005 + 5)
      assert.strictEqual(writer.messagesWritten(), 3)
      assert.isFalse(writer.isWriting())
    })
  )

  it.effect("of no messages writes nothing", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      const before = writer.lastWriteAt()
      yield* TestClock.adjust(10)
      yield* write()
      assert.lengthOf(fake.batches, 0)
      assert.strictEqual(writer.lastWriteAt(), before)
      assert.strictEqual(writer.messagesWritten(), 0)
    })
  )

  it.effect("waits until the socket has taken it", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      fake.block()
      const fiber = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      const flushed = yield* Effect.forkChild(writer.flushed, { startImmediately: true })
      assert.isTrue(writer.isWriting())
      yield* TestClock.adjust(10)
      assert.isUndefined(fiber.pollUnsafe())
      assert.isUndefined(flushed.pollUnsafe())
      fake.release()
      yield* Fiber.join(fiber)
      yield* Fiber.join(flushed)
      assert.isFalse(writer.isWriting())
    })
  )

  it.effect("is dated by its beginning, and then by its end", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      yield* TestClock.setTime(100)
      assert.strictEqual(writer.lastWriteAt(), 0)
      fake.block()
      yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      assert.strictEqual(writer.lastWriteAt(), 100)
      yield* TestClock.setTime(250)
      assert.strictEqual(writer.lastWriteAt(), 100)
      fake.release()
      assert.strictEqual(writer.lastWriteAt(), 250)
    })
  )

  it.effect("takes its messages when it has its turn, not before", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      fake.block()
      yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      let taken = false
      const take = () => {
        taken = true
        return [text("b")]
      }
      const second = yield* Effect.forkChild(writer.write(take), { startImmediately: true })
      assert.isFalse(taken)
      fake.release()
      yield* Fiber.join(second)
      assert.deepStrictEqual(written(fake), ["I a", "I b"])
    })
  )

  it.effect("that fails, fails for those behind it too, and leaves the writer usable", () =>
    Effect.gen(function* () {
      const { fake, transport, writer, write } = yield* open()
      fake.block()
      const first = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      const second = yield* Effect.forkChild(write(text("b")), { startImmediately: true })
      transport.destroy()
      assert.strictEqual((yield* Effect.flip(Fiber.join(first)))._tag, "SocketError")
      assert.strictEqual((yield* Effect.flip(Fiber.join(second)))._tag, "SocketError")
      assert.isTrue(fake.destroyed())
      assert.isFalse(writer.isWriting())
      yield* writer.flushed
    })
  )

  it.effect("whose submission breaks when it is told of the end holds nobody up", () =>
    Effect.gen(function* () {
      const batches: Array<Transport.Chunks> = []
      const writer = yield* make(
        transportOf((parts) => {
          batches.push(parts)
          return Exit.void
        })
      )
      const broken = () => {
        throw new Error("broken")
      }
      assert.throws(() => writer.submit({ take: () => [text("a")], ended: broken }), "broken")
      assert.isFalse(writer.isWriting())
      yield* writer.write(() => [text("b")])
      assert.strictEqual(concat(batches.flat()), encoded([text("a"), text("b")]))
    })
  )

  it.effect("begins when the one before it is over, however many wait", () =>
    Effect.gen(function* () {
      let written: Parameters<Transport.Transport["write"]>[1] | undefined
      let writes = 0
      const writer = yield* make(
        transportOf((_, then) => {
          writes++
          written = then
          return undefined
        })
      )
      const first = yield* Effect.forkChild(
        writer.write(() => [text("a")]),
        { startImmediately: true }
      )
      const second = yield* Effect.forkChild(
        writer.write(() => [text("b")]),
        { startImmediately: true }
      )
      assert.strictEqual(writes, 1)
      written?.(Exit.void)
      assert.strictEqual(writes, 2)
      yield* Fiber.join(first)
      written?.(Exit.void)
      yield* Fiber.join(second)
    })
  )

  it.effect("whose messages are illegal dies and holds nobody up", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      const illegal = Message.make(Message.Type.Heartbeat, body(1))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(write(illegal))))
      assert.isFalse(writer.isWriting())
      yield* write(text("a"))
      assert.deepStrictEqual(written(fake), ["I a"])
      assert.strictEqual(writer.messagesWritten(), 1)
    })
  )
})

describe("writers", () => {
  it.effect("never split each other's messages", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair({ capacity: 100 })
      const writer = yield* make(yield* Transport.fromSocket(near))
      const peer = yield* Peer.make(far)
      const one = (name: string) =>
        Effect.forEach([0, 1, 2, 3, 4], (i) =>
          writer.write(() => [text(`${name}${i}`), chunk(3000), heartbeat])
        )
      const names = ["a", "b", "c", "d"]
      const fibers = yield* Effect.forEach(names, (name) => Effect.forkChild(one(name)))
      const batches = yield* Effect.replicateEffect(peer.take(3), 20)
      yield* Effect.forEach(fibers, Fiber.join)
      for (const [, large, last] of batches) {
        assert.strictEqual(large, `I ${"a".repeat(3000)}`)
        assert.strictEqual(last, "H")
      }
      const firsts = batches.map(([first = ""]) => first)
      for (const name of names) {
        assert.deepStrictEqual(
          firsts.filter((first) => first.startsWith(`I ${name}`)),
          [0, 1, 2, 3, 4].map((i) => `I ${name}${i}`)
        )
      }
    })
  )

  it.effect("that are interrupted before their turn write nothing", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      fake.block()
      const first = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      const take = () => assert.fail("taken")
      const second = yield* Effect.forkChild(writer.write(take), { startImmediately: true })
      const third = yield* Effect.forkChild(write(text("c")), { startImmediately: true })
      yield* Fiber.interrupt(second)
      fake.release()
      yield* Fiber.join(first)
      yield* Fiber.join(third)
      assert.deepStrictEqual(written(fake), ["I a", "I c"])
    })
  )

  it.effect("that are interrupted while they write leave the write whole", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      fake.block()
      const first = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      yield* Fiber.interrupt(first)
      assert.isTrue(writer.isWriting())
      const second = yield* Effect.forkChild(write(text("b")), { startImmediately: true })
      assert.deepStrictEqual(written(fake), ["I a"])
      fake.release()
      yield* Fiber.join(second)
      assert.deepStrictEqual(written(fake), ["I a", "I b"])
    })
  )

  it.effect("can be interrupted at every step of a write", () =>
    Effect.gen(function* () {
      for (let steps = 0; steps < 40; steps++) {
        const { fake, writer, write } = yield* open()
        fake.block()
        let taken = false
        const take = () => {
          taken = true
          return [text("a")]
        }
        // With a yield before every operation or two, an interruption can come between any two of them.
        const first = yield* writer
          .write(take)
          .pipe(Effect.provideService(EffectScheduler.MaxOpsBeforeYield, yieldOften), Effect.forkChild)
        yield* Effect.replicateEffect(Effect.yieldNow, steps)
        yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
        const second = yield* Effect.forkChild(write(text("b")))
        yield* Effect.yieldNow
        fake.release()
        yield* Fiber.join(second)
        assert.deepStrictEqual(written(fake), taken ? ["I a", "I b"] : ["I b"], `after ${steps} steps`)
        assert.isFalse(writer.isWriting())
      }
    })
  )
})

describe("the quantum of a turn", () => {
  /** Logs a line for each turn of the event loop. */
  const turns = (log: Array<string>) =>
    Effect.forever(
      Effect.andThen(
        Effect.sync(() => log.push("turn")),
        Effect.yieldNow
      ),
      { disableYield: true }
    )

  const run = Effect.fnUntraced(function* (quantum: number, names: ReadonlyArray<string>) {
    const log: Array<string> = []
    const scheduler = new Scheduler({ quantum })
    const writers = yield* Effect.forEach(names, () =>
      Effect.provideService(open(), TurnScheduler, scheduler)
    )
    const ticker = yield* Effect.forkChild(turns(log))
    const fibers = yield* Effect.forEach(writers, ({ writer }, i) =>
      Effect.forkChild(
        Effect.forEach([1, 2, 3, 4], () =>
          writer.write(() => {
            log.push(`${names[i]}`)
            return [chunk(5)]
          })
        )
      )
    )
    yield* Effect.forEach(fibers, Fiber.join)
    yield* Fiber.interrupt(ticker)
    return log.join(" ")
  })

  it.effect("lets a writer go on while it lasts", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* run(1000, ["a"]), "turn a a a a")
    })
  )

  it.effect("lets the event loop turn when it is spent", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* run(20, ["a"]), "turn a a turn a a")
      assert.strictEqual(yield* run(1, ["a"]), "turn a turn a turn a turn a")
    })
  )

  it.effect("is one for all writers of the thread, who take turns", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* run(20, ["a", "b"]), "turn a a turn a b turn a b turn b b")
      assert.strictEqual(yield* run(5, ["a", "b"]), "turn a turn a turn b turn a turn b turn a turn b turn b")
    })
  )

  it.effect("is shared within a turn by the writers that wait for it", () =>
    Effect.gen(function* () {
      const waiting = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
        const log: Array<string> = []
        const scheduler = new Scheduler({ quantum: 20 })
        const writers = yield* Effect.forEach(names, () =>
          Effect.provideService(open(), TurnScheduler, scheduler)
        )
        const ticker = yield* Effect.forkChild(turns(log))
        const done = yield* Latch.make()
        let left = 4 * names.length
        scheduler.spend(20)
        for (const [i, { writer }] of writers.entries()) {
          for (let each = 0; each < 4; each++) {
            writer.submit({
              take: () => {
                log.push(`${names[i]}`)
                return [chunk(5)]
              },
              ended: () => {
                if (--left === 0) done.openUnsafe()
              }
            })
          }
        }
        yield* done.await
        yield* Fiber.interrupt(ticker)
        return log.join(" ")
      })
      assert.strictEqual(yield* waiting(["a"]), "turn a a turn a a")
      assert.strictEqual(yield* waiting(["a", "b"]), "turn a b turn a b turn a b turn a b")
    })
  )

  it.effect("lets many have their turn at once, as far as it lasts", () =>
    Effect.gen(function* () {
      const begun = Effect.fnUntraced(function* (writers: number, quantum: number) {
        const scheduler = new Scheduler({ quantum, maxWaiting: 3 })
        let begun = 0
        for (let each = 0; each < writers; each++) {
          const { writer } = yield* Effect.provideService(open(), TurnScheduler, scheduler)
          writer.submitSoon({
            take: () => {
              begun++
              return [chunk(5)]
            },
            ended: () => {}
          })
        }
        assert.strictEqual(begun, 0)
        yield* Effect.promise(() => Promise.resolve())
        return begun
      })
      assert.strictEqual(yield* begun(2, 1000), 0)
      assert.strictEqual(yield* begun(3, 1000), 3)
      assert.strictEqual(yield* begun(4, 1000), 4)
      assert.strictEqual(yield* begun(4, 20), 2)
    })
  )

  it.effect("does not hold up what is urgent", () =>
    Effect.gen(function* () {
      const scheduler = new Scheduler({ quantum: 10 })
      const { fake, writer, write } = yield* Effect.provideService(open(), TurnScheduler, scheduler)
      const urgent = Effect.forkChild(
        writer.write(() => [heartbeat], { urgent: true }),
        { startImmediately: true }
      )
      yield* write(text("spends it"))
      yield* urgent
      assert.deepStrictEqual(written(fake), ["I spends it", "H"])
      const bulk = yield* Effect.forkChild(write(text("bulk")), { startImmediately: true })
      yield* urgent
      assert.deepStrictEqual(written(fake), ["I spends it", "H", "H"])
      yield* Fiber.join(bulk)
      assert.deepStrictEqual(written(fake), ["I spends it", "H", "H", "I bulk"])
    })
  )

  it.effect("is waited for once, however often a submission is made", () =>
    Effect.gen(function* () {
      const scheduler = new Scheduler({ quantum: 1 })
      const { fake, writer, write } = yield* Effect.provideService(open(), TurnScheduler, scheduler)
      yield* write(text("spends it"))
      let taken = 0
      const submission = { take: () => [text(`${++taken}`)], ended: () => {} }
      for (let each = 0; each < 3; each++) writer.submit(submission)
      yield* write(text("last"))
      assert.deepStrictEqual(written(fake), ["I spends it", "I 1", "I last"])
    })
  )

  it.effect("can be interrupted for", () =>
    Effect.gen(function* () {
      const scheduler = new Scheduler({ quantum: 1 })
      const { fake, write } = yield* Effect.provideService(open(), TurnScheduler, scheduler)
      yield* write(text("a"))
      const waiting = yield* Effect.forkChild(write(text("b")), { startImmediately: true })
      yield* Fiber.interrupt(waiting)
      yield* write(text("c"))
      assert.deepStrictEqual(written(fake), ["I a", "I c"])
    })
  )
})

describe("a write that is longer than maxWriteSize", () => {
  const maxWriteSize = 10
  const pieces = (fake: FakeSocket.FakeSocket) => fake.batches.map((batch) => concat(batch).length / 2)
  const opened = (quantum: number, options?: Options) =>
    Effect.provideService(open(options), TurnScheduler, new Scheduler({ quantum, maxWriteSize }))
  const long = chunk(18)

  it.effect("goes out in several, each of them full but the last", () =>
    Effect.gen(function* () {
      for (let size = 0; size <= 50; size++) {
        const { fake, writer, write } = yield* opened(1000)
        const messages = [chunk(size, 1), heartbeat, chunk(2 * size, 2), chunk(3000, 3)]
        yield* write(...messages)
        assert.strictEqual(concat(fake.batches.flat()), encoded(messages))
        const total = 20 + 3 * size + 3000
        assert.deepStrictEqual(
          pieces(fake),
          Array.from({ length: Math.ceil(total / maxWriteSize) }, (_, i) =>
            Math.min(maxWriteSize, total - i * maxWriteSize)
          )
        )
        for (const part of fake.batches.flat()) assert.isAbove(part.length, 0)
        assert.strictEqual(writer.bytesWritten(), total)
        assert.strictEqual(writer.messagesWritten(), 4)
      }
    })
  )

  it.effect("may have 960 KiB by default, which is more than a batch of the default size", () =>
    Effect.gen(function* () {
      const { fake, write } = yield* open()
      const { batchSize, chunkSize } = Settings.defaults
      yield* write(...Array.from({ length: batchSize / chunkSize }, () => chunk(chunkSize)))
      assert.lengthOf(fake.batches, 1)
      yield* write(chunk(2 * 1024 * 1024))
      assert.deepStrictEqual(pieces(fake).slice(1), [960 * 1024, 960 * 1024, 128 * 1024 + Message.headerSize])
    })
  )

  it.effect("lets the event loop turn when the quantum is spent", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* opened(10)
      // The timers' fiber begins in a turn of its own.
      yield* Effect.yieldNow
      const fiber = yield* Effect.forkChild(write(long), { startImmediately: true })
      assert.deepStrictEqual(pieces(fake), [10])
      assert.isTrue(writer.isWriting())
      assert.strictEqual(writer.bytesWritten(), 10)
      yield* Effect.yieldNow
      assert.deepStrictEqual(pieces(fake), [10, 10])
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(pieces(fake), [10, 10, 3])
      assert.isFalse(writer.isWriting())
    })
  )

  it.effect("is over when its last part is", () =>
    Effect.gen(function* () {
      const { fake, writer } = yield* opened(10)
      const log: Array<string> = []
      const over = yield* Latch.make()
      writer.submit({
        take: () => {
          log.push("take")
          return [long]
        },
        started: () => void log.push(`started ${pieces(fake)}`),
        ended: (exit) => {
          log.push(`ended ${exit._tag} ${pieces(fake)}`)
          over.openUnsafe()
        }
      })
      yield* over.await
      yield* writer.flushed
      assert.deepStrictEqual(log, ["take", "started 10", "ended Success 10,10,3"])
    })
  )

  it.effect("is not split by others, and hurried on by what is urgent", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* opened(10)
      const first = yield* Effect.forkChild(write(long), { startImmediately: true })
      const second = yield* Effect.forkChild(write(text("b")), { startImmediately: true })
      assert.deepStrictEqual(pieces(fake), [10])
      const urgent = yield* Effect.forkChild(
        writer.write(() => [heartbeat], { urgent: true }),
        { startImmediately: true }
      )
      assert.deepStrictEqual(pieces(fake), [10, 10, 3, 5])
      yield* Effect.forEach([first, second, urgent], Fiber.join)
      assert.deepStrictEqual(written(fake), [`I ${"a".repeat(18)}`, "H", "I b"])
    })
  )

  it.effect("stays whole when its caller leaves, and does not hold the writer for ever", () =>
    Effect.gen(function* () {
      const { fake, write } = yield* opened(10)
      const first = yield* Effect.forkChild(write(long), { startImmediately: true })
      yield* Fiber.interrupt(first)
      yield* write(text("b"))
      assert.deepStrictEqual(written(fake), [`I ${"a".repeat(18)}`, "I b"])
    })
  )

  it.effect("ends with the part that fails", () =>
    Effect.gen(function* () {
      const { fake, transport, writer, write } = yield* opened(10)
      const between = yield* Effect.forkChild(write(long), { startImmediately: true })
      transport.destroy()
      assert.strictEqual((yield* Effect.flip(Fiber.join(between)))._tag, "SocketError")
      assert.deepStrictEqual(pieces(fake), [10])
      assert.isFalse(writer.isWriting())
      yield* writer.flushed

      const broken = Exit.fail(FakeSocket.closeError(1006))
      let writes = 0
      const fails = make(transportOf(() => (++writes === 2 ? broken : Exit.void)))
      const other = yield* Effect.provideService(
        fails,
        TurnScheduler,
        new Scheduler({ quantum: 10, maxWriteSize })
      )
      assert.deepStrictEqual(yield* Effect.exit(other.write(() => [long])), broken)
      assert.strictEqual(writes, 2)
      assert.isFalse(other.isWriting())
    })
  )

  it.effect("is dated by each of its parts, which have a writeTimeout each", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* opened(10, { writeTimeoutMillis: 1000 })
      fake.block()
      const fiber = yield* Effect.forkChild(write(long), { startImmediately: true })
      for (const at of [700, 1400]) {
        yield* TestClock.adjust(700)
        fake.release()
        fake.block()
        yield* Effect.yieldNow
        assert.strictEqual(writer.lastWriteAt(), at)
      }
      assert.deepStrictEqual(pieces(fake), [10, 10, 3])
      yield* TestClock.adjust(999)
      assert.isFalse(fake.destroyed())
      yield* TestClock.adjust(1)
      assert.isTrue(fake.destroyed())
      assert.match((yield* Effect.flip(Fiber.join(fiber))).message, /writeTimeout/)
    })
  )

  it.effect("has no timeout while it waits for its turn", () =>
    Effect.gen(function* () {
      const tasks: Array<() => void> = []
      const { fake, write } = yield* opened(10, { writeTimeoutMillis: 1000 }).pipe(
        Effect.provideService(EffectScheduler.Scheduler, held(tasks)),
        Effect.provideService(Timers.Shared, yield* Timers.make)
      )
      fake.block()
      const fiber = yield* Effect.forkChild(write(long), { startImmediately: true })
      yield* TestClock.adjust(500)
      fake.release()
      tasks.shift()?.()
      const [turn] = tasks.splice(0)
      yield* TestClock.adjust(500)
      for (const task of tasks.splice(0)) task()
      yield* TestClock.adjust(5000)
      assert.isFalse(fake.destroyed())
      for (let task = turn; task !== undefined; task = tasks.shift()) task()
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(pieces(fake), [10, 10, 3])
    })
  )
})

describe("writeTimeout", () => {
  const timedOut = (exit: Exit.Exit<void, Writer.Failure> | undefined) =>
    exit !== undefined && Exit.isFailure(exit) && String(exit.cause).includes("(writeTimeoutMillis)")

  it.effect("drops a peer that takes no byte for so long", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open({ writeTimeoutMillis: 1000 })
      fake.block()
      const fiber = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      const behind = yield* Effect.forkChild(write(text("b")), { startImmediately: true })
      yield* TestClock.adjust(999)
      assert.isFalse(fake.destroyed())
      yield* TestClock.adjust(1)
      assert.isTrue(fake.destroyed())
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.message, "Peer accepted no data for 1000 ms (writeTimeoutMillis)")
      assert.isTrue(timedOut(yield* Fiber.await(behind)))
      assert.isTrue(timedOut(yield* Effect.exit(write(text("c")))))
      assert.isFalse(writer.isWriting())
    })
  )

  it.effect("counts from the beginning of each write", () =>
    Effect.gen(function* () {
      const { fake, write } = yield* open({ writeTimeoutMillis: 1000 })
      for (let i = 0; i < 5; i++) {
        fake.block()
        const fiber = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
        yield* TestClock.adjust(700)
        fake.release()
        yield* Fiber.join(fiber)
      }
      fake.block()
      yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      yield* TestClock.adjust(999)
      assert.isFalse(fake.destroyed())
      yield* TestClock.adjust(1)
      assert.isTrue(fake.destroyed())
    })
  )

  it.effect("also counts for a write that its caller has left", () =>
    Effect.gen(function* () {
      const { fake, write } = yield* open({ writeTimeoutMillis: 1000 })
      fake.block()
      const fiber = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(1000)
      assert.isTrue(fake.destroyed())
    })
  )

  it.effect("starts again with every byte that the transport passes on", () =>
    Effect.gen(function* () {
      let unsent = 100
      const { fake, write } = yield* open({ writeTimeoutMillis: 1000, unsent: () => unsent })
      fake.block()
      yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust(600)
        unsent--
      }
      assert.isFalse(fake.destroyed())
      yield* TestClock.adjust(2000)
      assert.isTrue(fake.destroyed())
    })
  )

  it.effect("starts again with what was passed on of a write before it is looked at for the first time", () =>
    Effect.gen(function* () {
      let unsent = 100
      const { fake, write } = yield* open({ writeTimeoutMillis: 1000, unsent: () => unsent })
      fake.block()
      const first = yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      yield* TestClock.adjust(500)
      fake.release()
      yield* Fiber.join(first)
      fake.block()
      yield* Effect.forkChild(write(text("b")), { startImmediately: true })
      yield* TestClock.adjust(400)
      unsent--
      yield* TestClock.adjust(999)
      assert.isFalse(fake.destroyed())
      yield* TestClock.adjust(2000)
      assert.isTrue(fake.destroyed())
    })
  )

  it.effect("may be infinite", () =>
    Effect.gen(function* () {
      const { fake, write } = yield* open({ writeTimeoutMillis: Number.POSITIVE_INFINITY })
      fake.block()
      yield* Effect.forkChild(write(text("a")), { startImmediately: true })
      yield* TestClock.adjust("1000 days")
      assert.isFalse(fake.destroyed())
    })
  )
})

describe("close", () => {
  it.effect("ends the write under way, those that wait and those that come, without another byte", () =>
    Effect.gen(function* () {
      const { fake, writer, write } = yield* open()
      fake.block()
      const fibers = yield* Effect.forEach(["a", "b", "c"], (name) =>
        Effect.forkChild(Effect.exit(write(text(name))), { startImmediately: true })
      )
      const flushed = yield* Effect.forkChild(writer.flushed, { startImmediately: true })
      writer.close()
      for (const fiber of fibers) assert.isTrue(Exit.hasInterrupts(yield* Fiber.join(fiber)))
      yield* Fiber.join(flushed)
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(write(text("d")))))
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.isTrue(fake.destroyed())
      assert.deepStrictEqual(written(fake), ["I a"])
    })
  )

  it.effect("ends each submission once, whatever the socket reports later", () =>
    Effect.gen(function* () {
      const { fake, writer } = yield* open({ writeTimeoutMillis: 1000 })
      fake.block()
      const ends: Array<string> = []
      for (const name of ["a", "b"]) {
        writer.submit({ take: () => [text(name)], ended: (exit) => void ends.push(`${name} ${exit._tag}`) })
      }
      writer.close()
      writer.close()
      fake.release()
      yield* TestClock.adjust(5000)
      assert.deepStrictEqual(ends, ["a Failure", "b Failure"])
      assert.isUndefined(writer.failure())
    })
  )

  it.effect("drops the rest of a write that goes out in several", () =>
    Effect.gen(function* () {
      const scheduler = new Scheduler({ quantum: 10, maxWriteSize: 10 })
      const { fake, writer, write } = yield* Effect.provideService(open(), TurnScheduler, scheduler)
      const fiber = yield* Effect.forkChild(Effect.exit(write(chunk(18))), { startImmediately: true })
      assert.isTrue(writer.isWriting())
      writer.close()
      assert.isFalse(writer.isWriting())
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.join(fiber)))
      yield* Effect.replicateEffect(Effect.yieldNow, 10)
      assert.lengthOf(fake.batches, 1)
    })
  )
})

describe("a writer", () => {
  for (const writeTimeoutMillis of [0, -1, Number.NaN]) {
    it.effect(`cannot have a timeout of ${writeTimeoutMillis} ms`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(
          make(
            transportOf(() => Exit.void),
            { writeTimeoutMillis }
          )
        )
        assert.isTrue(Exit.hasDies(exit))
        assert.include(
          String(exit),
          `writeTimeoutMillis must be a duration longer than zero, got ${writeTimeoutMillis}`
        )
      })
    )
  }
})
