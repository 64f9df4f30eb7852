/**
 * One connection as data: both machines and the response, what surrounds them, the wires between them, and what an
 * onlooker remembers in order to judge what happens.
 */
import * as ClientMachine from "../../src/protocol/ClientMachine.ts"
import { Response } from "../../src/protocol/Response.ts"
import * as ServerMachine from "../../src/protocol/ServerMachine.ts"
import type { Kind, Transition } from "./Explore.ts"

/** All that decides, as it is or as a mutant has it. */
export interface Machines {
  readonly step: typeof ServerMachine.step
  readonly take: typeof ServerMachine.take
  readonly hasMore: typeof ServerMachine.hasMore
  readonly Response: typeof Response
  readonly client: typeof ClientMachine.step
}

export const machines: Machines = {
  step: ServerMachine.step,
  take: ServerMachine.take,
  hasMore: ServerMachine.hasMore,
  Response,
  client: ClientMachine.step
}

/** How much may happen. All that can go on for ever is counted, so that there is an end to the states. */
export interface Bounds {
  readonly requests: number
  /** How many of them are longer than the server takes. */
  readonly long: number
  /** Chunks that the engine has for each query: the first has two bytes, the second three, and so on. */
  readonly chunks: number
  /** The response's limits, in bytes. */
  readonly prefetchSize: number
  readonly batchSize: number
  readonly heartbeats: number
  /** Whether queries may commit. */
  readonly commits: boolean
  /** How often a query may take too long. */
  readonly expiries: number
  /** Messages that the wire to the server takes; a client that has more waits. */
  readonly toServer: number
  /** Messages on the wire to the client beyond which a write has not been taken yet. */
  readonly toClient: number
  /** How many messages a client without manners sends, and which. */
  readonly hostile: number
  readonly alphabet: string
}

/**
 * The first letter of a message on a wire; `L` stands for a request that is longer than the server takes, `X` for
 * bytes that are no message. `j` and `e` are a reject and an error that say that the connection closes after them.
 */
export type Letter = "R" | "L" | "C" | "A" | "J" | "I" | "F" | "E" | "K" | "H" | "X" | "j" | "e"

/** The letter that the protocol has for it. */
export const upper = (letter: Letter): Letter => letter.toUpperCase() as Letter

/**
 * What the engine has said last of a query; `broken` is the failure to initialise, `dead` a defect, `unknown` one after
 * the commit has begun. A query that commits waits until its result has been handed over.
 */
export type Engine =
  | "deciding"
  | "streaming"
  | "handing over"
  | "committing"
  | "complete"
  | "failed"
  | "unknown"
  | "rejected"
  | "broken"
  | "dead"

/** The fiber of a query, until its finalizers have run. */
export interface Query {
  readonly engine: Engine
  /** Chunks that the engine has left. */
  readonly left: number
  /** It was interrupted. */
  readonly stopping: boolean
}

/** What is being written: a part of a response, one with the message that ends it, or a heartbeat. */
export type Write = "part" | "last" | "heartbeat"

/** A state under construction: steps change a copy of their own. */
export interface Draft {
  // The server: what decides, and what performs the actions.
  server: ServerMachine.State
  /** The response under way, until the socket has taken all of it. Copied before it changes. */
  response: Response | undefined
  query: Query | undefined
  /** The response waits for its turn to write. */
  submitted: boolean
  /** Nothing else begins to be written before this has been taken. */
  write: Write | undefined
  /** `lingering`: nothing more is sent, and what comes is thrown away. */
  socket: "open" | "flushing" | "lingering" | "destroyed"
  /** Whether the server has told its client that it closes, or still has to. */
  goodbye: "" | "due" | "said"

  // The wires: a letter and the number of the request it belongs to for each message, the oldest first.
  toServer: string
  toClient: string
  /** The server's socket was dropped: what it has sent may not arrive. */
  lossy: boolean

  // The client: its machine, and whether its socket has ended.
  client: ClientMachine.State
  clientEnded: boolean

  // What is left of the bounds.
  requests: number
  long: number
  heartbeats: number
  expiries: number
  hostile: number

