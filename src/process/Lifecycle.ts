/**
 * The life of the processes that take one place, one after the other: a pure state machine.
 *
 * A process is started, says that it is ready, and gives signs of life. It ends by itself, or is killed; when it is
 * gone another one takes its place, later each time that one has lived shortly. Times are in milliseconds.
 */

/**
 * Why a process is to end.
 *
 * @category models
 * @since 0.1.0
 */
export type Why =
  /** It cannot answer queries, or no longer, and says why: to the log, or to clients too (`isTold`). */
  | { readonly _tag: "Failed"; readonly message: string; readonly isTold: boolean }
  /** It has not become ready in time. */
  | { readonly _tag: "StartExpired" }
  /** It has given no sign of life. */
  | { readonly _tag: "Silent" }
  /** It has used up the memory that it may take, and uses little of it. */
  | { readonly _tag: "Exhausted" }
  /** A query did not stop within `cancelGrace`. */
  | { readonly _tag: "CancelIgnored" }
  /** It closed a connection, as a process does that ends by itself. */
  | { readonly _tag: "Disconnected" }
  /** Nobody needs it any more. */
  | { readonly _tag: "Closed" }

/** How a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  /** Whether its objects needed more memory than they may take: that of a thread. */
  readonly isOutOfMemory?: boolean
  /** Whether it was killed and goes on all the same. Nobody waits for it. */
  readonly isStuck?: boolean
}

interface Life {
  /** How many processes before this one have lived shortly, one after the other. */
  readonly shortLives: number
}

export type State =
  | ({ readonly _tag: "Down" } & Life)
  | ({ readonly _tag: "Starting"; readonly ticks: number } & Life)
  /**
   * `missed` is the number of ticks without a sign of life, and `retiring` that since it is to end when nothing runs in
   * it any more.
   */
  | ({
      readonly _tag: "Ready"
      readonly since: number
      readonly missed: number
      readonly retiring: number | undefined
    } & Life)
  /** It is to end, and not gone yet. `since` is when it became ready, if it did. */
  | ({ readonly _tag: "Ending"; readonly since: number | undefined; readonly why: Why } & Life)
  | { readonly _tag: "Closed" }

export type Event =
  | { readonly _tag: "Start" }
  | { readonly _tag: "Ready"; readonly now: number }
  | { readonly _tag: "Beat" }
  | { readonly _tag: "Tick"; readonly isIdle: boolean }
  /** The process is to be given nothing new, and to end when nothing runs in it. */
  | { readonly _tag: "Retire" }
  | { readonly _tag: "End"; readonly why: Why }
  | { readonly _tag: "Exited"; readonly now: number }
  /** Nobody needs the place any more. */
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
  /** Start another process after so long; `why` is why the last one was to end, if anybody wanted that. */
  | { readonly _tag: "Restart"; readonly delayMillis: number; readonly why: Why | undefined }
  /** No process is left, and none follows. */
  | { readonly _tag: "Over"; readonly why: Why | undefined }

export interface Options {
  /** Ticks without a sign of life after which a process is silent: nothing new is given to it until it gives one. */
  readonly silentTicks: number
  /** Ticks without a sign of life after which a process is killed. */
  readonly maxMissed: number
  /** Ticks that a process may take to become ready. */
  readonly maxStartTicks: number
  /** Ticks after which a process that is to end when nothing runs in it ends all the same. */
  readonly maxRetireTicks: number
  /** A process that has been ready for less has lived shortly. */
  readonly shortLifeMillis: number
  /** The wait before a second process that has lived shortly is replaced; it doubles with each, up to the longest. */
  readonly firstDelayMillis: number
  readonly longestDelayMillis: number
}

export const initial: State = { _tag: "Down", shortLives: 0 }

const closed: State = { _tag: "Closed" }
const none: Action = { _tag: "None" }
const kill: Action = { _tag: "Kill" }
const announce: Action = { _tag: "Announce" }

/** Whether a process that answers queries has given no sign of life lately. */
export const isSilent = (state: State, { silentTicks }: Options): boolean =>
  state._tag === "Ready" && state.missed >= silentTicks

/** Whether a process may be given queries. */
export const takesQueries = (state: State, options: Options): boolean =>
  state._tag === "Ready" && state.retiring === undefined && !isSilent(state, options)

/** The first replacement comes at once. */
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
  // A process that was asked to end closes its connections first, and its engine, with a database to write, after that.
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
  // A query that did not stop says nothing of its process.
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
