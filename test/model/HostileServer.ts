/**
 * The client's machine before a server that keeps to nothing: it sends anything at any time.
 *
 * There is no end to what may be sent, and few states: nothing has to be counted.
 */
import * as ClientMachine from "../../src/protocol/ClientMachine.ts"
import { expected, frameEvent } from "./ClientSide.ts"
import type { Kind, System, Transition } from "./Explore.ts"
import type { Letter, Machines } from "./State.ts"

/** The machine, and what an onlooker knows of the request in flight. */
interface State {
  readonly client: ClientMachine.State
  readonly inFlight: boolean
  readonly accepted: boolean
  readonly cancelled: boolean
}

const initial: State = { client: ClientMachine.initial, inFlight: false, accepted: false, cancelled: false }

const letters: ReadonlyArray<Letter> = ["R", "C", "A", "J", "I", "F", "E", "K", "H", "X"]

/** Whether the protocol lets a server send this. */
const allowed = (state: State, letter: Letter): boolean => {
  switch (letter) {
    case "H":
      return true
    case "A":
    case "J":
      return state.inFlight && !state.accepted
    case "I":
    case "F":
    case "E":
      return state.accepted
    case "K":
      return state.cancelled
    default:
      return false
  }
}

const after = (state: State, client: ClientMachine.State, letter: Letter): State => {
  if (client._tag === "Closed" || "JFEK".includes(letter)) return { ...initial, client }
  return { ...state, client, accepted: state.accepted || letter === "A" }
}

const receive = (state: State, letter: Letter, step: typeof ClientMachine.step): Transition<State> => {
  const [client, action] = step(state.client, frameEvent(letter))
  const transition = (broken: string | undefined): Transition<State> => ({
    label: `server sends ${letter}`,
    kind: "progress",
    state: after(state, client, letter),
    broken
  })
  if (state.client._tag === "Closed") {
    return transition(client._tag === "Closed" && action === "None" ? undefined : `${letter} reopens it`)
  }
  const cutOff = client._tag === "Closed" && client.why._tag === "Violation" && action === "Close"
  if (letter === "J" && !state.inFlight) {
    const goes = client._tag === "Closed" && client.why._tag === "GoingAway" && action === "Close"
    return transition(goes ? undefined : "It stays after a goodbye")
  }
  if (!allowed(state, letter)) {
    return transition(cutOff ? undefined : `A violation is not one: ${letter} in ${state.client._tag}`)
  }
  if (client._tag === "Closed") return transition(`${letter} is cut off in ${state.client._tag}`)
  const right = expected(letter, state.cancelled)
  return transition(action === right ? undefined : `The client answers ${letter} with ${action}`)
}

const wish = (
  state: State,
  tag: "Request" | "Cancel" | "Close",
  step: typeof ClientMachine.step
): Transition<State> => {
  const [client, action] = step(state.client, { _tag: tag })
  const open = state.client._tag !== "Closed"
  const right: Record<typeof tag, ClientMachine.Action> = {
    Request: open && !state.inFlight ? "SendRequest" : "None",
    Cancel: state.inFlight && !state.cancelled ? "SendCancel" : "None",
    Close: open ? "Close" : "None"
  }
  const kind: Kind = tag === "Close" ? "progress" : "choice"
  const next: State = {
    ...(client._tag === "Closed" ? initial : state),
    client,
    ...(action === "SendRequest" ? { inFlight: true } : {}),
    ...(action === "SendCancel" ? { cancelled: true } : {})
  }
  const broken = action === right[tag] ? undefined : `The client answers ${tag} with ${action}`
  return { label: `client wants: ${tag}`, kind, state: next, broken }
}

export const make = (machines: Machines): System<State> => {
  const step = machines.client
  return {
    initial: [initial],
    successors: (state) => [
      ...letters.map((letter) => receive(state, letter, step)),
      ...(["Request", "Cancel", "Close"] as const).map((tag) => wish(state, tag, step))
    ],
    key: ({ client, ...known }) =>
      `${client._tag} ${"accepted" in client && client.accepted} ${JSON.stringify(known)}`,
    show: (state) => JSON.stringify(state),
    isEnd: (state) => state.client._tag === "Closed" || !state.inFlight,
    wrongAtRest: () => undefined
  }
}
