/**
 * What happens in one run, all of it decided by the seed: what the engine does with each query, what the
 * clients do, how bad the network is, what the server's limits are and when it stops. Times are in
 * milliseconds.
 */

import type * as Connections from "../../src/server/Connections.ts"
import * as Settings from "../../src/server/Settings.ts"
import type { Conditions } from "./Network.ts"
import type { Random } from "./Random.ts"

/** How the engine's `init` ends. */
export type Init = "accept" | "reject" | "failure" | "defect" | "interrupt" | "silent"
/** How an accepted query's result ends. */
export type Ending = "complete" | "fail" | "defect" | "interrupt" | "silent"

export interface Chunk {
  readonly delay: number
  readonly size: number
}

export interface Query {
  readonly id: number
  readonly initDelay: number
  readonly init: Init
  readonly chunks: ReadonlyArray<Chunk>
  readonly ending: Ending
  /** How long its finalizer takes. */
  readonly finalizer: number
  readonly timeout: number | undefined
}

/** What a client does that the protocol does not allow. */
export type Violation = "second request" | "early cancel" | "second cancel" | "heartbeat" | "garbage"

export interface Request {
  readonly query: Query
  readonly thinking: number
  /** When it is cancelled, counted from its sending. */
  readonly cancelAfter: number | undefined
  /** The bytes of the frame after which the client rests, and for how long. */
  readonly rest: { readonly after: number; readonly millis: number } | undefined
  readonly violation: Violation | undefined
}

export type Leaving = "close" | "halfClose" | "reset"

export interface Client {
  readonly id: number
  /** What it counts for in the limits per address. */
  readonly address: string
  readonly startsAt: number
  readonly requests: ReadonlyArray<Request>
  /** How probable it is that the client rests before it reads on, and the longest that it does. */
  readonly pause: number
  readonly pauseMillis: number
  /** How it goes when all is answered; otherwise it waits for the server to. */
  readonly leaving: Leaving | undefined
  /** How and when it goes whatever is under way. */
  readonly leavesEarly: { readonly how: Leaving; readonly at: number } | undefined
  readonly conditions: Conditions
  /** Whether it is the package's own, which breaks no rule. */
  readonly packaged: boolean
}

/** When the server stops, and how long after that it is told to wait no longer, if it is. */
export interface Stop {
  readonly at: number
  readonly patience: number | undefined
}

export interface Scenario {
  readonly settings: Connections.Options
  readonly clients: ReadonlyArray<Client>
  readonly stop: Stop | undefined
  /** When the engine loses the process that its queries run in; it has another one at once. In their order. */
  readonly losses: ReadonlyArray<number>
  readonly preemption: number
  readonly quantum: number
  readonly maxWriteSize: number
}

/** The largest chunk of an engine. */
export const mostChunkBytes = 1500

const query = (random: Random, id: number): Query => {
  const slow = random.chance(0.4)
  const large = random.chance(0.2)
  const delay = () => (slow && random.chance(0.6) ? random.between(0, 400) : 0)
  return {
    id,
    initDelay: random.chance(0.4) ? random.between(0, 300) : 0,
    init: random.chance(0.8)
      ? "accept"
      : random.pick(["reject", "reject", "failure", "defect", "interrupt", "silent"]),
    chunks: Array.from({ length: random.between(0, 8) }, () => ({
      delay: delay(),
      size: large ? random.between(0, mostChunkBytes) : random.between(0, 60)
    })),
    ending: random.chance(0.7) ? "complete" : random.pick(["fail", "fail", "defect", "interrupt", "silent"]),
    finalizer: random.chance(0.3) ? random.between(0, 100) : 0,
    timeout: random.chance(0.1) ? random.between(0, 500) : undefined
  }
}

const request = (random: Random, id: number): Request => ({
  query: query(random, id),
  thinking: random.chance(0.5) ? random.between(0, 300) : 0,
  cancelAfter: random.chance(0.4) ? random.between(0, random.pick([2, 20, 400])) : undefined,
  rest: random.chance(0.1) ? { after: random.between(1, 6), millis: random.between(1, 200) } : undefined,
  violation: random.chance(0.03)
    ? random.pick(["second request", "early cancel", "second cancel", "heartbeat", "garbage"])
    : undefined
})

/** What the seed decides about a network. */
export const conditions = (random: Random): Conditions => ({
  latency: random.pick([0, 1, 5, 30]),
  late: random.pick([0.1, 0.5]),
  segment: random.pick([3, 50, 1500, 64 * 1024]),
  sendBuffer: random.pick([1, 100, 4096, 64 * 1024]),
  receiveBuffer: random.pick([16, 1000, 64 * 1024]),
  stall: random.pick([0, 0, 0.02]),
  stallMillis: random.pick([200, 3000])
})

