/**
 * Bugs that are planted in the gateway and its pools, and what the simulation has to say about each.
 */
import * as Effect from "effect/Effect"
import type { ClientConnection } from "../../../src/client/ClientConnection.ts"
import { type ClientError, ConnectionClosed } from "../../../src/client/ClientError.ts"
import type * as ClientFailure from "../../../src/client/ClientFailure.ts"
import type * as ClientSession from "../../../src/client/ClientSession.ts"
import type { Exchange } from "../../../src/client/Exchange.ts"
import type * as Requests from "../../../src/client/Requests.ts"
import type * as Access from "../../../src/gateway/Access.ts"
import type * as Caller from "../../../src/gateway/Caller.ts"
import type * as Conversations from "../../../src/gateway/Conversations.ts"
import type * as Instance from "../../../src/gateway/Instance.ts"
import type * as QueryLog from "../../../src/gateway/QueryLog.ts"
import type * as ClientMachine from "../../../src/protocol/ClientMachine.ts"
import type { Change } from "../Bugs.ts"

/** The bugs that can be planted: what becomes of the real code while a test runs. */
export interface Planted {
  /** The error of a response that broke off. */
  readonly broken: Change<typeof ClientFailure.duringResponse>
  readonly machine: Change<typeof ClientMachine.step>
  readonly session: Change<typeof ClientSession.Session>
  readonly requests: Change<typeof Requests.Requests>
  readonly instance: Change<typeof Instance.Instance>
  readonly leastBusy: Change<typeof Instance.leastBusy>
  readonly conversations: Change<typeof Conversations.Conversations>
  readonly access: Change<typeof Access.Access>
  readonly log: Change<typeof QueryLog.ended>
}

export interface Bug {
  readonly name: string
  readonly plant: Partial<Planted>
  /** What the simulation has to say about it. */
  readonly found: RegExp
}

/** The same error, as if nothing had been sent. */
const unsent = (error: ClientError): ClientError => {
  const { message, reason } = error
  if (reason._tag !== "ConnectionLost") return error
  return Object.assign(Object.create(Object.getPrototypeOf(error)), error, {
    reason: new ConnectionClosed({ server: reason.server, detail: message })
  })
}

export const bugs: ReadonlyArray<Bug> = [
  {
    name: "a query whose connection breaks is asked for at another address",
    plant: { broken: (real) => (names, why, paused) => unsent(real(names, why, paused)) },
    found: /is sent again|runs again|runs twice/
  },
  {
    name: "an address that is out of use is asked",
    plant: {
      leastBusy: (real) => (instances, tried) =>
        real(instances, tried) ?? instances.find((instance) => !tried.includes(instance))
    },
    found: /which is (draining|ejected)/
  },
  {
    name: "an address never comes back",
    plant: {
      instance: (Real) =>
        class extends Real {
          override restore(): void {}
        }
    },
    found: /has not come back|has timers/
  },
  {
    name: "a query that leaves an address counts there for ever",
    plant: {
      instance: (Real) =>
        class extends Real {
          override enter(): () => void {
            super.enter()
            return () => {}
          }
        }
    },
    found: /counts \d+ queries/
  },
  {
    name: "a conversation forgets its address",
    plant: {
      conversations: (Real) =>
        class extends Real {
          override bind(): void {}
        }
    },
    found: /of conversation .* goes to/
  },
  {
    name: "a conversation never ends",
    plant: {
      conversations: (Real) =>
        class extends Real {
          override use(key: string, conversation: Conversations.Conversation): (now: bigint) => void {
            const leave = super.use(key, conversation)
            conversation.active++
            return leave
          }
        }
    },
    found: /keeps conversation/
  },
  {
    name: "a cancel does not wait for the end of its query",
    plant: {
      session: (Real) =>
        class extends Real {
          override finish(exchange: Exchange): Effect.Effect<void> {
            return Effect.asVoid(Effect.forkDetach(super.finish(exchange)))
          }
        }
    },
    found: /has ended, and goes on/
  },
  {
    name: "a failed result is complete",
    plant: {
      machine: (step) => (state, event) => {
        const [next, action] = step(state, event)
        return action === "Fail" ? [next, "Finish"] : [next, action]
      }
    },
    // The receipt of a result shows it to the gateway.
    found: /its engine was not done|fails with backend_lost/
  },
  {
    name: "a connection of a pool is lost when nobody waits for it",
    plant: {
      requests: (Real) =>
        class extends Real {
          override offer(connection: ClientConnection): boolean {
            return this.size > 0 ? super.offer(connection) : true
          }
        }
    },
    found: /has places for|has not come back|overloaded|has not ended|timeout/
  },
  {
    name: "a caller has one query too many",
    plant: {
      access: (Real) =>
        class extends Real {
          override admit(caller: Caller.Caller, now: bigint) {
            return super.admit({ ...caller, maxConcurrentQueries: caller.maxConcurrentQueries + 1 }, now)
          }
        }
    },
    found: /caller \w+ has \d+ queries/
  },
  {
    name: "a place of a caller is not given back",
    plant: {
      access: (Real) =>
        class extends Real {
          override admit(caller: Caller.Caller, now: bigint) {
            const admitted = super.admit(caller, now)
            return typeof admitted === "function" ? () => {} : admitted
          }
        }
    },
    found: /quota_exceeded|counts queries of/
  },
  {
    name: "the end of a query is told twice",
    plant: {
      log: (real) => (entry, origin, nanos) =>
        Effect.andThen(real(entry, origin, nanos), real(entry, origin, nanos))
    },
    found: /the log tells of/
  }
]
