/**
 * One connection as data: both machines, what surrounds them, the wires between them, and what an onlooker
 * remembers in order to judge what happens.
 */
import * as ClientControl from "../../src/protocol/ClientMachine.ts"
import * as Control from "../../src/protocol/ServerMachine.ts"
import type { Kind, Transition } from "./Explore.ts"

/** The two machines, or what a mutant makes of them. */
export interface Machines {
  readonly server: typeof Control.step
  readonly client: typeof ClientControl.step
}

export const machines: Machines = { server: Control.step, client: ClientControl.step }

/** How much may happen. All that can go on for ever is counted, so that there is an end to the states. */
export interface Bounds {
  readonly requests: number
  /** Chunks that the engine has for each query. */
  readonly chunks: number
  readonly heartbeats: number
  /** How often a query may take too long. */
  readonly expiries: number
  /** Frames that the wire to the server takes; a client that has more waits. */
  readonly toServer: number
  /** Frames on the wire to the client beyond which a write has not been taken yet. */
  readonly toClient: number
  /** How many messages a client without manners sends, and which. */
  readonly hostile: number
  readonly alphabet: string
}

/** The first letter of a frame on a wire; `X` stands for bytes that are no frame. */
export type Letter = "R" | "C" | "A" | "J" | "I" | "F" | "E" | "K" | "H" | "X"

/** A query with its driver, from `StartQuery` until its last word begins to be written, or it has ended. */
export interface Query {
  /** The write that ends the response before is still under way. */
  readonly waiting: boolean
  /** What the engine has said last; `broken` is the failure to initialise. */
  readonly engine: "deciding" | "streaming" | "complete" | "failed" | "rejected" | "broken"
  /** What is in the response buffer: the accept, and chunks. */
  readonly accept: boolean
  readonly chunks: number
  /** Chunks that the engine has left. */
  readonly left: number
  /** It was interrupted, and its finalizers have not all run. */
  readonly stopping: boolean
}

export type Write = "chunks" | "terminal" | "answer" | "heartbeat"

/** A state under construction: steps change a copy of their own. */
export interface Draft {
  // The server: its machine, and what performs the actions.
  server: Control.State
  query: Query | undefined
  /** What is being written. Nothing else begins to be written before it has been taken. */
  write: Write | undefined
  /** `Respond` was performed, and its write has not begun. */
  answerWaits: boolean
  /** Whether something may come between a `StopQuery` and the interruption, and whether that is yet to come. */
  readonly stopsLate: boolean
  stopDue: boolean
  socket: "open" | "flushing" | "destroyed"

  // The wires: a letter and the number of the request it belongs to for each frame, the oldest first.
  toServer: string
  toClient: string
  /** The server's socket was dropped: what it has sent may not arrive. */
  lossy: boolean

  // The client: its machine, and whether its socket has ended.
  client: ClientControl.State
  clientEnded: boolean

  // What is left of the bounds.
  requests: number
  heartbeats: number
  expiries: number
  hostile: number

  // The onlooker's memory, by what was put on the wires and taken from them.
  /** The request that the client sent last, and whether its response has not ended, as the client sees it. */
  sent: number
  inFlight: boolean
  accepted: boolean
  cancelled: boolean
  /** The request that the server has to answer, 0 if there is none; its accept was sent, its cancel was read. */
  answering: number
  acceptSent: boolean
  cancelRead: boolean
  /** A cancel may still come that crossed the last response. */
  stale: boolean
  /** Why the query was stopped first, which decides the code of the answer. */
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

export interface Start {
  readonly beyondLimit: boolean
  readonly stopsLate: boolean
}

export const initial = (bounds: Bounds, { beyondLimit, stopsLate }: Start): State => ({
  server: beyondLimit ? Control.refusing("overloaded") : Control.initial,
  query: undefined,
  write: undefined,
  answerWaits: false,
  stopsLate,
  stopDue: false,
  socket: "open",
  toServer: "",
  toClient: "",
  lossy: false,
  client: ClientControl.initial,
  clientEnded: false,
  requests: bounds.requests,
  heartbeats: bounds.heartbeats,
  expiries: bounds.expiries,
  hostile: bounds.hostile,
  sent: 0,
  inFlight: false,
  accepted: false,
  cancelled: false,
  answering: 0,
  acceptSent: false,
  cancelRead: false,
  stale: false,
  stopped: "",
  drained: 0,
  beyondLimit,
  violated: false,
  broken: undefined
})

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

/** Frames on a wire. */
export const length = (wire: string): number => wire.length / 2

/** The oldest frame of a wire. */
export const head = (wire: string): readonly [letter: Letter, request: number] => [
  wire.charAt(0) as Letter,
  Number(wire.charAt(1))
]

const flag = (value: boolean): string => (value ? "1" : "0")

const showServer = (server: Control.State): string => {
  switch (server._tag) {
    case "Ready":
      return `Ready${server.staleCancel ? "+stale" : ""}${server.refusing ?? ""}`
    case "Stopping":
      return `Stopping(${server.answer.type}${"code" in server.answer ? server.answer.code : ""})${server.refusing ?? ""}`
    case "Closed":
      return "Closed"
    default:
      return `${server._tag}${server.refusing ?? ""}`
  }
}

const showClient = (client: ClientControl.State): string =>
  client._tag === "Cancelling" ? `Cancelling${client.accepted ? "+accepted" : ""}` : client._tag

const showQuery = (query: Query): string =>
  `${query.engine}${query.waiting ? "+waiting" : ""}${query.accept ? "+A" : ""}${"+I".repeat(query.chunks)}${query.stopping ? "+interrupted" : ""}`

/** Two states with the same key have the same future. Why something was closed is of the past. */
export const key = (s: State): string =>
  `${showServer(s.server)}|${s.query === undefined ? "" : showQuery(s.query) + s.query.left}|${s.write ?? ""}|${s.socket}|${s.toServer}|${s.toClient}|${showClient(s.client)}|${s.requests}${s.heartbeats}${s.expiries}${s.hostile}${s.sent}${s.answering}${s.drained}${s.stopped}${flag(s.answerWaits)}${flag(s.stopDue)}${flag(s.lossy)}${flag(s.clientEnded)}${flag(s.inFlight)}${flag(s.accepted)}${flag(s.cancelled)}${flag(s.acceptSent)}${flag(s.cancelRead)}${flag(s.stale)}${flag(s.beyondLimit)}${flag(s.violated)}`

/** A line of a transcript. */
export const show = (s: State): string => {
  const closed = s.server._tag === "Closed" ? `(${s.server.reason}: ${s.server.detail})` : ""
  const why = s.client._tag === "Closed" ? `(${s.client.why._tag})` : ""
  const parts = [
    `server ${showServer(s.server)}${closed}`,
    s.query === undefined ? "" : `query ${showQuery(s.query)}`,
    s.write === undefined ? "" : `writing ${s.write}`,
    s.answerWaits ? "answer waits" : "",
    s.stopDue ? "interruption due" : "",
    s.socket === "open" ? "" : s.socket,
    `>[${s.toServer}] <[${s.toClient}]`,
    `client ${showClient(s.client)}${why}`
  ]
  return parts.filter((part) => part !== "").join(", ")
}
