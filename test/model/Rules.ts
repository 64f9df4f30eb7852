/**
 * What an onlooker holds the server to: the table of `src/protocol/PROTOCOL.md`, section 2, for each message that
 * arrives, and the order and content of those that are written.
 */
import type { ErrorCode } from "../../src/engine/QueryApi.ts"
import * as Message from "../../src/protocol/Message.ts"
import { check, type Draft, type Engine, type Letter } from "./State.ts"

/** What the table of the protocol says of a message that arrives. */
export type Verdict = "answer" | "cancel" | "ignore" | "violation"

export const verdict = (draft: Draft, letter: Letter): Verdict => {
  if (letter === "R" || letter === "L") return draft.answering === 0 ? "answer" : "violation"
  if (letter !== "C") return "violation"
  if (draft.committing) return draft.crossed ? "violation" : "ignore"
  if (draft.answering !== 0) return draft.cancelRead ? "violation" : "cancel"
  return draft.stale ? "ignore" : "violation"
}

/** What follows for an onlooker from a message that the server reads. */
export const arrived = (draft: Draft, letter: Letter, request: number): Verdict => {
  const expected = verdict(draft, letter)
  if (letter === "C" && draft.answering !== 0) {
    check(draft, draft.answering === request, "A cancel meets another request than it was sent for")
  }
  switch (expected) {
    case "answer":
      draft.answering = request
      draft.taken = request
      draft.tooLarge = letter === "L"
      draft.stale = false
      break
    case "cancel":
      draft.cancelRead = true
      break
    case "ignore":
      draft.stale = false
      draft.crossed = draft.committing
      break
    case "violation":
      draft.violated = true
  }
  return expected
}

/** Whether no query runs for the request. */
export const isRefused = (draft: Draft): boolean => draft.tooLarge || draft.beyondLimit

/** Whether a limit that is over decides how the response ends. */
export const mayBeStopped = (draft: Draft): boolean =>
  draft.answering !== 0 && !isRefused(draft) && !draft.cancelRead && !draft.committing && draft.stopped === ""

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The bodies of rejects and errors: the code of the server's own, the engine's word for its. */
export const bodies: Readonly<Record<"failed" | "rejected", Uint8Array>> = {
  failed: encoder.encode("failed"),
  rejected: encoder.encode("rejected")
}

/** `closing` stands behind the code. */
export const encode = (code: ErrorCode, closing = false): Uint8Array =>
  encoder.encode(closing ? `${code}!` : code)

const isClosing = (body: Uint8Array): boolean => body.at(-1) === 0x21

/** What a reject or an error has to say. */
const expectedBody = (draft: Draft): string => {
  if (draft.tooLarge) return "too_large"
  if (draft.beyondLimit) return "overloaded"
  if (draft.stopped === "drain") return "shutting_down"
  if (draft.stopped === "timeout") return "timeout"
  return codes[draft.ended] ?? draft.ended
}

const codes: Partial<Record<Engine | "", ErrorCode>> = { dead: "internal", unknown: "unknown_outcome" }

const terminals: Partial<Record<Letter, ReadonlyArray<Engine | "">>> = {
  F: ["complete"],
  E: ["failed", "dead", "unknown"],
  J: ["rejected", "dead"]
}

/** A message begins to be written. */
export const begin = (draft: Draft, { body, type }: Message.Message): void => {
  const letter = Message.letter(type) as Letter
  const closing = "JE".includes(letter) && isClosing(body)
  const shown = closing ? letter.toLowerCase() : letter
  if (!draft.clientEnded) draft.toClient += `${shown}${letter === "H" ? 0 : draft.answering}`
  if (closing) draft.goodbye = "said"
  if (letter === "H") return
  check(draft, draft.answering !== 0, `${letter} without a request to answer`)
  check(draft, !draft.violated, `${letter} in answer to a violation`)
  check(draft, !draft.cancelRead || letter === "K", `${letter} after C`)
  check(draft, !draft.committing || "FE".includes(letter), `${letter} of a query that commits`)
  check(draft, draft.stopped === "" || "JEK".includes(letter), `${letter} of a query that was stopped`)
  if (letter === "A") {
    check(draft, !draft.acceptSent, "A twice")
    draft.acceptSent = true
    return
  }
  if ("IFE".includes(letter)) check(draft, draft.acceptSent, `${letter} before A`)
  if (letter === "J") check(draft, !draft.acceptSent, "J after A")
  if (letter === "I" || letter === "F") pass(draft, body)
  if (letter !== "I") end(draft, letter, body)
}

/** The query commits: its client has all that comes before the end, and wants nothing else. */
export const commits = (draft: Draft): void => {
  check(
    draft,
    draft.acceptSent && draft.passed === bytesOf(draft.offered),
    "It commits before the end of the result"
  )
  check(draft, draft.write !== "part", "It commits before the socket has the result")
  check(
    draft,
    !draft.cancelRead && draft.stopped === "" && !draft.violated,
    "It commits although it was stopped"
  )
  draft.committing = true
}

/** The bytes of a result come in their order. */
const pass = (draft: Draft, body: Uint8Array): void => {
  check(
    draft,
    body.every((byte, at) => byte === draft.passed + at),
    "Bytes of a result are lost or change places"
  )
  draft.passed += body.length
}

/** How many bytes so many chunks of the engine have. */
export const bytesOf = (chunks: number): number => (chunks * (chunks + 3)) / 2

const end = (draft: Draft, letter: Letter, body: Uint8Array): void => {
  check(draft, draft.query === undefined, `${letter} before the query has ended`)
  if (letter === "K") check(draft, draft.cancelRead, "K without C")
  else if (letter !== "F")
    check(
      draft,
      decoder.decode(body).replace("!", "") === expectedBody(draft),
      `${letter} says something else`
    )
  if (draft.stopped === "" && !isRefused(draft) && letter !== "K") {
    check(
      draft,
      terminals[letter]?.includes(draft.ended) === true,
      `${letter} although the query is ${draft.ended}`
    )
    check(draft, draft.passed === bytesOf(draft.offered), `${letter} before the end of the result`)
  }
  draft.answering = 0
  draft.acceptSent = false
  draft.cancelRead = false
  draft.tooLarge = false
  draft.committing = false
  draft.ended = ""
  draft.passed = 0
  draft.offered = 0
  draft.stale = letter !== "K" && !draft.crossed
  draft.crossed = false
  draft.stopped = ""
}
