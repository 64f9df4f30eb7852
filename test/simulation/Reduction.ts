/**
 * Ways to make a scenario smaller. Each has a name that the command line takes: `latency` takes the network's
 * latency from all clients and `latency:2` from the second, `client:3` takes the third client out, and
 * `query:201` a request. `chunks` and `sizes` halve, and can be said again.
 */
import type * as Scenario from "./Scenario.ts"

type Change<A> = (a: A) => A

const large = 64 * 1024
const never = 1_000_000

const ofAll: Readonly<Record<string, Change<Scenario.Scenario>>> = {
  stop: (scenario) => ({ ...scenario, stop: undefined }),
  hurry: (scenario) => ({ ...scenario, stop: scenario.stop && { ...scenario.stop, patience: undefined } }),
  losses: (scenario) => ({ ...scenario, losses: [] }),
  preemption: (scenario) => ({ ...scenario, preemption: 0 }),
  turns: (scenario) => ({ ...scenario, quantum: never }),
  pieces: (scenario) => ({ ...scenario, maxWriteSize: never }),
  connectionLimit: settings({ maxConnections: never, maxRefusals: 64 }),
  queryLimit: settings({ maxConcurrentQueries: never, maxQueuedQueries: never }),
  addressLimits: settings({ maxConnectionsPerAddress: never, maxQueriesPerAddress: never }),
  addresses: (scenario) => ({
    ...scenario,
    clients: scenario.clients.map((client) => ({ ...client, address: "first" }))
  }),
  batches: settings({ chunkSize: large, prefetchSize: large, batchSize: large }),
  lengths: settings({ lengthCounts: "body" }),
  heartbeats: settings({ heartbeatInterval: 1000 }),
  queryTimeout: settings({ queryTimeout: 5000 }),
  writeTimeout: settings({ writeTimeout: 5000 }),
  requestTimeout: settings({ requestTimeout: 5000 }),
  idleTimeout: settings({ idleTimeout: 5000 }),
  firstRequestTimeout: settings({ firstRequestTimeout: 5000 }),
  queueTimeout: settings({ queueTimeout: 10_000 })
}

function settings(changed: Partial<Scenario.Scenario["settings"]>): Change<Scenario.Scenario> {
  return (scenario) => ({ ...scenario, settings: { ...scenario.settings, ...changed } })
}

const ofClient: Readonly<Record<string, Change<Scenario.Client>>> = {
  latency: conditions({ latency: 0, late: 0 }),
  stalls: conditions({ stall: 0, stallMillis: 0 }),
  segments: conditions({ segment: large, sendBuffer: large, receiveBuffer: large }),
  lateness: (client) => ({ ...client, startsAt: 0 }),
  pauses: (client) => ({ ...client, pause: 0 }),
  leaving: (client) => ({ ...client, leavesEarly: undefined }),
  package: (client) => ({ ...client, packaged: false })
}

function conditions(changed: Partial<Scenario.Client["conditions"]>): Change<Scenario.Client> {
  return (client) => ({ ...client, conditions: { ...client.conditions, ...changed } })
}

const ofRequest: Readonly<Record<string, Change<Scenario.Request>>> = {
  thinking: (request) => ({ ...request, thinking: 0 }),
  cancels: (request) => ({ ...request, cancelAfter: undefined }),
  rests: (request) => ({ ...request, rest: undefined }),
  violations: (request) => ({ ...request, violation: undefined }),
  delays: query((all) => ({
    ...all,
    initDelay: 0,
    chunks: all.chunks.map((chunk) => ({ ...chunk, delay: 0 }))
  })),
  finalizers: query((all) => ({ ...all, finalizer: 0 })),
  timeouts: query((all) => ({ ...all, timeout: undefined })),
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
) => ({
  ...scenario,
  clients: scenario.clients.flatMap(change)
})

const requests = (
  scenario: Scenario.Scenario,
  change: (request: Scenario.Request) => Array<Scenario.Request>
) => clients(scenario, (client) => [{ ...client, requests: client.requests.flatMap(change) }])

const applyOne = (scenario: Scenario.Scenario, reduction: string): Scenario.Scenario => {
  const [name = "", id] = reduction.split(":")
  const isMeant = (other: number) => id === undefined || Number(id) === other
  if (name === "client") return clients(scenario, (client) => (isMeant(client.id) ? [] : [client]))
  if (name === "query") {
    return requests(scenario, (request) => (isMeant(request.query.id) ? [] : [request]))
  }
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
  const each = (names: ReadonlyArray<string>, of: ReadonlyArray<number>) =>
    names.flatMap((name) => of.map((id) => `${name}:${id}`))
  const [general, perClient, perRequest] = [ofAll, ofClient, ofRequest].map(Object.keys) as [
    Array<string>,
    Array<string>,
    Array<string>
  ]
  return [
    ...each(["client"], ids),
    ...each(["query"], queries),
    ...general,
    ...perClient,
    ...perRequest,
    ...each(perClient, ids),
    ...each(perRequest, queries)
  ]
}
