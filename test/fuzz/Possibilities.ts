/**
 * Where a server may stand in a conversation, after PROTOCOL.md §2, as far as its client can know.
 *
 * What is on its way is seen by neither side: when a cancel is sent, the response may be over already. So all
 * possibilities are kept, and those that do not fit what comes are dropped. None left: the server was wrong.
 */

/** `ready` ignores one cancel, `fresh` none; `closed` has closed the connection or is about to. */
type State = "fresh" | "ready" | "running" | "cancelling" | "closed"

/** A state, and the ends of responses that are on their way to the client: `K`, or `F` for any other. */
type Possibility = `${State}:${string}`

const split = (one: Possibility) => one.split(":") as [State, string]

/** What becomes of the state when a frame of the client arrives; `undefined` is none that there is. */
const arrive = (state: State, letter: string | undefined): State => {
  if (letter === "R" && (state === "fresh" || state === "ready")) return "running"
  if (letter === "C" && state === "ready") return "fresh"
  if (letter === "C" && state === "running") return "cancelling"
  return "closed"
}

export class Possibilities {
  private all: ReadonlySet<Possibility> = new Set<Possibility>(["fresh:"])

  arrived(letter: string | undefined): void {
    this.step((state) => arrive(state, letter))
  }

  /** The client has closed its half. */
  left(): void {
    this.step(() => "closed")
  }

  /** A response has ended. False if that cannot be. */
  ended(letter: string): boolean {
    const end = letter === "K" ? "K" : "F"
    const fitting = this.now().filter((one) => split(one)[1].startsWith(end))
    this.all = new Set(
      fitting.map((one): Possibility => {
        const [state, underway] = split(one)
        return `${state}:${underway.slice(1)}`
      })
    )
    return fitting.length > 0
  }

  /** Whether the server has closed the connection for certain, or at least maybe. */
  get isClosed(): "no" | "maybe" | "yes" {
    const closed = this.now().filter((one) => split(one)[0] === "closed").length
    if (closed === 0) return "no"
    return closed === this.now().length ? "yes" : "maybe"
  }

  /** With the responses that may have ended in the meantime. */
  private now(): Array<Possibility> {
    return [...this.all].flatMap((one): Array<Possibility> => {
      const [state, underway] = split(one)
      if (state === "running") return [one, `ready:${underway}F`]
      return state === "cancelling" ? [one, `fresh:${underway}K`] : [one]
    })
  }

  private step(next: (state: State) => State): void {
    this.all = new Set(
      this.now().map((one): Possibility => {
        const [state, underway] = split(one)
        return `${next(state)}:${underway}`
      })
    )
  }
}
