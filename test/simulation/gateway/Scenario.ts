/**
 * What happens to a gateway in one run, all of it decided by the seed: what its clients ask and when they go, what the
 * engine does with each query, what becomes of the back-ends and of the connections to them, and what the limits are.
 * Times are in milliseconds.
 */

import type * as Connections from "../../../src/server/Connections.ts"
import * as Settings from "../../../src/server/Settings.ts"
import type * as Network from "../Network.ts"
import type { Random } from "../Random.ts"
import type { Chunk } from "../Scenario.ts"

/** How the engine answers a request. Nothing was run after the two that another back-end might take. */
export type Init = "accept" | "overloaded" | "shutting_down" | "not_found" | "defect" | "silent"
/** How the result of an accepted query ends. */
export type Ending = "complete" | "fail" | "defect" | "silent"

export interface Query {
  readonly id: number
  readonly initDelay: number
  readonly init: Init
  readonly chunks: ReadonlyArray<Chunk>
  readonly ending: Ending
  /** How long its finalizer takes. */
  readonly finalizer: number
}

export interface Request {
  readonly query: Query
  readonly thinking: number
  readonly target: string | undefined
  readonly conversation: string | undefined
  /** An id of the client's, which another query may have too. */
  readonly queryId: string | undefined
  readonly timeoutMs: number | undefined
  readonly receipt: boolean
  /** When another request cancels it by its id, counted from its beginning. */
  readonly cancelAfter: number | undefined
  /** When its client goes away. */
  readonly leavesAfter: number | undefined
  /** How probable it is that the client rests before it reads on, and the longest that it does. */
  readonly pause: number
  readonly pauseMillis: number
}

export interface Client {
  readonly id: number
  readonly caller: string
  readonly startsAt: number
  /** Whether all of its requests are under way at once. */
  readonly isParallel: boolean
  readonly requests: ReadonlyArray<Request>
}

/** What happens to a back-end: `cut` breaks its connections, `hang` lets no connection come about. */
export type Fault = "kill" | "drain" | "cut" | "cut all" | "hang"

export interface Event {
  readonly id: number
  readonly at: number
  readonly address: string
  readonly fault: Fault
  /** How long it lasts, or until the back-end is started again. */
  readonly millis: number
}

export interface GatewaySettings {
  readonly backendConnections: number
  readonly backendQueue: number
  readonly backendQueueTimeout: number
  readonly backendStallTimeout: number
  readonly backendConnectTimeout: number
  readonly backendSilence: number
  readonly ejectAfter: number
  readonly probeInterval: number
  readonly conversationTimeout: number
  readonly maxConversations: number
  readonly verdictTime: number
  readonly maxVerdicts: number
  readonly httpDrainTimeout: number
}

/** When the gateway stops, and how long after that it is told to wait no longer, if it is. */
export interface Stop {
  readonly at: number
  readonly patience: number | undefined
}

export interface Scenario {
  readonly gateway: GatewaySettings
  readonly server: Connections.Options
  /** How many queries a caller may have at a time. */
  readonly quota: number
  readonly conditions: Network.Conditions
  /** How long connecting takes at the most. */
  readonly connecting: number
  readonly clients: ReadonlyArray<Client>
  readonly events: ReadonlyArray<Event>
  readonly stop: Stop | undefined
  readonly preemption: number
  readonly quantum: number
  readonly maxWriteSize: number
}

/** The addresses of each target. */
export const targets: Readonly<Record<string, readonly [string, ...ReadonlyArray<string>]>> = {
  a: ["10.0.0.1:1", "10.0.0.2:1"],
  b: ["10.0.0.3:1"]
}

export const addresses: readonly [string, ...ReadonlyArray<string>] = [
  "10.0.0.1:1",
  "10.0.0.2:1",
  "10.0.0.3:1"
]

/** Those who ask; the one without a name has no quota. */
export const callers = ["", "ann", "ben"] as const

/** Numbers of clients, from 1. */
export const mostClients = 6

/** The largest chunk of an engine. */
export const mostChunkBytes = 400

const query = (random: Random, id: number): Query => {
  const slow = random.chance(0.4)
  const large = random.chance(0.2)
  const delay = () => (slow && random.chance(0.6) ? random.between(0, 300) : 0)
  return {
    id,
    initDelay: random.chance(0.4) ? random.between(0, 200) : 0,
    init: random.chance(0.8)
      ? "accept"
      : random.pick(["overloaded", "overloaded", "shutting_down", "not_found", "defect", "silent"]),
    chunks: Array.from({ length: random.between(0, 6) }, () => ({
      delay: delay(),
      size: large ? random.between(0, mostChunkBytes) : random.between(0, 60)
    })),
    ending: random.chance(0.75) ? "complete" : random.pick(["fail", "fail", "defect", "silent"]),
    finalizer: random.chance(0.3) ? random.between(0, 100) : 0
  }
}

const request = (random: Random, id: number, conversing: number): Request => {
  const leaving = random.chance(0.35) ? random.between(0, random.pick([2, 30, 400])) : undefined
  const byId = random.chance(0.5)
  return {
    query: query(random, id),
    thinking: random.chance(0.6) ? random.between(0, random.pick([5, 300])) : 0,
    target: random.pick([undefined, undefined, "a", "a", "b"]),
    conversation: random.chance(conversing) ? random.pick(["x", "x", "y", "z"]) : undefined,
    queryId: random.chance(0.1) ? random.pick(["one", "two"]) : undefined,
    timeoutMs: random.chance(0.1) ? random.between(1, 500) : undefined,
    receipt: random.chance(0.3),
    cancelAfter: byId ? leaving : undefined,
    leavesAfter: byId ? undefined : leaving,
    pause: random.pick([0, 0, 0.2]),
    pauseMillis: random.pick([5, 100, 1500])
  }
}

