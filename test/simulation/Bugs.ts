/**
 * Bugs that are planted in the code, and what the simulation has to say about each.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as ClientMachine from "../../src/protocol/ClientMachine.ts"
import type * as Message from "../../src/protocol/Message.ts"
import type * as ServerMachine from "../../src/protocol/ServerMachine.ts"
import type * as Admission from "../../src/server/Admission.ts"
import type { FairQueue } from "../../src/server/FairQueue.ts"
import type * as QueryLimit from "../../src/server/QueryLimit.ts"
import type * as Shutdown from "../../src/server/Shutdown.ts"

export type Change<A> = (real: A) => A

/** The bugs that can be planted: what becomes of the real code while a test runs. */
export interface Planted {
  readonly step: Change<typeof ServerMachine.step>
  readonly client: Change<typeof ClientMachine.step>
  /** The interval of heartbeats, in milliseconds. */
  readonly heartbeat: Change<number>
  readonly take: Change<Array<Message.Message>>
  /** The chunks that are given back, of all that were offered. */
  readonly sent: (sent: ReadonlyArray<Uint8Array>, offered: ReadonlyArray<Uint8Array>) => typeof sent
  readonly admission: Change<typeof Admission.Admission>
  readonly shutdown: Change<typeof Shutdown.Shutdown>
  readonly limit: Change<typeof QueryLimit.Limit>
}

export interface Bug {
  readonly name: string
  readonly plant: Partial<Planted>
  /** What the simulation has to say about it. */
  readonly found: RegExp
}

/** Limits that are off by so many. */
const changed =
  (by: Partial<QueryLimit.Options>): Planted["limit"] =>
  (Real) =>
    class extends Real {
      constructor({ maxConcurrentQueries, maxQueriesPerAddress, maxQueuedQueries }: QueryLimit.Options) {
        super({
          maxConcurrentQueries: maxConcurrentQueries + (by.maxConcurrentQueries ?? 0),
          maxQueriesPerAddress: Math.max(
            1,
            (maxQueriesPerAddress ?? Infinity) + (by.maxQueriesPerAddress ?? 0)
          ),
          maxQueuedQueries: Math.max(0, maxQueuedQueries + (by.maxQueuedQueries ?? 0))
        })
      }
    }

const acknowledged: ServerMachine.LocalReply = { type: "CancelAcknowledged" }

/** States in which a stale cancel has come. */
const crossed = new WeakSet<ServerMachine.State>()

