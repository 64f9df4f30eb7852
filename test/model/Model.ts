/**
 * A server and its client, put together: what may happen in each state, and where they may come to rest.
 */
import * as ClientSide from "./ClientSide.ts"
import type { System } from "./Explore.ts"
import * as ServerSide from "./ServerSide.ts"
import { type Bounds, initial, key, type Machines, type State, Steps, show } from "./State.ts"

export interface Options {
  readonly machines: Machines
  readonly bounds: Bounds
  readonly client: "conforming" | "hostile"
}

/** The system of a connection within the server's limit, and of one beyond it. */
export const make = (options: Options): System<State> => {
  const { bounds, client, machines } = options
  const addClient = client === "conforming" ? ClientSide.add : ClientSide.addHostile
  return {
    initial: [false, true].map((beyondLimit) => initial(bounds, beyondLimit)),
    successors: (state) => {
      const steps = new Steps(state, machines, bounds)
      addClient(steps)
      ServerSide.add(steps)
      return steps.all
    },
    key,
    show,
    isEnd: (state) => isOver(state) || isIdle(state),
    wrongAtRest: (state) => {
      if (isOver(state) || isIdle(state) || isWaiting(state, options)) return undefined
      return state.drained > 0 ? "It does not end after it was told to stop" : "Nothing happens any more"
    }
  }
}

/** Both ends are closed, and nothing is left behind. */
const isOver = (state: State): boolean =>
  state.clientEnded && state.socket === "destroyed" && state.query === undefined

const isQuiet = (state: State): boolean =>
  state.toServer === "" &&
  state.toClient === "" &&
  state.write === undefined &&
  !state.submitted &&
  state.socket === "open" &&
  !state.clientEnded &&
  !state.violated

/** Between requests. */
const isIdle = (state: State): boolean =>
  isQuiet(state) &&
  !state.inFlight &&
  state.response === undefined &&
  state.answering === 0 &&
  state.drained === 0 &&
  !(state.beyondLimit && state.sent > 0)

/** The engine takes its time, and both ends know of the same request that it is being answered. */
const isWaiting = (state: State, { client, machines }: Options): boolean => {
  const { query, response } = state
  if (query === undefined || query.stopping || response === undefined || !isQuiet(state)) return false
  const silent = query.engine === "deciding" || (query.engine === "streaming" && !response.isFull)
  const nothingToWrite = !machines.hasMore(state.server, response)
  // A commit is not stopped, and a client that cancels waits for what it comes to.
  if (query.engine === "committing") return nothingToWrite && state.answering !== 0
  const wanted = silent && nothingToWrite && !state.cancelRead && state.drained < 2
  if (client === "hostile") return wanted && state.answering !== 0
  const agreed = state.answering === state.sent && state.acceptSent === state.accepted
  return wanted && state.inFlight && !state.cancelled && agreed
}