  // The onlooker's memory, by what was put on the wires and taken from them.
  /** The request that the client sent last, and whether its response has not ended, as the client sees it. */
  sent: number
  inFlight: boolean
  accepted: boolean
  cancelled: boolean
  /** The last request that the server has begun to answer. */
  taken: number
  /** The request that the server has to answer, 0 if there is none; its accept was sent, its cancel was read. */
  answering: number
  acceptSent: boolean
  cancelRead: boolean
  /** It is longer than the server takes. */
  tooLarge: boolean
  /** Its commit has begun; a cancel was read after that. */
  committing: boolean
  crossed: boolean
  /** How its query has ended by itself. */
  ended: Engine | ""
  /** Chunks that the engine has offered, those of them that were not given back, and bytes on the wire. */
  offered: number
  lent: number
  passed: number
  /** A cancel may still come that crossed the last response. */
  stale: boolean
  /** Why the query was stopped first, which decides the code of the reply. */
  stopped: "" | "timeout" | "drain"
  /** The server was told to stop; twice if its patience is over. */
  drained: 0 | 1 | 2
  /** The connection is beyond the server's limit. */
  beyondLimit: boolean
  /** The client sent what it may not, and the server has read it. */
  violated: boolean
  broken: string | undefined
}

export type State = Readonly<Draft>

/** Notes that a rule was broken; the first one counts. */
export const broken = (draft: Draft, rule: string): void => {
  draft.broken ??= rule
}

export const check = (draft: Draft, holds: boolean, rule: string): void => {
  if (!holds) broken(draft, rule)
}

export const initial = (bounds: Bounds, beyondLimit: boolean): State => ({
  server: beyondLimit ? ServerMachine.refusing("overloaded") : ServerMachine.initial,
  response: undefined,
  query: undefined,
  submitted: false,
  write: undefined,
  socket: "open",
  goodbye: "",
  toServer: "",
  toClient: "",
  lossy: false,
  client: ClientMachine.initial,
  clientEnded: false,
  requests: bounds.requests,
  long: bounds.long,
  heartbeats: bounds.heartbeats,
  expiries: bounds.expiries,
  hostile: bounds.hostile,
  sent: 0,
  taken: 0,
  inFlight: false,
  accepted: false,
  cancelled: false,
  beyondLimit,
  violated: false,
  broken: undefined,
  ...nobodyAsked
})

/** What an onlooker knows of a server that nobody has asked. */
export const nobodyAsked = {
  answering: 0,
  acceptSent: false,
  cancelRead: false,
  tooLarge: false,
  committing: false,
  crossed: false,
  ended: "",
  offered: 0,
  lent: 0,
  passed: 0,
  stale: false,
  stopped: "",
  drained: 0
} as const

/** Collects what may happen next in a state. */
export class Steps {
  readonly state: State
  readonly machines: Machines
  readonly bounds: Bounds
  readonly all: Array<Transition<State>> = []

  constructor(state: State, given: Machines, bounds: Bounds) {
    this.state = state
    this.machines = given
    this.bounds = bounds
  }

  add(kind: Kind, label: string, change: (draft: Draft) => void): void {
    const draft: Draft = { ...this.state }
    change(draft)
    this.all.push({ label, kind, state: draft, broken: draft.broken })
  }
}

/** Messages on a wire. */
export const length = (wire: string): number => wire.length / 2

/** The oldest message of a wire. */
export const head = (wire: string): readonly [letter: Letter, request: number] => [
  wire.charAt(0) as Letter,
  Number(wire.charAt(1))
]

/** What a response holds, which is its own affair. */
interface Contents {
  readonly accept: Uint8Array | undefined
  readonly chunks: ReadonlyArray<Uint8Array>
  readonly offset: number
  readonly bytes: number
  readonly spent: ReadonlyArray<Uint8Array>
  readonly ending: { readonly _tag: string } | undefined
}

const contents = (response: Response): Contents => response as unknown as Contents

/** A response of its own, which may be changed. */
export const copy = (response: Response): Response =>
  Object.assign(Object.create(Object.getPrototypeOf(response)), response, {
    chunks: [...contents(response).chunks]
  })

const flag = (value: boolean): string => (value ? "1" : "0")