const leavings = ["close", "halfClose", "reset"] as const

const client = (random: Random, id: number): Client => ({
  id,
  address: "first",
  startsAt: random.chance(0.5) ? 0 : random.between(0, random.pick([5, 200, 2000])),
  requests: Array.from({ length: random.between(0, 5) }, (_, i) => request(random, id * 100 + i)),
  pause: random.pick([0, 0, 0.2]),
  pauseMillis: random.pick([50, 3000]),
  leaving: random.chance(0.7) ? random.pick(leavings) : undefined,
  leavesEarly: random.chance(0.15) ? { how: random.pick(leavings), at: random.between(0, 1500) } : undefined,
  conditions: conditions(random),
  packaged: random.chance(0.3)
})

const limits = (random: Random) => ({
  maxConnections: random.pick([1, 2, 4, 4096]),
  maxRefusals: random.pick([0, 1, 64]),
  maxConcurrentQueries: random.pick([1, 2, 4, 32]),
  maxQueuedQueries: random.pick([0, 1, 2, 256]),
  maxUnfinishedBytes: 64 * 1024 * 1024,
  drainTimeout: random.pick([20, 500, 3000])
})

const settings = (random: Random): Connections.Options => ({
  ...Settings.defaults,
  lengthCounts: random.pick(["body", "body", "typeAndBody", "frame"]),
  heartbeatInterval: random.pick([20, 100, 500, 1000]),
  chunkSize: random.pick([1, 16, 1000, 64 * 1024]),
  prefetchSize: random.pick([1, 100, 4096, 256 * 1024]),
  batchSize: random.pick([1, 100, 4096, 512 * 1024]),
  queryTimeout: random.pick([300, 2000, 5000]),
  writeTimeout: random.pick([300, 2000, 5000]),
  requestTimeout: random.pick([100, 2000]),
  idleTimeout: random.pick([300, 3000]),
  ...limits(random)
})

/** Numbers of clients, from 1. */
export const mostClients = 8

const decide = (random: Random): Scenario => ({
  settings: settings(random),
  clients: Array.from({ length: random.pick([1, 2, 3, 5, mostClients]) }, (_, i) => client(random, i + 1)),
  stop: random.chance(0.4)
    ? {
        at: random.between(0, 1500),
        patience: random.chance(0.5) ? random.between(0, random.pick([5, 500])) : undefined
      }
    : undefined,
  losses: [],
  preemption: random.pick([0, 0.01, 0.1, 0.3]),
  quantum: random.pick([1, 1000, 1024 * 1024]),
  maxWriteSize: random.pick([7, 1000, 1024 * 1024])
})

/** Decided on last: what older seeds have found stays as it was. */
const limited = (scenario: Scenario, random: Random): Scenario => {
  const settings = {
    ...scenario.settings,
    maxConnectionsPerAddress: random.pick([Infinity, Infinity, 1, 2]),
    maxQueriesPerAddress: random.pick([Infinity, Infinity, 1, 3]),
    firstRequestTimeout: random.pick([5000, 1000, 150]),
    queueTimeout: random.pick([10_000, 1000, 150])
  }
  const clients = scenario.clients.map((client) => ({
    ...client,
    address: random.pick(["first", "first", "second", "third"])
  }))
  const stallTimeout = random.pick([1000, 100, 20, Infinity])
  return { ...scenario, settings: { ...settings, stallTimeout }, clients }
}

/** Decided on after all else, for the same reason. */
const lossy = (scenario: Scenario, random: Random): Scenario => {
  if (!random.chance(0.3)) return scenario
  const losses = Array.from({ length: random.between(1, 3) }, () => random.between(0, 1500))
  return { ...scenario, losses: losses.sort((a, b) => a - b) }
}

/** What the seed decides on. */
export const make = (random: Random): Scenario => lossy(limited(decide(random), random), random)

/** How many bytes the result of a query has, if all of it comes. */
export const size = (query: Query): number => query.chunks.reduce((sum, chunk) => sum + chunk.size, 0)

/** A result's byte at an offset: no two queries have the same, and no byte is like its neighbour. */
export const byteAt = (query: Query, offset: number): number => (query.id * 37 + offset * 11) & 0xff

export const accept = (query: Query): string => `accept ${query.id}`
export const reject = (query: Query): string => `reject ${query.id}`
export const error = (query: Query): string => `error ${query.id}`
/** What is told to a query whose process was lost. */
export const lost = '{"code":"engine_lost"}'
