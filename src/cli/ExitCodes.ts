/**
 * The exit codes of the commands, by outcome. README.md and src/cli/README.md have the same table.
 */
import type { ClientError } from "../client/ClientError.ts"
import type { QueryError } from "../engine/QueryApi.ts"

/** The codes by their outcome. */
export const exitCodes = {
  done: 0,
  /** A query was rejected or failed, its result could not be written, or the command was not called as it should be. */
  failed: 1,
  /** Nothing was sent: there was no connection. */
  noConnection: 2,
  /** The connection was lost, or the other end does not speak the protocol. */
  lost: 3,
  /** `EX_TEMPFAIL` of sysexits.h: the server is overloaded or stopping. */
  tryAgain: 75,
  /** As of timeout(1). */
  timedOut: 124,
  /** 128 and the number of the signal, as shells have it. */
  interrupted: 130,
  terminated: 143
} as const

/** The code for a query that was rejected or failed. */
export const ofQueryError = (error: QueryError): number => {
  switch (error.code) {
    case "timeout":
      return exitCodes.timedOut
    case "overloaded":
    case "shutting_down":
      return exitCodes.tryAgain
    default:
      return exitCodes.failed
  }
}

/** The code for a connection that was not there, or not to the end. */
export const ofClientError = ({ reason }: ClientError): number => {
  switch (reason._tag) {
    case "ConnectFailed":
    case "ConnectionClosed":
      return exitCodes.noConnection
    case "TooManyRequests":
      return exitCodes.tryAgain
    default:
      return exitCodes.lost
  }
}

/** The code of a command that a signal ended; SIGINT if it is not known which. */
export const ofSignal = (signal: NodeJS.Signals | undefined): number =>
  signal === "SIGTERM" ? exitCodes.terminated : exitCodes.interrupted