const showServer = (server: ServerMachine.State): string => {
  switch (server._tag) {
    case "Ready":
      return `Ready${server.staleCancel ? "+stale" : ""}${server.refusing ?? ""}`
    case "Committing":
      return `Committing${server.crossed ? "+crossed" : ""}${server.refusing ?? ""}`
    case "Ending":
      return `Ending${server.accepted ? "+accepted" : ""}${server.refusing ?? ""}`
    case "Stopping":
    case "Replying":
      return `${server._tag}(${server.reply.type}${"code" in server.reply ? server.reply.code : ""})${server.refusing ?? ""}`
    case "Closed":
      return "Closed"
    default:
      return `${server._tag}${server.refusing ?? ""}`
  }
}

const showClient = (client: ClientMachine.State): string =>
  client._tag === "Cancelling" ? `Cancelling${client.accepted ? "+accepted" : ""}` : client._tag

const showQuery = (query: Query): string => `${query.engine}${query.stopping ? "+interrupted" : ""}`

export const showResponse = (response: Response): string => {
  const { accept, bytes, chunks, ending, offset, spent } = contents(response)
  const sizes = chunks.map(({ length }) => length).join(",")
  return `${accept === undefined ? "" : "A"}${flag(response.isAccepted)}[${sizes}]+${offset}-${spent.length} ${bytes} B ${ending?._tag ?? ""}${flag(response.done)}`
}

/** What becomes part of keys, by numbers: short keys are found in half the time. */
class Numbers {
  private readonly known = new Map<string, number>()
  of(text: string): number {
    const number = this.known.get(text)
    if (number !== undefined) return number
    this.known.set(text, this.known.size)
    return this.known.size - 1
  }
}

const servers = new Numbers()
const responses = new Numbers()
const queries = new Numbers()
const wires = new Numbers()
const others = new Numbers()

const bit = (flag: boolean, place: number): number => (flag ? 1 << place : 0)

/** Two states with the same key have the same future. Why something was closed is of the past. */
export const key = (s: State): string =>
  String.fromCharCode(
    servers.of(showServer(s.server)),
    s.response === undefined ? 0 : responses.of(showResponse(s.response)) + 1,
    s.query === undefined ? 0 : queries.of(showQuery(s.query)) + 1,
    s.query?.left ?? 0,
    wires.of(s.toServer),
    wires.of(s.toClient),
    others.of(showClient(s.client)),
    others.of(s.write ?? ""),
    others.of(s.socket),
    others.of(s.goodbye),
    others.of(s.stopped),
    others.of(s.ended),
    bit(s.submitted, 0) |
      bit(s.lossy, 1) |
      bit(s.clientEnded, 2) |
      bit(s.inFlight, 3) |
      bit(s.accepted, 4) |
      bit(s.cancelled, 5) |
      bit(s.acceptSent, 6),
    bit(s.cancelRead, 0) |
      bit(s.tooLarge, 1) |
      bit(s.committing, 2) |
      bit(s.crossed, 3) |
      bit(s.stale, 4) |
      bit(s.beyondLimit, 5) |
      bit(s.violated, 6),
    s.requests,
    s.long,
    s.heartbeats,
    s.expiries,
    s.hostile,
    s.sent,
    s.taken,
    s.answering,
    s.drained,
    s.offered,
    s.lent,
    s.passed
  )

/** A line of a transcript. */
export const show = (s: State): string => {
  const closed = s.server._tag === "Closed" ? `(${s.server.reason}: ${s.server.detail})` : ""
  const why = s.client._tag === "Closed" ? `(${s.client.why._tag})` : ""
  const parts = [
    `server ${showServer(s.server)}${closed}`,
    s.query === undefined ? "" : `query ${showQuery(s.query)}`,
    s.response === undefined ? "" : `response ${showResponse(s.response)}`,
    s.submitted ? "submitted" : "",
    s.write === undefined ? "" : `writing ${s.write}`,
    s.socket === "open" ? "" : s.socket,
    `>[${s.toServer}] <[${s.toClient}]`,
    `client ${showClient(s.client)}${why}`
  ]
  return parts.filter((part) => part !== "").join(", ")
}
