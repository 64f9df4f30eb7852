/**
 * Keeps changes apart that end DuckDB's database, or lose updates, if they run side by side.
 *
 * A statement that alters waits until no other one changes anything. One that runs alone also waits until no
 * query is left that began before the last change. Changes that come meanwhile wait for it, unless it waits for
 * long queries; queries never wait.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { type QueryError, queryError } from "../QueryApi.ts"

/** What a statement does, with regard to others. One that adds leaves former rows as they are. */
export type Turn = "reads" | "adds" | "writes" | "alters" | "alone"

interface Entry {
  readonly turn: Turn
  readonly begun: Deferred.Deferred<void>
  /** The number of changes of former rows that had ended when it began. */
  changes: number
  /** Whether others may pass while it waits for queries. */
  letsPass: boolean
}

/** How long a statement waits to alter or to run alone, in milliseconds. */
const maxWait = 5000

/** For how much of that changes wait behind one that waits for queries, in milliseconds: most queries are short. */
const maxHolding = 500

/** How long a change waits behind such a statement. */
const maxWaitBehind = "30 seconds"

/** Whether nothing else may be changed meanwhile. */
const isApart = (turn: Turn): boolean => turn === "alters" || turn === "alone"

/** See {@link Turns.take}. */
export class Turns {
  private readonly running = new Set<Entry>()
  private readonly waiting: Array<Entry> = []
  private changes = 0

  /** Waits for a turn, and holds it until the scope closes. Fails if the wait is too long. */
  readonly take = Effect.fnUntraced(function* (
    this: Turns,
    turn: Turn
  ): Effect.fn.Return<void, QueryError, Scope.Scope> {
    const entry = yield* Effect.acquireRelease(
      Effect.sync(() => this.enter(turn)),
      (entry) => Effect.sync(() => this.leave(entry))
    )
    if (Deferred.isDoneUnsafe(entry.begun)) return
    const begun = Deferred.await(entry.begun)
    if (turn === "alone") {
      yield* Effect.timeoutOption(begun, maxHolding)
      entry.letsPass = true
      this.next()
    }
    yield* Effect.timeoutOrElse(begun, {
      duration: turn === "alone" ? maxWait - maxHolding : turn === "alters" ? maxWait : maxWaitBehind,
      orElse: () => Effect.fail(turn === "alone" ? notAlone : turn === "alters" ? besideOthers : behind)
    })
  })

  private enter(turn: Turn): Entry {
    const entry: Entry = { turn, begun: Deferred.makeUnsafe(), changes: this.changes, letsPass: false }
    if (turn === "reads") this.begin(entry)
    else this.waiting.push(entry)
    this.next()
    return entry
  }

  private begin(entry: Entry): void {
    entry.changes = this.changes
    this.running.add(entry)
    Deferred.doneUnsafe(entry.begun, Exit.void)
  }

  private leave(entry: Entry): void {
    if (this.running.delete(entry)) {
      if (entry.turn === "writes" || entry.turn === "alters") this.changes++
    } else {
      this.waiting.splice(this.waiting.indexOf(entry), 1)
    }
    this.next()
  }

  private next(): void {
    for (const entry of [...this.waiting]) {
      if (this.mayBegin(entry)) {
        this.waiting.splice(this.waiting.indexOf(entry), 1)
        this.begin(entry)
      } else if (!(entry.letsPass && this.isOutlived(entry))) return
    }
  }

  /** Whether queries go on from before the last change. */
  private isOutlived({ turn }: Entry): boolean {
    return turn === "alone" && [...this.running].some(({ changes }) => changes < this.changes)
  }

  private mayBegin(entry: Entry): boolean {
    const { turn } = entry
    for (const running of this.running) {
      if (isApart(running.turn) || (isApart(turn) && running.turn !== "reads")) return false
    }
    return !this.isOutlived(entry)
  }
}

const rejected = (message: string): QueryError =>
  queryError("overloaded", `${message}: run it again`, { retryable: true })

/** The reject of a statement that did not get to run alone. */
export const notAlone = rejected(
  "An index is made or dropped, the type of a column changed, and a type made in a schema, only while no other " +
    "statement changes anything and no query is left that began before the last change"
)

const besideOthers = rejected("ALTER statements run only while no other statement changes anything")

const behind = rejected("A statement runs or waits beside which nothing can be changed, such as an ALTER")
