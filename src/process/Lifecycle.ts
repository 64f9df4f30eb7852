/**
 * The life of the successive processes of one place: a pure state machine.
 *
 * A process is started, reports that it is ready, and sends heartbeats. It ends by itself or is killed, and
 * is then replaced. The delay grows with each process that was short-lived. Times are in milliseconds.
 */

/**
 * The reason why a process is to end.
 *
 * @category models
 * @since 0.1.0
 */
export type Why =
  /**
   * The process cannot answer queries, or no longer. Its message is for the log, or for
   * clients too (`isTold`).
   */
  | { readonly _tag: "Failed"; readonly message: string; readonly isTold: boolean }
  /** The process has not become ready in time. */
  | { readonly _tag: "StartExpired" }
  /** The process has sent no heartbeat. */
  | { readonly _tag: "Silent" }
  /** The process has used up the memory that it may take, and uses little of it. */
  | { readonly _tag: "Exhausted" }
  /** A query did not stop within `cancelGrace`. */
  | { readonly _tag: "CancelIgnored" }
  /** The process closed a connection, as a process does that ends by itself. */
  | { readonly _tag: "Disconnected" }
  /** The place is closed. */
  | { readonly _tag: "Closed" }

/** The way a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  /** Whether the objects of a thread needed more memory than they may take. */
  readonly isOutOfMemory?: boolean
  /** Whether it was killed and runs on nevertheless. It is not waited for. */
  readonly isStuck?: boolean
}

interface Life {
  /** How many processes in a row before this one were short-lived. */
  readonly shortLives: number
}

export type State =
  | ({ readonly _tag: "Down" } & Life)
  | ({ readonly _tag: "Starting"; readonly ticks: number } & Life)
  /**
   * `missed` is the number of ticks without a heartbeat. `retiring` is the number of ticks since the process
   * was asked to end once it is idle.
   */
  | ({
      readonly _tag: "Ready"
      readonly since: number
      readonly missed: number
      readonly retiring: number | undefined
    } & Life)
  /** The process is to end, but has not ended yet. `since` is when it became ready, if it did. */
  | ({ readonly _tag: "Ending"; readonly since: number | undefined; readonly why: Why } & Life)
  | { readonly _tag: "Closed" }

export type Event =
  | { readonly _tag: "Start" }
  | { readonly _tag: "Ready"; readonly now: number }
  | { readonly _tag: "Beat" }
  | { readonly _tag: "Tick"; readonly isIdle: boolean }
  /** The process gets no new queries, and ends when it is idle. */
  | { readonly _tag: "Retire" }
  | { readonly _tag: "End"; readonly why: Why }
  | { readonly _tag: "Exited"; readonly now: number }
  /** The place is not needed any more. */
  | { readonly _tag: "Close" }
  /** The process has not ended although it was asked to. */
  | { readonly _tag: "CloseExpired" }

export type Action =
  | { readonly _tag: "None" }
  | { readonly _tag: "Launch" }
  | { readonly _tag: "Announce" }
  | { readonly _tag: "Kill" }
  /** Ask the process to end by itself. */
  | { readonly _tag: "Ask" }
  /** Start another process after so long. `why` is the reason why the last one was to end, if it was. */
  | { readonly _tag: "Restart"; readonly delayMillis: number; readonly why: Why | undefined }
  /** No process is left, and none follows. */
  | { readonly _tag: "Over"; readonly why: Why | undefined }

export interface Options {
  /**
   * Ticks without a heartbeat after which a process is silent: it gets no new queries until
   * the next heartbeat.
   */
  readonly silentTicks: number
  /** Ticks without a heartbeat after which a process is killed. */
  readonly maxMissed: number
  /** Ticks that a process may take to become ready. */
  readonly maxStartTicks: number
  /** Ticks after which a retiring process ends even if queries still run in it. */
  readonly maxRetireTicks: number
  /** A process that has been ready for less than this was short-lived. */
  readonly shortLifeMillis: number
  /**
   * The delay before the second short-lived process in a row is replaced. It doubles with each further one,
   * up to the longest.
   */
  readonly firstDelayMillis: number
  readonly longestDelayMillis: number
}

export const initial: State = { _tag: "Down", shortLives: 0 }

const closed: State = { _tag: "Closed" }
const none: Action = { _tag: "None" }
const kill: Action = { _tag: "Kill" }
const announce: Action = { _tag: "Announce" }

/** Whether a process that answers queries has sent no heartbeat lately. */
export const isSilent = (state: State, { silentTicks }: Options): boolean =>
  state._tag === "Ready" && state.missed >= silentTicks

