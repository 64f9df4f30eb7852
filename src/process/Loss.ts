/**
 * The end of a process that queries ran in, and what they are told of it.
 */
import * as QueryApi from "../engine/QueryApi.ts"
import type { Exit, Why } from "./Lifecycle.ts"

export interface Loss {
  /** What the process is called. */
  readonly name: string
  /** Why it was killed; `undefined` if it ended by itself. */
  readonly why: Why | undefined
  readonly exit: Exit
  /** The memory that it last said was resident; 0 if it said nothing. */
  readonly residentBytes: number
  /** How many queries ran in it. */
  readonly queries: number
}

/** The process was lost that a query ran in. */
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

/** What became of the process, and how much memory it had. Clients are not told which one it was. */
const fate = (loss: Loss): string => {
  const memory =
    loss.residentBytes === 0 ? "" : `; it had ${Math.round(loss.residentBytes / mebibyte)} MiB of memory`
  return `${reason(loss)}${memory}`
}

/** The loss in words: who ended how. */
export const describe = (loss: Loss): string => `${loss.name} ${fate(loss)}`

/** Whether it is known which query was the reason. */
export const hasKnownCause = ({ why }: Loss): boolean =>
  why?._tag === "CancelIgnored" || why?._tag === "Closed" || why?._tag === "Exhausted"

/** Signals with which the system ends a process for its own faults. */
const faults = /^SIG(SEGV|ABRT|BUS|FPE|ILL|TRAP|SYS)$/

/** Whether the only query of a process has made it fail: nobody has killed it. */
export const isFault = ({ exit, queries, why }: Loss): boolean =>
  why === undefined && queries === 1 && (exit.signal === null || faults.test(exit.signal))

const engineLost = (message: string, retryable: boolean): QueryApi.QueryError =>
  new QueryApi.QueryError({ code: "engine_lost", message, retryable })

/** What a query is told whose process was lost. `changes`: it may have changed something. */
export const ofQuery = (loss: Loss, changes: boolean): QueryApi.QueryError =>
  engineLost(
    `The engine was lost while the query ran: it ${fate(loss)}` +
      (changes ? ". If the query was to change anything, look whether it did" : ""),
    !changes
  )

/** What a query is told whose commit had not begun: nothing of what it changed outlives its process. */
export const ofUncommitted = (loss: Loss): QueryApi.QueryError =>
  engineLost(`The engine was lost before the query committed: it ${fate(loss)}. Nothing is changed`, false)

/** Whether the only query of a thread has used up its memory: in another one it would do so again, at the same risk. */
export const hasTakenAll = ({ exit, queries }: Loss): boolean => exit.isOutOfMemory === true && queries === 1

/** What such a query is told. */
export const ofTaker = (loss: Loss): QueryApi.QueryError =>
  QueryApi.queryError(
    "out_of_memory",
    `The query has ended its engine, and is not run again: it ${fate(loss)}`
  )

/** What a query is told that was running each time that two processes ended by themselves. */
export const ofCulprit = (loss: Loss): QueryApi.QueryError =>
  engineLost(
    `The engine was lost twice while this query ran, and it is not run again: it ${fate(loss)}`,
    false
  )

/** What a query is told that has been found out before. */
export const refused: QueryApi.QueryError = engineLost(
  "This query has ended the engine twice, and is not run again",
  false
)
