/**
 * How many files and sockets the system lets this process have open.
 *
 * Beyond that number the runtime accepts a connection only to close it, and tells nobody: the one moment to
 * say something is the start.
 */
import * as NodeFs from "node:fs/promises"
import * as Effect from "effect/Effect"

/** What else a server has open: its engine's files, its listeners, its log. */
const reserve = 64

/** The limit in the text of `/proc/self/limits`. */
export const parse = (limits: string): number | undefined => {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? undefined : Number(soft)
}

/** Warns if `maxConnections` are more than this process may have open, where the system says how many. */
export const check = (maxConnections: number): Effect.Effect<void> =>
  Effect.promise(() => NodeFs.readFile("/proc/self/limits", "utf8").catch(() => "")).pipe(
    Effect.map(parse),
    Effect.flatMap((limit) =>
      limit === undefined || limit >= maxConnections + reserve
        ? Effect.void
        : Effect.logWarning(
            `The system lets this process open ${limit} files, too few for ${maxConnections} connections ` +
              "(maxConnections): those beyond will be closed unheard. Raise the limit (ulimit -n)"
          )
    )
  )
