/**
 * The queries of the gateway: those that run, and for a time the verdict of those that have ended.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as GatewayError from "./GatewayError.ts"
import type { Instance } from "./Instance.ts"

/** How far a query is, or how it ended. */
export type State = "running" | "complete" | "failed" | "cancelled"

/** What a back-end says of a result that it has sent whole; see PROTOCOL.md §3, `receipt`. */
export interface Receipt {
  readonly rows?: number | undefined
  readonly bytes?: number | undefined
  readonly crc32?: string | undefined
  readonly durationMs?: number | undefined
}

/** Longest query that a verdict shows, in UTF-16 units. */
const maxShownQuery = 1000

export interface Opened {
  readonly id: string
  readonly query: string
  readonly format: string
  readonly target: string
  readonly owner: string | undefined
  /** Whether lists show it. */
  readonly isListed: boolean
}

const nothing = () => {}

/** One query, from its request on. */
export class Entry {
  readonly id: string
  readonly owner: string | undefined
  private readonly opened: Opened
  private readonly startedAt: number
  private readonly startedNanos: bigint
  private endedNanos: bigint | undefined
  instance: Instance | undefined
  state: State = "running"
  bytes = 0
  rows: number | undefined
  receipt: Receipt | undefined
  error: GatewayError.GatewayError | undefined
  /** Whether another request has cancelled it. */
  cancelRequested = false
  /** Tells the one who writes the response that a client which takes nothing need not be waited for. */
  hurry: () => void = nothing
  /** Ends the query at its back-end, and returns when it has ended. */
  stop: Effect.Effect<void> = Effect.void

  constructor(opened: Opened, now: number, nanos: bigint) {
    this.id = opened.id
    this.owner = opened.owner
    this.opened = opened
    this.startedAt = now
    this.startedNanos = nanos
  }

  get target(): string {
    return this.opened.target
  }

  get isListed(): boolean {
    return this.opened.isListed
  }

  get endedAt(): bigint | undefined {
    return this.endedNanos
  }

  /** The query has ended. Only the first end counts. Whether this is it. */
  settle(state: Exclude<State, "running">, nanos: bigint, error?: GatewayError.GatewayError): boolean {
    if (this.state !== "running") return false
    this.state = state
    this.error = error
    this.endedNanos = nanos
    return true
  }

  elapsedMillis(nanos: bigint): number {
    return Number(((this.endedNanos ?? nanos) - this.startedNanos) / 1_000_000n)
  }

  /** What is told of it. */
  verdict(nanos: bigint) {
    const { format, query, target } = this.opened
    const rows = this.receipt?.rows ?? this.rows
    return {
      queryId: this.id,
      state: this.state,
      target,
      ...(this.instance === undefined
        ? {}
        : { backend: this.instance.backend, address: this.instance.address }),
      format,
      query: query.length > maxShownQuery ? `${query.slice(0, maxShownQuery)}…` : query,
      startedAt: new Date(this.startedAt).toISOString(),
      durationMs: this.elapsedMillis(nanos),
      ...(rows === undefined ? {} : { rows }),
      bytes: this.receipt?.bytes ?? this.bytes,
      ...(this.receipt?.crc32 === undefined ? {} : { crc32: this.receipt.crc32 }),
      ...(this.error === undefined ? {} : { error: GatewayError.toJson(this.error) })
    }
  }
}

export interface Options {
  /** How long a verdict is kept after the end of its query. */
  readonly verdictTime: Duration.Duration
  /** How many are kept; the oldest go first. */
  readonly maxVerdicts: number
}

/** Parts of an id: the back-end, the gateway's process, and the query. */
const idPattern = /^([A-Za-z0-9_-]+)\.([0-9a-f]{8})\.[0-9a-f]{16}$/

const word = Effect.map(Random.nextIntBetween(0, 2 ** 32), (word) => word.toString(16).padStart(8, "0"))

export class Queries {
  private readonly options: Options
  /** Of this process of the gateway. */
  private readonly boot: string
  private readonly running = new Map<string, Entry>()
  /** In the order of their ends. */
  private readonly ended = new Map<string, Entry>()
  private empty: (() => void) | undefined

  constructor(options: Options, boot: string) {
    this.options = options
    this.boot = boot
  }

  get size(): number {
    return this.running.size
  }

  get all(): ReadonlyArray<Entry> {
    return [...this.ended.values(), ...this.running.values()]
  }

  /** An id that carries the name of the back-end. */
  newId(backend: string): Effect.Effect<string> {
    return Effect.map(Effect.all([word, word]), (words) => `${backend}.${this.boot}.${words.join("")}`)
  }

  /** Takes up a query. Fails if another one that runs has its id. */
  readonly open = Effect.fnUntraced({ self: this }, function* (this: Queries, opened: Opened) {
    const { id } = opened
    if (this.running.has(id)) {
      return yield* GatewayError.make("query_id_in_use", `queryId: a query that runs has the id ${id}`)
    }
    const entry = new Entry(opened, yield* Clock.currentTimeMillis, yield* Clock.monotonicTimeNanos)
    this.ended.delete(id)
    this.running.set(id, entry)
    return entry
  })

  /** A query has ended: its verdict is kept. */
  close(entry: Entry, nanos: bigint): void {
    if (this.running.get(entry.id) !== entry) return
    this.running.delete(entry.id)
    // Nothing of the query itself is kept with its verdict.
    entry.stop = Effect.void
    entry.hurry = nothing
    this.ended.set(entry.id, entry)
    this.forget(nanos)
    if (this.running.size === 0) this.empty?.()
  }

  private forget(nanos: bigint): void {
    const { maxVerdicts, verdictTime } = this.options
    const kept = Duration.isFinite(verdictTime) ? Duration.toNanosUnsafe(verdictTime) : undefined
    for (const [id, { endedAt = nanos }] of this.ended) {
      const isOld = kept !== undefined && nanos - endedAt >= kept
      if (!isOld && this.ended.size <= maxVerdicts) return
      this.ended.delete(id)
    }
  }

  /** The query with an id, or why there is none. */
  find(id: string, nanos: bigint): Entry | GatewayError.GatewayError {
    this.forget(nanos)
    const entry = this.running.get(id) ?? this.ended.get(id)
    if (entry !== undefined) return entry
    const [, backend, boot] = idPattern.exec(id) ?? []
    return backend === undefined || boot === this.boot
      ? GatewayError.make(
          "unknown_query",
          `There is no query with the id ${id}, or its verdict is not kept any more`
        )
      : GatewayError.make(
          "verdict_lost",
          `The gateway that ran the query ${id} on the back-end ${backend} has ended since. ` +
            "A query that was running then was cancelled"
        )
  }

  /** Waits until no query runs. */
  readonly idle: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.running.size === 0) return resume(Effect.void)
    this.empty = () => resume(Effect.void)
    return Effect.sync(() => {
      this.empty = undefined
    })
  })
}

export const make = (options: Options): Effect.Effect<Queries> =>
  Effect.map(word, (boot) => new Queries(options, boot))
