/**
 * Ways to make a gateway's scenario smaller, by the names that the command line takes: `latency` for all, `client:3`,
 * `query:201` and `event:2` for one. `chunks` and `sizes` halve, and can be said again.
 */
import type * as Scenario from "./Scenario.ts"

type Change<A> = (a: A) => A

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
  pool: gateway({ backendConnections: 4, backendQueue: 100 }),
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
  delays: query((all) => ({
    ...all,
    initDelay: 0,
    chunks: all.chunks.map((chunk) => ({ ...chunk, delay: 0 }))
  })),
  finalizers: query((all) => ({ ...all, finalizer: 0 })),
  chunks: query((all) => ({ ...all, chunks: all.chunks.slice(0, Math.floor(all.chunks.length / 2)) })),
  sizes: query((all) => ({
    ...all,
    chunks: all.chunks.map((chunk) => ({ ...chunk, size: Math.floor(chunk.size / 2) }))
  })),
  failures: query((all) => ({ ...all, init: "accept", ending: "complete" }))
}

function query(change: Change<Scenario.Query>): Change<Scenario.Request> {
  return (request) => ({ ...request, query: change(request.query) })
}

const clients = (
  scenario: Scenario.Scenario,
  change: (client: Scenario.Client) => Array<Scenario.Client>
) => ({ ...scenario, clients: scenario.clients.flatMap(change) })

const requests = (
  scenario: Scenario.Scenario,
  change: (request: Scenario.Request) => Array<Scenario.Request>
) => clients(scenario, (client) => [{ ...client, requests: client.requests.flatMap(change) }])

const applyOne = (scenario: Scenario.Scenario, reduction: string): Scenario.Scenario => {
  const [name = "", id] = reduction.split(":")
  const isMeant = (other: number) => id === undefined || Number(id) === other
  if (name === "client") return clients(scenario, (client) => (isMeant(client.id) ? [] : [client]))
  if (name === "event") return { ...scenario, events: scenario.events.filter((event) => !isMeant(event.id)) }
  if (name === "query") return requests(scenario, (request) => (isMeant(request.query.id) ? [] : [request]))
  const [all, one, request] = [ofAll[name], ofClient[name], ofRequest[name]]
  if (all !== undefined) return all(scenario)
  if (one !== undefined) return clients(scenario, (other) => [isMeant(other.id) ? one(other) : other])
  if (request === undefined) throw new Error(`A scenario has no ${reduction} to be without`)
  return requests(scenario, (other) => [isMeant(other.query.id) ? request(other) : other])
}

/** The scenario without what is named. */
export const apply = (scenario: Scenario.Scenario, without: ReadonlyArray<string>): Scenario.Scenario =>
  without.reduce(applyOne, scenario)

/** What a scenario could be without, what makes it smallest first. */
export const candidates = (scenario: Scenario.Scenario): ReadonlyArray<string> => {
  const ids = scenario.clients.map(({ id }) => id)
  const queries = scenario.clients.flatMap((client) => client.requests.map(({ query }) => query.id))
  const events = scenario.events.map(({ id }) => id)
  const each = (names: ReadonlyArray<string>, of: ReadonlyArray<number>) =>
    names.flatMap((name) => of.map((id) => `${name}:${id}`))
  const [general, perClient, perRequest] = [ofAll, ofClient, ofRequest].map(Object.keys) as [
    Array<string>,
    Array<string>,
    Array<string>
  ]
  return [
    ...each(["client"], ids),
    ...each(["event"], events),
    ...each(["query"], queries),
    ...general,
    ...perClient,
    ...perRequest,
    ...each(perClient, ids),
    ...each(perRequest, queries)
  ]
}
