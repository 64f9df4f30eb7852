/**
 * What a scenario of servers and their clients can be without, and how.
 */
import * as Reductions from "./Reductions.ts"
import type * as Scenario from "./Scenario.ts"

type Change<A> = Reductions.Change<A>

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
  timeouts: Reductions.query((all) => ({ ...all, timeout: undefined })),
  ...Reductions.ofQuery()
}

export const { apply, candidates } = Reductions.make<Scenario.Scenario>({ ofAll, ofClient, ofRequest })
