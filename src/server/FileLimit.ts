/**
 * How many files and sockets the system lets this process have open.
 *
 * Beyond that number the runtime accepts a connection only to close it, and tells nobody: the one moment to
 * say something is the start.
 */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"

/** What else a server has open: its engine's files, its listeners, its log, and connections that are refused. */
export const others = 128

/** The limit in the text of `/proc/self/limits`. */
export const parse = (limits: string): number | undefined => {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? undefined : Number(soft)
}

/** The limit of this process, where the system says. Node has raised it to the hard one. */
export const read = (): number | undefined => {
  try {
    return parse(readFileSync("/proc/self/limits", "utf8"))
  } catch {
    return undefined
  }
}

/** How many connections that were not let in may linger at a time; others are closed at once. */
export const dismissals = (maxConnections: number): number =>
  Math.min(1024, Math.max(16, Math.ceil(maxConnections / 4)))

/** How many are open at a time of as many connections as are let in, and of those that come besides. */
export const ofConnections = (maxConnections: number): number => maxConnections + dismissals(maxConnections)

/** Warns if `maxConnections` are more than this process may have open, where the system says how many. */
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
