/**
 * The exit codes of the commands, by outcome. README.md and src/cli/README.md have the same table.
 */
import type { ClientError } from "../client/ClientError.ts"
import type { QueryError } from "../engine/QueryApi.ts"

/** The codes by their outcome, with the condition of each. */
const outcomes = {
  done: [0, "Done: every result is whole, and the server that was pinged answers."],
  failed: [
    1,
    "A query was rejected or failed, its result could not be written, or the command was not called as it should be."
  ],
  noConnection: [2, "There was no connection. Nothing was sent."],
  lost: [3, "The connection was lost, or what listens there is no DataConn server."],
  differs: [4, "A recording was played again, and the answers differ."],
  // EX_TEMPFAIL of sysexits.h.
  tryAgain: [75, "Try again: the server is overloaded or stopping."],
  // As of timeout(1).
  timedOut: [
    124,
    "It took too long: `--timeout` or `--request-timeout` was over, or the server ended it as `timeout`."
  ],
  // 128 plus the number of the signal, as in shells.
  hungUp: [129, "Its terminal was closed: SIGHUP."],
  interrupted: [130, "It was interrupted: Ctrl-C, or SIGINT."],
  quit: [131, "It was ended by SIGQUIT."],
  unread: [141, "Nobody reads its output any more, as by `head`; other programs are ended by SIGPIPE then."],
  terminated: [143, "It was terminated: SIGTERM."]
} as const

/** The codes by their outcome. */
export const exitCodes = Object.fromEntries(
  Object.entries(outcomes).map(([outcome, [code]]) => [outcome, code])
) as { readonly [K in keyof typeof outcomes]: (typeof outcomes)[K][0] }

/** The table of the documentation. */
export const table: ReadonlyArray<string> = [
  "| exit code | when |",
  "|---|---|",
  ...Object.values(outcomes).map(([code, when]) => `| ${code} | ${when} |`)
]

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

/** The code for a connection that failed or was lost. */
export const ofClientError = ({ reason }: ClientError): number => {
  switch (reason._tag) {
    case "ConnectFailed":
    case "ConnectionClosed":
      return exitCodes.noConnection
    case "TooManyRequests":
    case "QueueTimeout":
      return exitCodes.tryAgain
    case "RequestTimeout":
      return exitCodes.timedOut
    default:
      return exitCodes.lost
  }
}

const signals: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: exitCodes.hungUp,
  SIGINT: exitCodes.interrupted,
  SIGQUIT: exitCodes.quit,
  SIGTERM: exitCodes.terminated
}

/** The codes of commands that a signal ended. */
export const ofSignals: ReadonlyArray<number> = Object.values(signals)

/** The code of a command that a signal ended; SIGINT if the signal is unknown. */
export const ofSignal = (signal: NodeJS.Signals | undefined): number =>
  signals[signal ?? "SIGINT"] ?? exitCodes.interrupted
