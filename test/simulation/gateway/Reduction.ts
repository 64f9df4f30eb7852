/**
 * Ways to make a gateway's scenario smaller, by the names that the command line takes: `latency` for all, `client:3`,
 * `query:201` and `event:2` for one. `chunks` and `sizes` halve, and can be said again.
 */
import * as Reductions from "../Reductions.ts"
import type * as Scenario from "./Scenario.ts"

type Change<A> = Reductions.Change<A>

const large = 64 * 1024
const never = 1_000_000

const ofAll: Readonly<Record<string, Change<Scenario.Scenario>>> = {
  stop: (scenario) => ({ ...scenario, stop: undefined }),
  hurry: (scenario) => ({ ...scenario, stop: scenario.stop && { ...scenario.stop, patience: undefined } }),
  preemption: (scenario) => ({ ...scenario, preemption: 0 }),
  turns: (scenario) => ({ ...scenario, quantum: never }),
  pieces: (scenario) => ({ ...scenario, maxWriteSize: never }),
  connecting: (scenario) => ({ ...scenario, connecting: 0 }),
  quota: (scenario) => ({ ...scenario, quota: 100 }),
  latency: conditions({ latency: 0, late: 0 }),
  stalls: conditions({ stall: 0, stallMillis: 0 }),
  segments: conditions({ segment: large, sendBuffer: large, receiveBuffer: large }),
  connectionLimit: server({ maxConnections: 1000, maxRefusals: 64 }),
  queryLimit: server({ maxConcurrentQueries: 1000, maxQueuedQueries: 1000 }),
  batches: server({ chunkSize: large, prefetchSize: large, batchSize: large }),
  idleTimeout: server({ idleTimeout: 60_000, firstRequestTimeout: 5000 }),
  queueTimeout: server({ queueTimeout: 5000, stallTimeout: Infinity }),
  pool: gateway({ backendConnections: 4, backendQueue: 100, backendQueueTimeout: 10_000 }),
  stalled: gateway({ backendStallTimeout: Infinity }),
  ejection: gateway({ ejectAfter: 3 }),
  conversationTimeout: gateway({ conversationTimeout: Infinity, maxConversations: 100 }),
  verdicts: gateway({ verdictTime: Infinity, maxVerdicts: 100 })
}

function conditions(changed: Partial<Scenario.Scenario["conditions"]>): Change<Scenario.Scenario> {
  return (scenario) => ({ ...scenario, conditions: { ...scenario.conditions, ...changed } })
}

function server(changed: Partial<Scenario.Scenario["server"]>): Change<Scenario.Scenario> {
  return (scenario) => ({ ...scenario, server: { ...scenario.server, ...changed } })
}

function gateway(changed: Partial<Scenario.GatewaySettings>): Change<Scenario.Scenario> {
  return (scenario) => ({ ...scenario, gateway: { ...scenario.gateway, ...changed } })
}

const ofClient: Readonly<Record<string, Change<Scenario.Client>>> = {
  lateness: (client) => ({ ...client, startsAt: 0 }),
  parallel: (client) => ({ ...client, isParallel: false }),
  caller: (client) => ({ ...client, caller: "" })
}

const ofRequest: Readonly<Record<string, Change<Scenario.Request>>> = {
  thinking: (request) => ({ ...request, thinking: 0 }),
  cancels: (request) => ({ ...request, cancelAfter: undefined }),
  leaving: (request) => ({ ...request, leavesAfter: undefined }),
  conversations: (request) => ({ ...request, conversation: undefined }),
  ids: (request) => ({ ...request, queryId: undefined }),
  timeouts: (request) => ({ ...request, timeoutMs: undefined }),
  receipts: (request) => ({ ...request, receipt: false }),
  pauses: (request) => ({ ...request, pause: 0 }),
  ...Reductions.ofQuery()
}

export const { apply, candidates } = Reductions.make<Scenario.Scenario>({
  ...{ ofAll, ofClient, ofRequest },
  parts: {
    event: {
      ids: ({ events }) => events.map(({ id }) => id),
      without: (scenario, isMeant) => ({
        ...scenario,
        events: scenario.events.filter((event) => !isMeant(event.id))
      })
    }
  }
})
