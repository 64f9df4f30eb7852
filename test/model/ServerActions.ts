/**
 * The actions of the server's machine, as `Connection` performs them, and the messages that it writes, with the
 * rules that an onlooker holds both to.
 */
import type * as Control from "../../src/protocol/ServerMachine.ts"
import { check, type Draft, type Letter, type Query } from "./State.ts"

export type Step = typeof Control.step

/** Steps the machine, and performs its action in the same moment (but see `stopsLate`). */
export const dispatch = (draft: Draft, step: Step, event: Control.Event): Control.Action => {
  const [state, action] = step(draft.server, event)
  draft.server = state
  switch (action._tag) {
    case "None":
      break
    case "StartQuery":
      startQuery(draft)
      break
    case "StopQuery":
      check(draft, draft.query?.stopping === false, "It stops a query that does not run")
      if (draft.stopsLate) draft.stopDue = true
      else interrupt(draft)
      break
    case "Respond":
      check(draft, draft.query === undefined, "It answers before the query has ended")
      check(draft, !draft.answerWaits, "It answers twice")
      draft.answerWaits = true
      break
    case "Close":
      close(draft, action.how)
  }
  check(draft, (state._tag === "Closed") === (draft.socket !== "open"), "Closed and the socket disagree")
  return action
}

/** Interrupts whatever query there is by now. */
export const interrupt = (draft: Draft): void => {
  draft.stopDue = false
  if (draft.query !== undefined) draft.query = { ...draft.query, stopping: true }
}

const startQuery = (draft: Draft): void => {
  check(draft, draft.query === undefined, "It runs two queries")
  check(draft, draft.drained === 0, "It runs a query after it was told to stop")
  check(draft, !draft.beyondLimit, "It runs a query on a connection beyond the limit")
  draft.query = {
    waiting: draft.write === "terminal" || draft.write === "answer",
    engine: "deciding",
    accept: false,
    chunks: 0,
    left: 0,
    stopping: false
  }
}

const close = (draft: Draft, how: "flush" | "abort"): void => {
  check(draft, draft.server._tag === "Closed", "It closes and goes on")
  if (how === "abort") {
    destroy(draft)
    return
  }
  check(draft, draft.query === undefined && !draft.answerWaits, "It leaves a query running")
  draft.socket = "flushing"
}

/** The socket goes, and with it the scope that owns the query. */
export const destroy = (draft: Draft): void => {
  // What the kernel has for the peer is lost with a reset: after unread data, or if it was not all taken.
  draft.lossy = draft.socket !== "flushing" || draft.toServer !== ""
  draft.socket = "destroyed"
  draft.toServer = ""
  draft.write = undefined
  draft.answerWaits = false
  draft.stopDue = false
  if (draft.query !== undefined) draft.query = abandoned
  // Nobody asks for the rest any more: what differs in it only is the same from here on.
  draft.heartbeats = 0
  draft.expiries = 0
  draft.answering = 0
  draft.acceptSent = false
  draft.cancelRead = false
  draft.stale = false
  draft.stopped = ""
  draft.drained = 0
}

const abandoned: Query = {
  waiting: false,
  engine: "deciding",
  accept: false,
  chunks: 0,
  left: 0,
  stopping: true
}

/** A frame begins to be written. */
export const begin = (draft: Draft, letter: Letter): void => {
  if (!draft.clientEnded) draft.toClient += `${letter}${letter === "H" ? 0 : draft.answering}`
  if (letter === "H") return
  check(draft, draft.answering !== 0, `${letter} without a request to answer`)
  check(draft, !draft.violated, `${letter} in answer to a violation`)
  if (letter === "A") {
    check(draft, !draft.acceptSent, "A twice")
    draft.acceptSent = true
    return
  }
  const afterAccept = letter === "I" || letter === "F" || letter === "E"
  if (afterAccept) check(draft, draft.acceptSent, `${letter} before A`)
  if (letter === "J") check(draft, !draft.acceptSent, "J after A")
  if (letter === "I") return
  check(draft, draft.cancelRead === (letter === "K"), draft.cancelRead ? `${letter} after C` : "K without C")
  draft.answering = 0
  draft.acceptSent = false
  draft.cancelRead = false
  draft.stale = letter !== "K"
  draft.stopped = ""
}

/** What happens in the turn in which the message that ends the response is handed to the socket. */
export const terminalBegun = (draft: Draft, step: Step): void => {
  dispatch(draft, step, { _tag: "TerminalBegun" })
  const last = draft.drained > 0 || draft.beyondLimit
  if (last) check(draft, draft.socket === "flushing", "It goes on after its last response")
  else check(draft, draft.socket === "open", "It closes after a response")
}
