/**
 * The client's machine and what `ClientConnection` does around it, with the rules that an onlooker holds it to;
 * and, in its place, a client without manners.
 */
import type * as ClientMachine from "../../src/protocol/ClientMachine.ts"
import * as Message from "../../src/protocol/Message.ts"
import { broken, check, type Draft, head, type Letter, length, type Steps, upper } from "./State.ts"

type Step = typeof ClientMachine.step

const types: Readonly<Record<Exclude<Letter, "X" | "L" | "j" | "e">, Message.Type>> = {
  R: Message.Type.Request,
  C: Message.Type.Cancel,
  A: Message.Type.Accept,
  J: Message.Type.Reject,
  I: Message.Type.Intermediate,
  F: Message.Type.Final,
  E: Message.Type.Error,
  K: Message.Type.CancelAcknowledged,
  H: Message.Type.Heartbeat
}

/** What the client's machine makes of a letter from the server. */
export const frameEvent = (letter: Letter): ClientMachine.Event =>
  letter === "X" || letter === "L"
    ? { _tag: "Malformed", detail: "no message" }
    : { _tag: "Received", type: types[upper(letter) as keyof typeof types] }

/** What the consumer of a response gets to hear of a message that its client wants. */
const heard: Partial<Record<Letter, ClientMachine.Action>> = {
  A: "Accept",
  I: "Chunk",
  J: "Reject",
  F: "Finish",
  E: "Fail"
}

const isTerminal = (letter: Letter): boolean => "JFEK".includes(letter)

/** What has to be done about a message that the protocol allows. */
export const expected = (letter: Letter, cancelled: boolean): ClientMachine.Action => {
  if (letter === "H") return "None"
  if (cancelled) return isTerminal(letter) ? "EndCancelled" : "None"
  return heard[letter] ?? "None"
}

const dispatch = (draft: Draft, step: Step, event: ClientMachine.Event): ClientMachine.Action => {
  const [state, action] = step(draft.client, event)
  const open = draft.client._tag !== "Closed"
  draft.client = state
  check(draft, (action === "Close") === (open && state._tag === "Closed"), "Closed and the action disagree")
  if (action === "Close") {
    end(draft)
  }
  return action
}

/** Nobody asks for the rest any more: what differs in it only is the same from here on. */
const end = (draft: Draft): void => {
  draft.clientEnded = true
  draft.toClient = ""
  draft.requests = 0
  draft.long = 0
  draft.hostile = 0
  draft.inFlight = false
  draft.accepted = false
  draft.cancelled = false
}

const send = (draft: Draft, letter: Letter): void => {
  // Whoever sends to a socket that is gone gets a reset, which drops what it has not read.
  if (draft.socket === "destroyed") draft.lossy = true
  else draft.toServer += `${letter}${draft.sent}`
}

/** What may happen on the client's side. */
export const add = (steps: Steps): void => {
  const { state } = steps
  if (state.clientEnded) {
    if (state.toServer !== "") {
      steps.add("choice", "the wire loses what the client sent", (draft) => {
        draft.toServer = ""
      })
    }
    return
  }
  if (length(state.toServer) < steps.bounds.toServer) addSender(steps)
  addReader(steps)
  addLimits(steps)
}

const addSender = (steps: Steps): void => {
  const { machines, state } = steps
  if (state.requests > 0 && !state.inFlight) {
    steps.add("choice", "client sends R", (draft) => {
      request(draft, machines.client, "R")
    })
    if (state.long > 0) {
      steps.add("choice", "client sends a long R", (draft) => {
        draft.long--
        request(draft, machines.client, "L")
      })
    }
  }
  if (state.inFlight) {
    steps.add("choice", "client wants to send another R", (draft) => {
      const action = dispatch(draft, machines.client, { _tag: "Request" })
      check(draft, action === "None", "R while another is in flight")
    })
  }
  steps.add("choice", "client sends C", (draft) => {
    const action = dispatch(draft, machines.client, { _tag: "Cancel" })
    const wanted = state.inFlight && !state.cancelled
    check(draft, action === (wanted ? "SendCancel" : "None"), "A request in flight is cancelled, once")
    if (action !== "SendCancel") return
    draft.cancelled = true
    send(draft, "C")
  })
}

