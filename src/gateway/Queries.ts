/** The queries of the gateway: the running ones, and for a time the verdicts of ended ones. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Progress } from "../engine/QueryEngine.ts"
import * as GatewayError from "./GatewayError.ts"
import type { Instance } from "./Instance.ts"

/** The state of a query. */
export type State = "running" | "complete" | "failed" | "cancelled"

/** A back-end's receipt for a complete result; see PROTOCOL.md §3, `receipt`. */
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
  readonly backend: string
  readonly owner: string | undefined
  /** Whether lists include it. */
  readonly isListed: boolean
}

const nothing = () => {}

/** The controls of a running query. They are not kept with the verdict. */
export class Control {
  /** The reason why the gateway ends it: another request has cancelled it, or the gateway stops. */
  stoppedBy: GatewayError.GatewayError | undefined
  /** Makes the response's writer stop waiting for a client that takes nothing. */
  hurry: () => void = nothing
  /** Ends the query at its back-end. Returns at once if that is under way already; see {@link over}. */
  stop: Effect.Effect<void> = Effect.void
  private isOver = false
  private readonly waiters: Array<() => void> = []

  /** The query has ended completely, here and at its back-end. */
  end(): void {
    this.isOver = true
    for (const waiter of this.waiters.splice(0)) waiter()
  }

  /** Waits for that end. */
  get over(): Effect.Effect<void> {
    return Effect.suspend(() => (this.isOver ? Effect.void : this.ending))
  }

  private get ending(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      // The query may have ended since.
      if (this.isOver) resume(Effect.void)
      else this.waiters.push(() => resume(Effect.void))
    })
  }
}

/** A running query. */
export interface Open {
  readonly entry: Entry
  readonly control: Control
}

/** One query, from its request on. */
export class Entry {
  readonly id: string
  readonly owner: string | undefined
  readonly target: string
  readonly isListed: boolean
  private readonly backend: string
  private readonly query: string
  private readonly format: string
  private readonly startedAt: number
  private readonly startedNanos: bigint
  private endedNanos: bigint | undefined
  /** The address that was tried last, and the one that has accepted it. */
  asked: Instance | undefined
  instance: Instance | undefined
  /** Whether the back-end reports the query's progress. */
  hasProgress = false
  state: State = "running"
  bytes = 0
  rows: number | undefined
  receipt: Receipt | undefined
  error: GatewayError.GatewayError | undefined
  /** Whether its back-end guarantees that it only reads. */
  onlyReads = false
  /** Whether its back-end has completed it, so that its changes are committed. */
  isCommitted = false

  constructor(opened: Opened, now: number, nanos: bigint) {
    this.id = opened.id
    this.owner = opened.owner
    this.target = opened.target
    this.isListed = opened.isListed
    this.backend = opened.backend
    this.query = opened.query
    this.format = opened.format
    this.startedAt = now
    this.startedNanos = nanos
  }

  get endedAt(): bigint | undefined {
    return this.endedNanos
  }

  /** The query has ended. Only the first end counts. Returns whether this is the first. */
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

  /** The verdict, with its back-end's progress while it runs. */
  verdict(nanos: bigint, progress?: Progress) {
    const { backend, format, query, target } = this
    const rows = this.receipt?.rows ?? this.rows
    return {
      queryId: this.id,
      state: this.state,
      target,
      backend,
      ...(this.asked === undefined ? {} : { address: this.asked.address }),
      format,
      query: query.length > maxShownQuery ? `${query.slice(0, maxShownQuery)}…` : query,
      startedAt: new Date(this.startedAt).toISOString(),
      durationMs: this.elapsedMillis(nanos),
      ...(rows === undefined ? {} : { rows }),
      bytes: this.receipt?.bytes ?? this.bytes,
      ...(progress === undefined || this.state !== "running" ? {} : { progress }),
      ...(this.receipt?.crc32 === undefined ? {} : { crc32: this.receipt.crc32 }),
      ...(this.error === undefined ? {} : { error: GatewayError.toJson(this.error) })
    }
  }
}

export interface Options {
  /** How long a verdict is kept after the end of its query. */
  readonly verdictTime: Duration.Duration
  /** The number of verdicts that are kept; the oldest are dropped first. */
  readonly maxVerdicts: number
}

/** Parts of an id: the back-end, the gateway's process, and the query. */
const idPattern = /^([A-Za-z0-9_-]+)\.([0-9a-f]{8})\.[0-9a-f]{16}$/

type RandomSource = typeof Random.Random.Service

const word = (random: RandomSource): string =>
  Math.floor(random.nextDoubleUnsafe() * 2 ** 32)
    .toString(16)
    .padStart(8, "0")

export class Queries {
  private readonly options: Options
  private readonly random: RandomSource
  /** Identifies this process of the gateway. */
  private readonly boot: string
  private readonly running = new Map<string, Open>()
  private readonly ended = new Map<string, Entry>()
  /** In the order of their ends. Those before `oldest` are dropped: a map is slow to find its first entry. */
  private order: Array<Entry> = []
  private oldest = 0
  private empty: (() => void) | undefined

  constructor(options: Options, random: RandomSource) {
    this.options = options
    this.random = random
    this.boot = word(random)
  }

  get size(): number {
    return this.running.size
  }

  get all(): ReadonlyArray<Entry> {
    return [...this.ended.values(), ...Array.from(this.running.values(), ({ entry }) => entry)]
  }

  /** An id that contains the name of the back-end. */
  newId(backend: string): string {
    return `${backend}.${this.boot}.${word(this.random)}${word(this.random)}`
  }

  /** Adds a query, unless another running one has its id. */
  open(opened: Opened, clock: Clock.Clock): Open | GatewayError.GatewayError {
    const { id } = opened
    if (this.running.has(id)) {
      return GatewayError.make("query_id_in_use", `queryId: a query that runs has the id ${id}`)
    }
    const entry = new Entry(opened, clock.currentTimeMillisUnsafe(), clock.monotonicTimeNanosUnsafe())
    const open = { entry, control: new Control() }
    this.ended.delete(id)
    this.running.set(id, open)
    return open
  }

  /** A query has ended; its verdict is kept. */
  close(entry: Entry, nanos: bigint): void {
    if (this.running.get(entry.id)?.entry !== entry) return
    this.running.delete(entry.id)
    this.ended.set(entry.id, entry)
    this.order.push(entry)
    this.forget(nanos)
    if (this.running.size === 0) this.empty?.()
  }

  private forget(nanos: bigint): void {
    const { maxVerdicts, verdictTime } = this.options
    const kept = Duration.isFinite(verdictTime) ? Duration.toNanosUnsafe(verdictTime) : undefined
    for (; this.oldest < this.order.length; this.oldest++) {
      const entry = this.order[this.oldest] as Entry
      const isOld = kept !== undefined && nanos - (entry.endedAt ?? nanos) >= kept
      if (!isOld && this.ended.size <= maxVerdicts) break
      // Another query may have used the id since.
      if (this.ended.get(entry.id) === entry) this.ended.delete(entry.id)
    }
    if (this.oldest > maxVerdicts) {
      this.order = this.order.slice(this.oldest)
      this.oldest = 0
    }
  }

  /** The controls of a query, while it runs. */
  controlOf({ id }: Entry): Control | undefined {
    return this.running.get(id)?.control
  }

  /** The query with an id, or an error. */
  find(id: string, nanos: bigint): Entry | GatewayError.GatewayError {
    this.forget(nanos)
    const entry = this.running.get(id)?.entry ?? this.ended.get(id)
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
  Effect.map(Random.Random, (random) => new Queries(options, random))
