/**
 * The choice of a process for a query: pure.
 *
 * A long-running query may have to be killed, together with everything that runs beside it. So new queries go
 * where the fewest of those run. A query that ran in a process that ended by itself may have caused the end.
 * Such a suspect is retried alone, the youngest first; once it has survived that for a while it is treated
 * like all others.
 */

/** The facts about a query that placement needs. */
export interface Query {
  /** When it began in its process, in milliseconds. */
  readonly startedAt: number
  /** Whether a process has ended by itself while the query ran. */
  readonly isSuspect: boolean
  /** Whether the query was told to stop, and has not yet. */
  readonly isStopping: boolean
  /** The place where the query found no memory, if any: it goes elsewhere if it can. */
  readonly avoids: number | undefined
}

/** A place for processes, with the queries that run in its present one. */
export interface Place {
  /** Whether its process takes queries. */
  readonly isReady: boolean
  /** Whether it will have a process soon. */
  readonly isComing: boolean
  readonly running: ReadonlySet<Query>
}

export interface Options {
  /** How many queries a process runs at a time. */
  readonly capacity: number
  /** How long a query has to run to count as a long one, in milliseconds. */
  readonly longMillis: number
  /** For how long a suspect runs alone, in milliseconds. */
  readonly quarantineMillis: number
}

/** The queries at risk in a place, most important kind first. */
const risk = (
  { running }: Place,
  now: number,
  { longMillis }: Options
): readonly [number, number, number] => {
  let stopping = 0
  let long = 0
  for (const query of running) {
    if (query.isStopping) stopping++
    else if (now - query.startedAt >= longMillis) long++
  }
  return [stopping, long, running.size]
}

const isLess = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean => {
  for (const [i, left] of a.entries()) {
    const right = b[i] ?? 0
    if (left !== right) return left < right
  }
  return false
}

const least = (
  places: ReadonlyArray<Place>,
  may: (place: Place, index: number) => boolean,
  now: number,
  options: Options,
  avoids?: number
): number | undefined => {
  let best: number | undefined
  let bestRisk: ReadonlyArray<number> = []
  for (const [index, place] of places.entries()) {
    if (!may(place, index)) continue
    const own = [index === avoids ? 1 : 0, ...risk(place, now, options)]
    if (best === undefined || isLess(own, bestRisk)) {
      best = index
      bestRisk = own
    }
  }
  return best
}

/** Whether a suspect has survived its time alone. */
const isCleared = (query: Query, now: number, { quarantineMillis }: Options): boolean =>
  query.isSuspect && now - query.startedAt >= quarantineMillis

const takesAny = ({ isReady, running }: Place, now: number, options: Options): boolean => {
  if (!isReady || running.size >= options.capacity) return false
  for (const query of running) if (query.isSuspect && !isCleared(query, now, options)) return false
  return true
}

const takesSuspects = (place: Place, now: number, options: Options): boolean => {
  if (!takesAny(place, now, options)) return false
  for (const query of place.running) if (!isCleared(query, now, options)) return false
  return true
}

/**
 * Whether a new query comes before a waiting one: a suspect before all that are not, and before suspects that
 * began no later. The suspect that began first is most likely the cause.
 */
export const precedes = (query: Query, waiting: Query): boolean =>
  query.isSuspect && (!waiting.isSuspect || query.startedAt >= waiting.startedAt)

/**
 * The place that is kept free for waiting suspects: one whose process is still to come, or the one with
 * the least at risk.
 */
export const reserved = (places: ReadonlyArray<Place>, now: number, options: Options): number | undefined => {
  const coming = places.findIndex(({ isComing }) => isComing)
  return coming >= 0 ? coming : least(places, ({ isReady }) => isReady, now, options)
}

/** The place where a query may run now, if any. `keep` is a place that is kept free. */
export const choose = (
  places: ReadonlyArray<Place>,
  { avoids, isSuspect }: Pick<Query, "isSuspect"> & Partial<Pick<Query, "avoids">>,
  now: number,
  options: Options,
  keep?: number
): number | undefined =>
  least(
    places,
    (place, index) =>
      isSuspect ? takesSuspects(place, now, options) : index !== keep && takesAny(place, now, options),
    now,
    options,
    avoids
  )