const request = (draft: Draft, step: Step, letter: "R" | "L"): void => {
  const action = dispatch(draft, step, { _tag: "Request" })
  check(draft, action === "SendRequest", "A request has its turn, and it is not sent")
  draft.requests--
  draft.sent++
  draft.inFlight = true
  send(draft, letter)
}

const addReader = (steps: Steps): void => {
  const { machines, state } = steps
  const ends = (kind: "choice" | "progress", label: string, event: ClientMachine.Event) =>
    steps.add(kind, label, (draft) => {
      dispatch(draft, machines.client, event)
      check(draft, draft.client._tag === "Closed", `It goes on after ${event._tag}`)
    })
  if (state.toClient !== "") {
    steps.add("progress", `client reads ${state.toClient.slice(0, 2)}`, (draft) =>
      read(draft, machines.client)
    )
    if (state.lossy) {
      steps.add("choice", "the wire loses what the server sent", (draft) => {
        draft.toClient = ""
      })
    }
  } else if (state.socket === "lingering" || state.socket === "destroyed") {
    steps.add("progress", "client reads the end", (draft) => {
      const isLost = draft.inFlight && !draft.lossy
      dispatch(draft, machines.client, { _tag: "ServerClosed" })
      check(draft, draft.client._tag === "Closed", "It goes on after ServerClosed")
      check(draft, !isLost, "A request is lost when the server closes in peace")
    })
  }
  ends("choice", "client's read fails", { _tag: "ReadFailed", detail: "reset" })
  ends("choice", "client's write fails", { _tag: "WriteFailed", detail: "pipe" })
  ends("choice", "client closes", { _tag: "Close" })
}

const read = (draft: Draft, step: Step): void => {
  const [shown, request] = head(draft.toClient)
  const letter = upper(shown)
  draft.toClient = draft.toClient.slice(2)
  if (shown === "j" && request === 0 && !draft.inFlight) {
    dispatch(draft, step, frameEvent(letter))
    check(
      draft,
      draft.client._tag === "Closed" && draft.client.why._tag === "GoingAway",
      "It stays after a goodbye"
    )
    return
  }
  const action = dispatch(draft, step, frameEvent(letter))
  const { client } = draft
  if (client._tag === "Closed") {
    broken(draft, `The client cuts off its server for ${letter}`)
    return
  }
  check(draft, action === expected(letter, draft.cancelled), `The client answers ${letter} with ${action}`)
  if (letter === "H") return
  if (request === 0) check(draft, draft.taken < draft.sent, "A goodbye answers a request that was begun")
  else check(draft, draft.inFlight && request === draft.sent, `${letter} belongs to another request`)
  if (letter === "A") draft.accepted = true
  if (!isTerminal(letter)) return
  draft.inFlight = false
  draft.accepted = false
  draft.cancelled = false
  if (shown === letter) return
  dispatch(draft, step, { _tag: "GoingAway", payload: noBody })
  check(draft, draft.client._tag === "Closed", "It stays although the server has said that it closes")
}

const noBody = new Uint8Array(0)

const addLimits = (steps: Steps): void => {
  const { machines, state } = steps
  const told = (label: string, event: ClientMachine.Event, closes: boolean) =>
    steps.add("choice", label, (draft) => {
      dispatch(draft, machines.client, event)
      check(draft, (draft.client._tag === "Closed") === closes, `${event._tag} is for those who wait`)
    })
  told("server is silent", { _tag: "Silence" }, !(state.inFlight && state.cancelled))
  told("cancel takes too long", { _tag: "CancelExpired" }, state.inFlight)
}

/** What may happen where the client keeps to nothing: it sends anything at any time. */
export const addHostile = (steps: Steps): void => {
  const { state } = steps
  if (state.clientEnded) return
  steps.add("choice", "client closes", (draft) => {
    end(draft)
  })
  if (state.toClient !== "") {
    steps.add("progress", "client reads", (draft) => {
      draft.toClient = draft.toClient.slice(2)
    })
  } else if (state.socket === "lingering" || state.socket === "destroyed") {
    steps.add("progress", "client reads the end", (draft) => {
      end(draft)
    })
  }
  if (state.socket !== "open" || state.hostile === 0 || length(state.toServer) >= steps.bounds.toServer)
    return
  for (const letter of steps.bounds.alphabet as Iterable<Letter>) {
    steps.add("choice", `client sends ${letter}`, (draft) => {
      draft.hostile--
      // Its requests are not told apart.
      draft.sent = 1
      send(draft, letter)
    })
  }
}
