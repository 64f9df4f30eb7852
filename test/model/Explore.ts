/**
 * Breadth-first search through everything that a system can do.
 *
 * A system is a set of first states and, for each state, what may happen next. The search visits each state
 * once, by its key, and remembers how it got there: what it finds is told by a shortest transcript.
 */

/**
 * Who makes something happen.
 *
 * - `choice`: somebody may do it and may as well never do it: a client that sends, a limit that is over.
 * - `engine`: the engine gets on with its query; it may take for ever.
 * - `progress`: happens sooner or later unless something else does.
 */
export type Kind = "choice" | "engine" | "progress"

export interface Transition<S> {
  readonly label: string
  readonly kind: Kind
  readonly state: S
  /** The rule that this broke. */
  readonly broken: string | undefined
}

export interface System<S> {
  readonly initial: ReadonlyArray<S>
  readonly successors: (state: S) => ReadonlyArray<Transition<S>>
  /** Tells two states apart if and only if anything that may happen later does. */
  readonly key: (state: S) => string
  readonly show: (state: S) => string
  /** What is wrong with a state in which nothing happens by itself any more. */
  readonly wrongAtRest: (state: S) => string | undefined
  /** Whether nothing is left to be done: the ends that every state must have a way to. */
  readonly isEnd: (state: S) => boolean
}

export interface Violation {
  readonly broken: string
  /** Every step on a shortest way there, with the state that it led to. */
  readonly transcript: string
  readonly steps: number
}

export interface Outcome {
  readonly states: number
  readonly transitions: number
  readonly ends: number
  /** Steps on the shortest way to the state that is farthest from the first ones. */
  readonly depth: number
  readonly violation: Violation | undefined
}

/** Sums up what several searches have seen. */
export const total = (outcomes: ReadonlyArray<Outcome>) => ({
  states: outcomes.reduce((sum, outcome) => sum + outcome.states, 0),
  transitions: outcomes.reduce((sum, outcome) => sum + outcome.transitions, 0)
})

const none = -1

/** A search that outgrows this has lost its bounds. */
const maxStates = 1_500_000

class Search<S> {
  readonly system: System<S>
  readonly states: Array<S> = []
  private readonly indices = new Map<string, number>()
  private readonly parents: Array<number> = []
  private readonly depths: Array<number> = []
  /** What happens without anybody's choice, as pairs of indices: the ways out. */
  private readonly from: Array<number> = []
  private readonly to: Array<number> = []
  private transitions = 0

  constructor(system: System<S>) {
    this.system = system
  }

  private visit(state: S, parent: number): number {
    const key = this.system.key(state)
    const known = this.indices.get(key)
    if (known !== undefined) return known
    const index = this.states.length
    this.indices.set(key, index)
    this.states.push(state)
    if (index === maxStates) throw new Error(`More than ${maxStates} states: the bounds are too wide`)
    this.parents.push(parent)
    this.depths.push(parent === none ? 0 : (this.depths[parent] ?? 0) + 1)
    return index
  }

  run(): Outcome {
    for (const state of this.system.initial) this.visit(state, none)
    for (let index = 0; index < this.states.length; index++) {
      const violation = this.expand(index)
      if (violation !== undefined) return this.outcome(0, violation)
    }
    return this.waysOut()
  }

  private expand(index: number): Violation | undefined {
    const { system } = this
    const state = this.states[index] as S
    let atRest = true
    for (const { broken, kind, label, state: next } of system.successors(state)) {
      this.transitions++
      if (broken !== undefined) return this.violation(index, broken, `${label} → ${system.show(next)}`)
      const there = this.visit(next, index)
      if (kind === "progress") atRest = false
      if (kind === "choice") continue
      this.from.push(index)
      this.to.push(there)
    }
    const wrong = atRest ? system.wrongAtRest(state) : undefined
    return wrong === undefined ? undefined : this.violation(index, wrong, "nothing more happens")
  }

  /** Goes backwards from the ends. */
  private waysOut(): Outcome {
    const first = new Int32Array(this.states.length).fill(none)
    const following = new Int32Array(this.to.length)
    for (const [edge, there] of this.to.entries()) {
      following[edge] = first[there] ?? none
      first[there] = edge
    }
    const reached = new Uint8Array(this.states.length)
    const queue: Array<number> = []
    const reach = (index: number) => {
      if (reached[index] === 1) return
      reached[index] = 1
      queue.push(index)
    }
    for (const [index, state] of this.states.entries()) if (this.system.isEnd(state)) reach(index)
    const ends = queue.length
    for (let at = 0; at < queue.length; at++) {
      for (let edge = first[queue[at] as number] ?? none; edge !== none; edge = following[edge] ?? none) {
        reach(this.from[edge] as number)
      }
    }
    const lost = reached.indexOf(0)
    const violation = lost === none ? undefined : this.violation(lost, "There is no way out", "for ever")
    return this.outcome(ends, violation)
  }

  private outcome(ends: number, violation: Violation | undefined): Outcome {
    const depth = this.depths.at(-1) ?? 0
    return { states: this.states.length, transitions: this.transitions, ends, depth, violation }
  }

  private violation(index: number, broken: string, last: string): Violation {
    const path: Array<number> = []
    for (let at = index; at !== none; at = this.parents[at] ?? none) path.unshift(at)
    const lines = path.map((at, step) => {
      const state = this.states[at] as S
      return `${this.labelled(path[step - 1], state)} → ${this.system.show(state)}`
    })
    const transcript = [...lines, last, `✗ ${broken}`].join("\n")
    return { broken, transcript, steps: path.length }
  }

  /** Labels are not kept: the step that led to a state is looked up again. */
  private labelled(parent: number | undefined, state: S): string {
    if (parent === undefined) return "at first"
    const key = this.system.key(state)
    const steps = this.system.successors(this.states[parent] as S)
    return steps.find((step) => this.system.key(step.state) === key)?.label ?? "?"
  }
}

/** Searches the whole system, or until a rule is broken. */
export const run = <S>(system: System<S>): Outcome => new Search(system).run()
