/**
 * The number of files and sockets that the system lets this process open.
 *
 * Beyond that number the runtime accepts connections only to close them, without any report: the start is the
 * only moment to warn.
 */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"

/**
 * Other open files of a server: its engine's files, its listeners, its log, and connections that are refused.
 */
export const others = 128

/** Parses the limit from the text of `/proc/self/limits`. */
export const parse = (limits: string): number | undefined => {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? undefined : Number(soft)
}

/** The limit of this process, where the system provides it. Node has raised it to the hard limit. */
export const read = (): number | undefined => {
  try {
    return parse(readFileSync("/proc/self/limits", "utf8"))
  } catch {
    return undefined
  }
}

/** The number of connections without a place that may linger at a time; others are closed at once. */
export const dismissals = (maxConnections: number): number =>
  Math.min(1024, Math.max(16, Math.ceil(maxConnections / 4)))

/**
 * The number of sockets that may be open at a time: admitted connections, and those that linger without a
 * place.
 */
export const ofConnections = (maxConnections: number): number => maxConnections + dismissals(maxConnections)

/**
 * Warns if `maxConnections` exceeds the files that this process may open, where the system provides the
 * limit.
 */
export const check = (maxConnections: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const limit = read()
    return limit === undefined || limit >= others + ofConnections(maxConnections)
      ? Effect.void
      : Effect.logWarning(
          `The system lets this process open ${limit} files, too few for ${maxConnections} connections ` +
            "(maxConnections): those beyond will be closed unheard. Raise the limit (ulimit -n)"
        )
  })