/** Whether a process may be given queries. */
export const takesQueries = (state: State, options: Options): boolean =>
  state._tag === "Ready" && state.retiring === undefined && !isSilent(state, options)

/** The first replacement is immediate. */
const delay = (shortLives: number, { firstDelayMillis, longestDelayMillis }: Options): number =>
  shortLives <= 1 ? 0 : Math.min(firstDelayMillis * 2 ** (shortLives - 2), longestDelayMillis)

/** The state and the action that follow from an event. An event that comes too late changes nothing. */
export const step = (state: State, event: Event, options: Options): readonly [State, Action] => {
  switch (event._tag) {
    case "Start":
      return state._tag === "Down"
        ? [{ _tag: "Starting", ticks: 0, shortLives: state.shortLives }, { _tag: "Launch" }]
        : [state, none]
    case "Ready":
      return state._tag === "Starting"
        ? [
            { _tag: "Ready", since: event.now, missed: 0, retiring: undefined, shortLives: state.shortLives },
            announce
          ]
        : [state, none]
    case "Beat":
      return state._tag === "Ready" && state.missed > 0
        ? [{ ...state, missed: 0 }, isSilent(state, options) ? announce : none]
        : [state, none]
    case "Tick":
      return tick(state, event.isIdle, options)
    case "Retire":
      return state._tag === "Ready" && state.retiring === undefined
        ? [{ ...state, retiring: 0 }, none]
        : [state, none]
    case "End":
      return end(state, event.why)
    case "Exited":
      return exited(state, event.now, options)
    case "Close":
      return close(state)
    case "CloseExpired":
      return state._tag === "Ending" ? [state, kill] : [state, none]
  }
}

const tick = (
  state: State,
  isIdle: boolean,
  { maxMissed, maxRetireTicks, maxStartTicks }: Options
): readonly [State, Action] => {
  if (state._tag === "Starting") {
    return state.ticks < maxStartTicks
      ? [{ ...state, ticks: state.ticks + 1 }, none]
      : end(state, { _tag: "StartExpired" })
  }
  if (state._tag !== "Ready") return [state, none]
  const { missed, retiring } = state
  if (retiring !== undefined && (isIdle || retiring >= maxRetireTicks)) {
    return end(state, { _tag: "Exhausted" })
  }
  return missed < maxMissed
    ? [{ ...state, missed: missed + 1, retiring: retiring === undefined ? undefined : retiring + 1 }, none]
    : end(state, { _tag: "Silent" })
}

const end = (state: State, why: Why): readonly [State, Action] => {
  if (state._tag === "Starting" || state._tag === "Ready") {
    return [{ _tag: "Ending", since: sinceOf(state), why, shortLives: state.shortLives }, kill]
  }
  // A process that was asked to end closes its connections first, then its engine, which may have a
  // database to write.
  const isAsked = state._tag === "Ending" && state.why._tag === "Closed"
  return [state, isAsked && why._tag !== "Disconnected" ? kill : none]
}

const sinceOf = (state: State): number | undefined =>
  state._tag === "Ready" || state._tag === "Ending" ? state.since : undefined

const exited = (state: State, now: number, options: Options): readonly [State, Action] => {
  if (state._tag === "Down" || state._tag === "Closed") return [state, none]
  const why = state._tag === "Ending" ? state.why : undefined
  if (why?._tag === "Closed") return [closed, { _tag: "Over", why }]
  const since = sinceOf(state)
  // A query that did not stop does not count against its process.
  if (why?._tag === "CancelIgnored") {
    return [
      { _tag: "Down", shortLives: state.shortLives },
      { _tag: "Restart", delayMillis: 0, why }
    ]
  }
  const isShort = since === undefined || now - since < options.shortLifeMillis
  const shortLives = isShort ? state.shortLives + 1 : 1
  return [
    { _tag: "Down", shortLives },
    { _tag: "Restart", delayMillis: delay(shortLives, options), why }
  ]
}

const close = (state: State): readonly [State, Action] => {
  const why: Why = { _tag: "Closed" }
  switch (state._tag) {
    case "Down":
      return [closed, { _tag: "Over", why: undefined }]
    case "Starting":
      return [{ _tag: "Ending", since: undefined, why, shortLives: state.shortLives }, kill]
    case "Ready":
      return [{ _tag: "Ending", since: state.since, why, shortLives: state.shortLives }, { _tag: "Ask" }]
    case "Ending":
      return [{ ...state, why }, none]
    case "Closed":
      return [state, none]
  }
}
