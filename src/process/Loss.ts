/**
 * The end of a process that queries ran in, and the errors of those queries.
 */
import * as QueryApi from "../engine/QueryApi.ts"
import type { Exit, Why } from "./Lifecycle.ts"

export interface Loss {
  /** The name of the process. */
  readonly name: string
  /** The reason why it was killed; `undefined` if it ended by itself. */
  readonly why: Why | undefined
  readonly exit: Exit
  /** The resident memory that it last reported; 0 if it reported none. */
  readonly residentBytes: number
  /** How many queries ran in it. */
  readonly queries: number
}

/** The process that a query ran in was lost. */
export class Lost {
  readonly _tag = "Lost"
  readonly loss: Loss
  /** Whether the request had been sent. */
  readonly wasSent: boolean

  constructor(loss: Loss, wasSent: boolean) {
    this.loss = loss
    this.wasSent = wasSent
  }
}

const how = ({ code, signal }: Exit): string => (signal === null ? `exit code ${code}` : `signal ${signal}`)

const reason = ({ exit, why }: Loss): string => {
  const killed = exit.isStuck === true ? "was to end and still runs" : "was killed"
  switch (why?._tag) {
    case "CancelIgnored":
      return `${killed}: a query that was to stop did not within cancelGrace`
    case "Silent":
      return `${killed}: it gave no sign of life (engineSilence), as when it computes, collects garbage or takes much memory`
    case "StartExpired":
      return `${killed}: it was not ready in time (engineStartTimeout)`
    case "Exhausted":
      return "was ended: it had used up engineMemory with memory that it had freed"
    case "Failed":
      return `failed: ${why.message}`
    case "Closed":
      return "was ended"
    default:
      if (exit.isOutOfMemory === true) return "ended: its objects needed more memory than threadMemory allows"
      return `ended by itself, with ${how(exit)}`
  }
}

const mebibyte = 1024 ** 2

/** How the process ended, and how much memory it had. Clients do not see which process it was. */
const fate = (loss: Loss): string => {
  const memory =
    loss.residentBytes === 0 ? "" : `; it had ${Math.round(loss.residentBytes / mebibyte)} MiB of memory`
  return `${reason(loss)}${memory}`
}

/** Whether a query has found no memory because others hold it. */
export const isStarved = ({ code, retryable }: QueryApi.QueryError): boolean =>
  code === "out_of_memory" && retryable

/** Whether the engine in the process has failed by the fault of another query. */
export const isByAnother = ({ code, retryable }: QueryApi.QueryError): boolean =>
  code === "engine_lost" && retryable

/** The loss in words: which process ended, and how. */
export const describe = (loss: Loss): string => `${loss.name} ${fate(loss)}`

/** Whether the query that caused the loss is known. */
export const hasKnownCause = ({ why }: Loss): boolean =>
  why?._tag === "CancelIgnored" || why?._tag === "Closed" || why?._tag === "Exhausted"

/** Signals by which the system ends a process for its own faults. */
const faults = /^SIG(SEGV|ABRT|BUS|FPE|ILL|TRAP|SYS)$/

/** Whether the only query of a process has made it fail: it was not killed. */
export const isFault = ({ exit, queries, why }: Loss): boolean =>
  why === undefined && queries === 1 && (exit.signal === null || faults.test(exit.signal))

/**
 * Whether the process ended by its only query, as far as can be known. One that others have killed (SIGKILL, of
 * the system too) did not.
 */
const isByQuery = (loss: Loss): boolean =>
  isFault(loss) || (loss.why !== undefined && loss.queries === 1 && !hasKnownCause(loss))

const engineLost = (message: string, retryable: boolean): QueryApi.QueryError =>
  new QueryApi.QueryError({ code: "engine_lost", message, retryable })

/** The error of a query whose process was lost. `changes`: it may have changed something if it was sent. */
export const ofQuery = ({ loss, wasSent }: Lost, changes: boolean): QueryApi.QueryError => {
  const hasChanged = wasSent && changes
  const isCause = wasSent && isByQuery(loss)
  return engineLost(
    `The engine was lost while ${isCause ? "only this" : "the"} query ran: it ${fate(loss)}` +
      (hasChanged ? ". If the query was to change anything, look whether it did" : ""),
    !hasChanged && !isCause
  )
}

/** The error of a query whose commit had not begun: its changes are lost with its process. */
export const ofUncommitted = (loss: Loss): QueryApi.QueryError =>
  engineLost(
    `The engine was lost before the query committed: it ${fate(loss)}. Nothing is changed`,
    !isByQuery(loss)
  )

/** Whether the only query of a thread has used up its memory: another thread would run the same risk. */
export const hasTakenAll = ({ exit, queries }: Loss): boolean => exit.isOutOfMemory === true && queries === 1

/** The error of such a query. */
export const ofTaker = (loss: Loss): QueryApi.QueryError =>
  QueryApi.queryError(
    "out_of_memory",
    `The query has ended its engine, and is not run again: it ${fate(loss)}`
  )

/** The error of a query that was running in two processes when they ended by themselves. */
export const ofCulprit = (loss: Loss): QueryApi.QueryError =>
  engineLost(
    `The engine was lost twice while this query ran, and it is not run again: it ${fate(loss)}`,
    false
  )

/** The error of a query that is known to have done so. */
export const refused: QueryApi.QueryError = engineLost(
  "This query has ended the engine twice, and is not run again",
  false
)

/** The error of a query that its process does not answer in time. */
export const timedOut: QueryApi.QueryError = QueryApi.queryError(
  "timeout",
  "The query was not accepted within its timeoutMs: it waited, or was being prepared, for longer"
)

/** The error of a query whose process was lost during its commit. */
export const unknownOutcome: QueryApi.QueryError = QueryApi.queryError(
  "unknown_outcome",
  "The engine was lost while it committed: the changes may be there or not"
)
