import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Peer from "../support/Peer.ts"
import * as Poll from "../support/Poll.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

const request = (text: string): Uint8Array => Message.encode(Peer.request(text))

/** What a client has received once it holds the text, or once its connection is closed. */
const answer = ({ received, socket }: LiveServer.RawClient, text: string) =>
  Effect.map(
    Poll.until(`an answer to ${text}`, () => received().includes(text) || socket.closed),
    () => received().toString("latin1")
  )

/** How long a frame may take to arrive, and a peer to take a byte. */
const millis = 500

/** Computes for longer than that. */
const compute = (): void => {
  const end = performance.now() + 1.2 * millis
  while (performance.now() < end);
}

/** A server whose engine does this before it answers `busy`. */
const start = (work: () => void): ReturnType<typeof LiveServer.start> => {
  const { engine } = TinyEngine.make()
  const init: QueryEngine["Service"]["init"] = (body) =>
    Effect.suspend(() => {
      if (Buffer.from(body).toString() === "echo busy") work()
      return engine.init(body)
    })
  return LiveServer.start(QueryEngine.of({ init }), { requestTimeout: millis, writeTimeout: millis })
}

const late = request("echo late")
const [beginning, rest] = [late.subarray(0, 7), late.subarray(7)]

describe("a server that was busy for longer than it waits for its peers", () => {
  it.live.each([
    ["as it began a query", (work: () => void): void => work()],
    ["between reads", (work: () => void): void => void setImmediate(work)]
  ] as const)("reads what has arrived before it cuts anyone off: %s", ([_, when]) =>
    Effect.gen(function* () {
      let work = (): void => {}
      const { address } = yield* start(() => when(work))
      const [slow, other] = [yield* LiveServer.dial(address), yield* LiveServer.dial(address)]
      work = () => {
        slow.socket.write(rest)
        compute()
      }
      // The answer to the first request tells that the beginning of the second one has been read.
      slow.socket.write(Buffer.concat([request("echo first"), beginning]))
      yield* answer(slow, "first")
      other.socket.write(request("echo busy"))
      assert.include(yield* answer(slow, "late"), "late")
    })
  )

  it.live("reads what has arrived although the beginning came just before", () =>
    Effect.gen(function* () {
      let work = (): void => {}
      const { address, event } = yield* start(() => work())
      const [slow, other] = [yield* LiveServer.dial(address), yield* LiveServer.dial(address)]
      work = () => {
        slow.socket.write(rest)
        compute()
      }
      yield* event("Opened", 1)
      slow.socket.write(beginning)
      other.socket.write(request("echo busy"))
      assert.include(yield* answer(slow, "late"), "late")
    })
  )

  it.live("cuts off who has sent nothing more", () =>
    Effect.gen(function* () {
      const { address, event } = yield* start(compute)
      const [slow, other] = [yield* LiveServer.dial(address), yield* LiveServer.dial(address)]
      slow.socket.write(Buffer.concat([request("echo first"), beginning]))
      yield* answer(slow, "first")
      other.socket.write(request("echo busy"))
      assert.include((yield* event("Closed")).detail, "requestTimeout")
    })
  )

  it.live("goes on writing to whoever has read in the meantime", () =>
    Effect.gen(function* () {
      let work = (): void => {}
      const { address, event } = yield* start(() => work())
      const reader = yield* LiveServer.dial(address, { paused: true })
      const other = yield* LiveServer.dial(address)
      work = () => {
        compute()
        LiveServer.take(reader)
      }
      reader.socket.write(request("large 16"))
      yield* event("Accepted")
      other.socket.write(request("echo busy"))
      yield* answer(other, "busy")
      const finished = Effect.raceFirst(event("Completed", 1), event("Closed"))
      reader.socket.resume()
      assert.strictEqual((yield* finished)._tag, "Completed")
    })
  )
})