const client = (random: Random, id: number): Client => {
  const conversing = random.pick([0, 0.3, 0.9])
  return {
    id,
    caller: random.pick(callers),
    startsAt: random.chance(0.5) ? 0 : random.between(0, random.pick([5, 200, 2000])),
    isParallel: random.chance(0.3),
    requests: Array.from({ length: random.between(1, 6) }, (_, i) =>
      request(random, id * 100 + i, conversing)
    )
  }
}

const event = (random: Random, id: number): Event => ({
  id,
  at: random.between(0, random.pick([50, 1500])),
  address: random.pick(addresses),
  fault: random.pick(["kill", "drain", "drain", "cut", "cut all", "hang"]),
  millis: random.between(1, random.pick([10, 500, 3000]))
})

const gateway = (random: Random): GatewaySettings => ({
  backendConnections: random.pick([1, 2, 4]),
  backendQueue: random.pick([0, 1, 4, 100]),
  backendQueueTimeout: random.pick([2000, 10_000]),
  backendStallTimeout: random.pick([50, 1000, Infinity]),
  backendConnectTimeout: random.pick([100, 1000]),
  backendSilence: random.pick([400, 2000]),
  ejectAfter: random.pick([1, 2, 3]),
  probeInterval: random.pick([30, 300]),
  conversationTimeout: random.pick([100, 2000, Infinity]),
  maxConversations: random.pick([2, 100]),
  verdictTime: random.pick([50, 10_000, Infinity]),
  maxVerdicts: random.pick([1, 5, 100]),
  httpDrainTimeout: random.pick([1, 100, 2000])
})

const server = (random: Random): Connections.Options => ({
  ...Settings.defaults,
  heartbeatInterval: 100,
  chunkSize: random.pick([8, 64, 64 * 1024]),
  prefetchSize: random.pick([1, 100, 256 * 1024]),
  batchSize: random.pick([1, 100, 512 * 1024]),
  queryTimeout: random.pick([2000, 5000]),
  writeTimeout: 30_000,
  requestTimeout: 2000,
  idleTimeout: random.pick([1000, 3000, 60_000]),
  firstRequestTimeout: 5000,
  queueTimeout: random.pick([50, 5000]),
  stallTimeout: random.pick([50, 1000, Infinity]),
  maxConnections: random.pick([1, 2, 1000, 1000]),
  maxRefusals: random.pick([0, 1, 64]),
  maxConcurrentQueries: random.pick([1, 2, 1000]),
  maxQueuedQueries: random.pick([0, 1, 1000]),
  maxUnfinishedBytes: 1024 * 1024,
  drainTimeout: random.pick([0, 50, 1000])
})

/** A request takes many segments, and no timeout. */
const conditions = (random: Random): Network.Conditions => ({
  latency: random.pick([0, 1, 5, 30]),
  late: random.pick([0.1, 0.5]),
  segment: random.pick([50, 1500, 64 * 1024]),
  sendBuffer: random.pick([1, 100, 4096, 64 * 1024]),
  receiveBuffer: random.pick([64, 1000, 64 * 1024]),
  stall: random.pick([0, 0, 0.02]),
  stallMillis: random.pick([200, 3000])
})

/** Whether nothing goes wrong by the network or the back-ends. */
export const isCalm = ({ clients, conditions, events, server }: Scenario): boolean =>
  events.length === 0 &&
  conditions.stall === 0 &&
  server.maxConnections > 2 &&
  // A connection that is closed for idleness may be so while its last result waits for a slow reader.
  Number(server.idleTimeout) > 10_000 &&
  // A back-end that says so is taken at its word.
  !clients.some(({ requests }) => requests.some(({ query }) => query.init === "shutting_down"))

/** What the seed decides on. */
export const make = (random: Random): Scenario => {
  const calm = random.chance(0.25)
  const given = conditions(random)
  const limits = server(random)
  return {
    gateway: gateway(random),
    server: calm ? { ...limits, maxConnections: 1000 } : limits,
    quota: random.pick([1, 2, 100]),
    conditions: calm ? { ...given, stall: 0 } : given,
    connecting: random.pick([0, 5, 50]),
    clients: Array.from({ length: random.pick([1, 2, 3, mostClients]) }, (_, i) => client(random, i + 1)),
    events: calm ? [] : Array.from({ length: random.between(0, 6) }, (_, i) => event(random, i + 1)),
    stop: random.chance(0.25)
      ? { at: random.between(0, 1500), patience: random.chance(0.5) ? random.between(0, 300) : undefined }
      : undefined,
    preemption: random.pick([0, 0.01, 0.1, 0.3]),
    quantum: random.pick([1, 1000, 1024 * 1024]),
    maxWriteSize: random.pick([7, 1000, 1024 * 1024])
  }
}

/** How many bytes the result of a query has, if all of it comes. */
export const size = (query: Query): number => query.chunks.reduce((sum, chunk) => sum + chunk.size, 0)

/** A result's byte at an offset: no two queries have the same, and no byte is like its neighbour. */
export const byteAt = (query: Query, offset: number): number => (query.id * 37 + offset * 11) & 0xff

/** The words of a query, and which query the words are of; none for those of a probe. */
export const words = (id: number): string => `query ${id}`
export const idOf = (text: string): number | undefined => {
  const [, id] = /^query (\d+)$/.exec(text) ?? []
  return id === undefined ? undefined : Number(id)
}

/** The queries by their number. */
export const requests = ({ clients }: Scenario): ReadonlyMap<number, Request> =>
  new Map(clients.flatMap((client) => client.requests.map((request) => [request.query.id, request] as const)))
