import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Chunk from "../../src/net/Chunk.ts"
import type * as Transport from "../../src/net/Transport.ts"
import * as ThreadTransport from "../../src/threads/ThreadTransport.ts"
import * as Poll from "../support/Poll.ts"

/** One end, what it has received, and how that ended. */
class Observed {
  readonly transport: Transport.Transport
  readonly scope: Scope.Closeable
  text = ""
  end: string | undefined
  /** Called after each read. */
  received = () => {}

  constructor(transport: Transport.Transport, scope: Scope.Closeable) {
    this.transport = transport
    this.scope = scope
    transport.read({
      received: (chunks) => {
        for (const chunk of chunks) {
          this.text += Buffer.from(chunk).toString("latin1")
          Chunk.release(chunk)
        }
        this.received()
      },
      ended: (cause) => {
        this.end = Cause.pretty(cause)
      }
    })
  }

  /** How the write ended, once it has. */
  write(...parts: ReadonlyArray<string>): { exit: Exit.Exit<void, unknown> | undefined } {
    const outcome: { exit: Exit.Exit<void, unknown> | undefined } = { exit: undefined }
    const chunks = parts.map((part) => Buffer.from(part, "latin1")) as unknown as Transport.Chunks
    const exit = this.transport.write(chunks, (exit) => {
      outcome.exit = exit
    })
    outcome.exit ??= exit
    return outcome
  }

  /** Writes, and waits until that is over. */
  send(text: string): Effect.Effect<void, unknown> {
    return Effect.callback((resume) => {
      const exit = this.transport.write([Buffer.from(text, "latin1")], resume)
      if (exit !== undefined) resume(exit)
    })
  }

  get close(): Effect.Effect<void> {
    return Scope.close(this.scope, Exit.void)
  }
}

const observe = Effect.fnUntraced(function* (end: ThreadTransport.End) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  return new Observed(yield* Scope.provide(ThreadTransport.open(end), scope), scope)
})

/** Both ends in this thread. */
const pair = (options?: ThreadTransport.Options) => {
  const [near, far] = ThreadTransport.pair(options)
  return Effect.all([observe(near), observe(far)])
}

/** Has something come back, so that whatever was sent before could have come. */
const fence = (near: Observed, far: Observed) =>
  Effect.andThen(
    Effect.sync(() => void far.write("fence")),
    Poll.until("it is there", () => near.text.endsWith("fence"))
  )

const small = { forth: 16, back: 16 }

describe("a connection between threads", () => {
  it.live("passes bytes both ways, in their order", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair()
      assert.deepStrictEqual(near.write("one ", "", "two ").exit, Exit.void)
      assert.deepStrictEqual(near.write("three").exit, Exit.void)
      assert.deepStrictEqual(far.write("four").exit, Exit.void)
      yield* Poll.until("all is there", () => far.text === "one two three" && near.text === "four")
    })
  )

  it.live("has a writer wait for room, and passes parts on that are longer than the queue", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair(small)
      far.transport.pause()
      const text = "abcdefghij".repeat(50)
      const outcome = near.write(text.slice(0, 7), text.slice(7, 400), text.slice(400))
      assert.isUndefined(outcome.exit)
      yield* fence(near, far)
      assert.isUndefined(outcome.exit)
      assert.strictEqual(near.transport.unsent(), 500)
      far.transport.resume()
      yield* Poll.until("all is there", () => far.text === text && outcome.exit !== undefined)
      assert.deepStrictEqual(outcome.exit, Exit.void)
      assert.strictEqual(near.transport.unsent(), 0)
    })
  )

  it.live("lets others have their turn amid what comes at once", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair({ forth: 2 ** 20 })
      let there: number | undefined
      far.received = () => {
        far.received = () => {}
        setImmediate(() => {
          there = far.text.length
        })
      }
      near.write("x".repeat(2 ** 20))
      yield* Poll.until("all is there", () => far.text.length === 2 ** 20)
      assert.isBelow(there ?? 0, 2 ** 20)
    })
  )

  it.live("gives a receiver that pauses nothing more, and not the end either", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair()
      const [other, another] = yield* pair()
      far.transport.pause()
      near.write("late")
      yield* fence(near, far)
      yield* near.close
      yield* fence(other, another)
      assert.deepStrictEqual([far.text, far.end], ["", undefined])
      far.transport.resume()
      yield* Poll.until("it has ended", () => far.end !== undefined)
      assert.strictEqual(far.text, "late")
    })
  )

  it.live("closes after what was written before, however much waits for room", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair(small)
      far.transport.pause()
      near.write("x".repeat(100))
      yield* near.close
      far.transport.resume()
      yield* Poll.until("it has ended", () => far.end !== undefined)
      assert.strictEqual(far.text, "x".repeat(100))
      assert.match(far.end ?? "", /1000/)
      assert.isTrue(Exit.isFailure(far.write("nobody reads it").exit ?? Exit.void))
    })
  )

  it.live("fails a write that waits when the other end closes", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair(small)
      far.transport.pause()
      const outcome = near.write("x".repeat(100))
      yield* far.close
      yield* Poll.until("it has failed", () => outcome.exit !== undefined && Exit.isFailure(outcome.exit))
    })
  )

  it.live("is dropped at once, with all that was not received", () =>
    Effect.gen(function* () {
      const [near, far] = yield* pair(small)
      far.transport.pause()
      const outcome = near.write("x".repeat(100))
      near.transport.destroy()
      yield* Poll.until("both know", () => outcome.exit !== undefined && near.end !== undefined)
      assert.isTrue(outcome.exit !== undefined && Exit.isFailure(outcome.exit))
      far.transport.resume()
      yield* Poll.until("the other end knows", () => far.end !== undefined)
      assert.strictEqual(far.text, "")
      assert.match(far.end ?? "", /dropped/)
    })
  )
})

/** A thread that sends back what comes. */
const echo = Effect.fnUntraced(function* (options: ThreadTransport.Options) {
  const [near, far] = ThreadTransport.pair(options)
  const worker = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new Worker(new URL("../support/EchoThread.ts", import.meta.url), {
          workerData: far,
          transferList: [far.port]
        })
    ),
    (worker) => Effect.promise(() => worker.terminate())
  )
  return { worker, end: yield* observe(near) }
})

describe("a connection to another thread", () => {
  it.live("loses nothing, and nobody waits for ever, through queues of any length", () =>
    Effect.gen(function* () {
      for (const capacity of [1, 8, 4096]) {
        const { end } = yield* echo({ forth: capacity, back: capacity })
        let sent = ""
        for (let i = 0; i < 2000; i++) {
          const part = `${String(i).repeat(i % 7)},`
          sent += part
          yield* end.send(part)
        }
        yield* Poll.until("all has come back", () => end.text.length === sent.length)
        assert.strictEqual(end.text, sent)
      }
    })
  )

  it.live("ends with that thread", () =>
    Effect.gen(function* () {
      const { end, worker } = yield* echo(small)
      end.write("one")
      yield* Poll.until("it is there", () => end.text === "one")
      worker.postMessage("end")
      yield* Poll.until("it has ended", () => end.end !== undefined)
      assert.match(end.end ?? "", /1006/)
      assert.isTrue(Exit.isFailure(end.write("two").exit ?? Exit.void))
    })
  )
})