/** Those of a connection and a client first, then those of a whole server. */
export const bugs: ReadonlyArray<Bug> = [
  {
    name: "a cancel that crosses the end of its response is a violation",
    plant: {
      step: (step) => (state, event) =>
        step(state._tag === "Ready" ? { ...state, staleCancel: false } : state, event)
    },
    found: /ended for no cause: protocol/
  },
  {
    name: "a cancel that crosses the end of its response is one of the next request",
    plant: {
      step: (step) => (state, event) => {
        if (state._tag === "Ready" && crossed.has(state) && event._tag === "Request") {
          return [{ _tag: "Replying", reply: acknowledged, refusing: state.refusing }, { _tag: "Refuse" }]
        }
        const [next, action] = step(state, event)
        if (state._tag === "Ready" && next._tag === "Ready" && event._tag === "Cancel") crossed.add(next)
        return [next, action]
      }
    },
    found: /K without a C|ended for no cause: protocol/
  },
  {
    name: "a cancel is acknowledged before its query has ended",
    plant: {
      step: (step) => (state, event) => {
        const [next, action] = step(state, event)
        if (event._tag !== "Cancel" || next._tag !== "Stopping") return [next, action]
        return [{ ...next, _tag: "Replying" }, { _tag: "Write" }]
      }
    },
    found: /while query \d+ is open|has not ended|although the cancel came before it/
  },
  {
    name: "a cancel is passed over while a response streams",
    plant: {
      step: (step) => (state, event) =>
        state._tag === "Responding" && event._tag === "Cancel"
          ? [state, { _tag: "None" }]
          : step(state, event)
    },
    found: /although the cancel came before it/
  },
  {
    name: "the client passes over a chunk",
    plant: {
      client: (step) => (state, event) => {
        const [next, action] = step(state, event)
        return action === "Chunk" ? [next, "None"] : [next, action]
      }
    },
    found: /a result of \d+ bytes/
  },
  {
    name: "the client takes a failed result for a whole one",
    plant: {
      client: (step) => (state, event) => {
        const [next, action] = step(state, event)
        return action === "Fail" ? [next, "Finish"] : [next, action]
      }
    },
    found: /the client has a whole result, but the wire had E/
  },
  {
    name: "a heartbeat comes after two intervals",
    plant: { heartbeat: (millis) => millis * 2 },
    found: /ms of silence/
  },
  {
    name: "a heartbeat comes after half an interval",
    plant: { heartbeat: (millis) => millis / 2 },
    found: /H after/
  },
  {
    name: "chunks that go out together change places",
    plant: {
      take: (frames) => {
        const [first, second, ...rest] = frames
        const chunks = first?.type === 0x49 && second?.type === 0x49
        return chunks ? [second, first, ...rest] : frames
      }
    },
    found: /byte \d+ of query \d+ is wrong|more bytes/
  },
  {
    name: "a chunk is given back while it waits to be written",
    plant: { sent: (sent, offered) => (sent.length > 0 ? offered : sent) },
    found: /given back|is wrong/
  },
  {
    name: "a chunk is not given back",
    plant: { sent: (sent) => sent.slice(1) },
    found: /bytes are not given back/
  },
  {
    name: "a query that takes too long is not ended",
    plant: {
      step: (step) => (state, event) =>
        event._tag === "QueryExpired" ? [state, { _tag: "None" }] : step(state, event)
    },
    found: /waits for an end/
  },
  {
    name: "one connection too many is served",
    plant: {
      admission: (Real) =>
        class extends Real {
          constructor(limits: Admission.Limits) {
            super({ ...limits, maxConnections: limits.maxConnections + 1 })
          }
        }
    },
    found: /is served( or refused)?, not/
  },
  {
    name: "one connection too many of an address is served",
    plant: {
      admission: (Real) =>
        class extends Real {
          constructor(limits: Admission.Limits) {
            super({ ...limits, maxConnectionsPerAddress: (limits.maxConnectionsPerAddress ?? Infinity) + 1 })
          }
        }
    },
    found: /is served( or refused)?, not/
  },
  {
    name: "a connection that ends does not count for its address any less",
    plant: {
      admission: (Real) =>
        class extends Real {
          override leave(place: Admission.Place): void {
            super.leave(place, "another")
          }
        }
    },
    found: /is (refused|dropped), not|overloaded after|ended for no cause/
  },
  {
    name: "a refused connection counts as one that was served when it ends",
    plant: {
      admission: (Real) =>
        class extends Real {
          override leave(_: Admission.Place, address?: string): void {
            super.leave("served", address)
          }
        }
    },
    found: /is (served|dropped), not/
  },
  {
    name: "a place is not given back",
    plant: {
      admission: (Real) =>
        class extends Real {
          override leave(): void {}
        }
    },
    found: /is (refused|dropped), not|overloaded after/
  },
  {
    name: "a server that stops lets connections in, and forgets them",
    plant: {
      admission: (Real) =>
        class extends Real {
          override close(): void {}
          override closeToClients(): void {}
        }
    },
    found: /is served or refused, not dropped/
  },
  {
    name: "a drain does not wait for responses",
    plant: {
      shutdown: (Real) =>
        class extends Real {
          override drain(): Effect.Effect<void> {
            return super.drain(0)
          }
        }
    },
    found: /shutting_down after|is cut off/
  },
  {
    name: "a drain tells none but the first of its connections",
    plant: {
      shutdown: (Real) =>
        class extends Real {
          override join(member: Shutdown.Member): ReturnType<Shutdown.Shutdown["join"]> {
            const deaf = { drain: Effect.void, drainExpired: Effect.void }
            return Effect.suspend(() => super.join(this.size === 0 ? member : deaf))
          }
        }
    },
    found: /is kept although it is idle|waits for an end/
  },
  {
    name: "a drain forgets the connection that was accepted last",
    plant: {
      shutdown: (Real) =>
        class extends Real {
          private last: Shutdown.Member | undefined
          override join(member: Shutdown.Member): ReturnType<Shutdown.Shutdown["join"]> {
            this.last = member
            return super.join(member)
          }
          override drain(drainTimeout: Duration.Input): Effect.Effect<void> {
            const { members } = this as unknown as { readonly members: Set<Shutdown.Member | undefined> }
            members.delete(this.last)
            return super.drain(drainTimeout)
          }
        }
    },
    found: /is cut off|is kept although it is idle|waits for an end/
  },
  {
    name: "a drain waits for those who have gone",
    plant: {
      shutdown: (Real) =>
        class extends Real {
          override join(member: Shutdown.Member): ReturnType<Shutdown.Shutdown["join"]> {
            return Scope.provide(super.join(member), Scope.makeUnsafe())
          }
        }
    },
    found: /waits for nobody|connections when all have ended/
  },
  {
    name: "a server that closes leaves without a word",
    plant: {
      step: (step) => (state, event) => {
        const [next, action] = step(state, event)
        return next._tag === "Closed" ? [{ ...next, goAway: undefined }, action] : [next, action]
      }
    },
    found: /a request is lost|leaves without a word/
  },
  {
    name: "a second signal is not heard",
    plant: {
      shutdown: (Real) =>
        class extends Real {
          override readonly now = Effect.void
        }
    },
    found: /waits for an end|does not stop/
  },
  {
    name: "one query too many runs",
    plant: { limit: changed({ maxConcurrentQueries: 1 }) },
    found: /queries run/
  },
  {
    name: "one query too many waits",
    plant: { limit: changed({ maxQueuedQueries: 1 }) },
    found: /queries wait/
  },
  {
    name: "an address has one query too many",
    plant: { limit: changed({ maxQueriesPerAddress: 1 }) },
    found: /queries of (first|second|third)/
  },
  {
    name: "a query is turned away although its address may have another",
    plant: { limit: changed({ maxQueriesPerAddress: -1 }) },
    found: /overloaded after/
  },
  {
    name: "a query is turned away although there is a place in the queue",
    plant: { limit: changed({ maxQueuedQueries: -1 }) },
    found: /overloaded after/
  },
  {
    name: "a query that waits is overtaken",
    plant: {
      limit: (Real) =>
        class extends Real {
          private readonly queue: Array<QueryLimit.Place> = []
          override enter(place: QueryLimit.Place, address?: string): ReturnType<QueryLimit.Limit["enter"]> {
            const entered = super.enter(place, address)
            if (entered !== "waiting") return entered
            for (const older of this.queue) this.wait(older)
            this.queue.unshift(place)
            return entered
          }
          /** Goes to the end of the queue, if it waits. */
          private wait(place: QueryLimit.Place): void {
            const { waiting } = this as unknown as { readonly waiting: FairQueue<QueryLimit.Place> }
            if (waiting.delete(place)) waiting.enter(place.address ?? "", place)
          }
        }
    },
    found: /queries wait|was overtaken|waits while|waits for an end/
  },
  {
    name: "a permit is lost when a query is cancelled that waits for one",
    plant: {
      limit: (Real) =>
        class extends Real {
          private readonly waiters = new Set<QueryLimit.Place>()
          override enter(place: QueryLimit.Place, address?: string): ReturnType<QueryLimit.Limit["enter"]> {
            const { call } = place
            const entered = super.enter(
              Object.assign(place, {
                call: () => {
                  this.waiters.delete(place)
                  call.call(place)
                }
              }),
              address
            )
            if (entered === "waiting") this.waiters.add(place)
            return entered
          }
          override leave(place: QueryLimit.Place): void {
            if (!this.waiters.delete(place)) super.leave(place)
          }
        }
    },
    found: /waits while|overloaded after/
  }
]
