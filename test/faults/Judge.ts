/**
 * Whether a conversation over a failing socket has ended as it must, with nothing left behind.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type { ClientError } from "../../src/client/ClientError.ts"
import type { QueryFailed, QueryRejected } from "../../src/engine/QueryEngine.ts"
import type { ConnectionEvent } from "../../src/server/ConnectionEvents.ts"
import type * as FaultySocket from "../../src/testing/FaultySocket.ts"
import type { Conversation } from "./Conversations.ts"
import type { Living } from "./Living.ts"

/** Whose socket fails. */
export type Side = "server" | "client"

/** What happens to the connection as a whole while the conversation goes on; `stop` interrupts its end. */
export interface Break {
  readonly atMillis: number
  readonly how: "reset" | "halfClose" | "block" | "blockReads" | "stop"
}

/** What is left of a conversation. An exit is missing where the end hangs. */
export interface Played {
  readonly conversation: Conversation
  readonly side: Side
  readonly broken: Break | undefined
  /** The operation that failed, if the plan got to it. */
  readonly failed: FaultySocket.Operation | undefined
  readonly client: Exit.Exit<string, ClientError | QueryRejected | QueryFailed> | undefined
  readonly server: Exit.Exit<unknown> | undefined
  /** The log of the engine. */
  readonly queries: ReadonlyArray<string>
  /** Whether another query could run, where one may at a time. */
  readonly placeIsFree: boolean
  /** What is left in the account of the memory of requests. */
  readonly heldBytes: number
  readonly events: ReadonlyArray<ConnectionEvent["_tag"]>
  /** Why the connection says that it ended. */
  readonly detail: string
  readonly living: Living
}

const decoder = new TextDecoder()

/** What a payload says: its code, if it is one of the server's own. */
const said = (payload: Uint8Array): string => {
  const text = decoder.decode(payload)
  return text.startsWith("{") ? JSON.parse(text).code : text
}

/** A failure of the client's side: one of its typed errors, or the whole cause of what must not be. */
const failure = (cause: Cause.Cause<ClientError | QueryRejected | QueryFailed>): string => {
  const error = Cause.findErrorOption(cause)
  if (error._tag === "None" || cause.reasons.length > 1) return Cause.pretty(cause)
  const { value } = error
  return value._tag === "ClientError"
    ? `${value._tag} ${value.reason._tag}`
    : `${value._tag} ${said(value.payload)}`
}

const terminal = new Set<ConnectionEvent["_tag"]>(["Completed", "Cancelled", "Failed", "Rejected", "Aborted"])

export interface Verdict {
  /** What the client's side came to. */
  readonly outcome: string
  /** What is wrong; nothing, if all is well. */
  readonly problems: ReadonlyArray<string>
}

/** Lists what is wrong. */
export const judge = (played: Played): Verdict => {
  const { broken, client, detail, events, failed, living, queries, server, side } = played
  const outcome =
    client === undefined ? "hangs" : Exit.isSuccess(client) ? client.value : failure(client.cause)
  const problems: Array<string> = []
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem)
  }
  const count = (holds: (tag: ConnectionEvent["_tag"]) => boolean) => events.filter(holds).length
  const began = queries.filter((line) => line !== "ended").length

  expect(client !== undefined, "the client hangs")
  expect(server !== undefined, "the connection hangs")
  const stopped = (of: Side) => side === of && broken?.how === "stop"
  expect(stopped("server") || server === undefined || Exit.isSuccess(server), "the connection failed")
  expect(queries.length === 2 * began, `queries: ${queries.join(", ")}`)
  expect(
    outcome === played.conversation.outcome ||
      stopped("client") ||
      ((failed ?? broken) !== undefined && /^ClientError \w+$/.test(outcome)) ||
      // The server never read a request: its goodbye answers it.
      (broken !== undefined &&
        began < (played.conversation.requests ?? 1) &&
        outcome === "QueryRejected shutting_down"),
    `the client's end: ${outcome}`
  )
  // Only an end that never opened its socket, or whose operations hang, cannot tell the other in time.
  expect(
    failed === "open" || broken?.how.startsWith("block") || !outcome.endsWith("ServerSilent"),
    "the client was not told"
  )
  // A close of the server's own that has begun by then is a reason too.
  expect(
    side === "client" ||
      failed === undefined ||
      failed === "close" ||
      detail === played.conversation.closing ||
      detail.startsWith(`${failed} failed`),
    `the connection says that it ended for another reason: ${detail}`
  )
  expect(count((tag) => tag === "Opened") === 1 && events[0] === "Opened", "not one Opened, first")
  expect(count((tag) => tag === "Closed") === 1 && events.at(-1) === "Closed", "not one Closed, last")
  expect(
    count((tag) => tag === "Request") === count((tag) => terminal.has(tag)),
    "not one end of each request"
  )
  expect(living.fibers === 0, `${living.fibers} fibers are left`)
  expect(living.sleeps === 0, `${living.sleeps} sleeps are left`)
  expect(living.halves === 0, `${living.halves} halves of sockets are left open`)
  expect(played.placeIsFree, "a query has kept its place")
  expect(played.heldBytes === 0, `requests hold ${played.heldBytes} bytes`)

  return { outcome, problems }
}
