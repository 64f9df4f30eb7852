/**
 * What a whole server may do: whom it lets in, how many queries run and wait and in which order, and how it
 * stops. What happens within one moment of the clock has no order here, so a server that is between two steps
 * has the benefit of the doubt until everything that can run has run.
 */

import type { Place } from "../../src/server/Admission.ts"
import { millis } from "../../src/server/Settings.ts"
import * as Shutdown from "../../src/server/Shutdown.ts"
import type { Reference } from "./Reference.ts"
import type { Run } from "./Run.ts"
import type * as Scenario from "./Scenario.ts"
import type { ServerWatch } from "./ServerWatch.ts"
import type { Fate } from "./SimulatedEngine.ts"

export interface Options {
  readonly run: Run
  readonly scenario: Scenario.Scenario
  readonly fates: ReadonlyMap<number, Fate>
}

/** A client that has come, and what may have become of it. */
export interface Guest {
  readonly client: Scenario.Client
  readonly reference: Reference
  readonly watch: ServerWatch
  readonly may: Set<Place | "dropped">
}

/** A request that the server has read. */
export interface Asked {
  /** Its query; what breaks the protocol has none. */
  readonly id: number | undefined
  readonly at: number
  cancelledAt: number | undefined
  /** When the write may have begun that brought the message which ends its response. */
  answeringAt: number | undefined
  /** When the socket was handed the last of that message. */
  answeredAt: number | undefined
}

const longestFinalizer = 100

/** When a limit of so many milliseconds is over at the latest: timers that are near each other fire together. */
export const latest = (millis: number): number => millis + Math.min(1000, Math.floor(millis / 100))

/** How long a client may be idle, before its first request or after it, for each of what it may be. */
export const idleTimes = (
  { may }: Guest,
  { settings }: Scenario.Scenario,
  isFirst: boolean
): ReadonlyArray<number> =>
  [...may].map((place) =>
    Math.min(
      Number(place === "refused" ? settings.requestTimeout : settings.idleTimeout),
      isFirst ? Number(settings.firstRequestTimeout) : Infinity
    )
  )

const isSurely = ({ may }: Guest, place: Place): boolean => may.size === 1 && may.has(place)

export class ServerReference {
  private readonly options: Options
  private readonly guests: Array<Guest> = []
  /** Since when the server stops. */
  stopsAt = Number.POSITIVE_INFINITY
  private hurriesAt = Number.POSITIVE_INFINITY
  private stoppedAt: number | undefined

  constructor(options: Options) {
    this.options = options
  }

  /** A client comes, and the server is about to be told. */
  arrives(client: Scenario.Client, reference: Reference, watch: ServerWatch): Guest {
    const { now } = this.options.run
    const {
      maxConnections,
      maxConnectionsPerAddress = Infinity,
      maxRefusals
    } = this.options.scenario.settings
    const may: Guest["may"] = new Set()
    const [served, refused] = [this.count("served"), this.count("refused")]
    const own = this.count("served", client.address)
    const mayBeFull = served.most >= maxConnections || own.most >= maxConnectionsPerAddress
    if (now <= this.stopsAt) {
      if (served.least < maxConnections && own.least < maxConnectionsPerAddress) may.add("served")
      if (mayBeFull && refused.least < maxRefusals) may.add("refused")
      if (mayBeFull && refused.most >= maxRefusals) may.add("dropped")
    }
    if (now >= this.stopsAt) may.add("dropped")
    const guest = { client, reference, watch, may }
    this.guests.push(guest)
    return guest
  }

  /** What has become of a client turns out. */
  is(guest: Guest, ...places: ReadonlyArray<Place | "dropped">): void {
    const left = places.filter((place) => guest.may.has(place))
    if (left.length === 0) {
      this.wrong(`client ${guest.client.id} is ${places.join(" or ")}, not ${[...guest.may].join(" or ")}`)
    }
    guest.may.clear()
    for (const place of left.length === 0 ? places : left) guest.may.add(place)
  }

  /** A client says that it was refused. */
  refuses(client: Scenario.Client): boolean {
    const guest = this.guests.find((other) => other.client === client)
    if (guest?.may.has("refused") !== true) return false
    this.is(guest, "refused")
    return true
  }

  stops(): void {
    this.stopsAt = this.options.run.now
    this.options.run.tell("server", "stops")
  }

  hurries(): void {
    this.hurriesAt = this.options.run.now
    this.options.run.tell("server", "waits no longer")
  }

  stopped(): void {
    this.stoppedAt = this.options.run.now
    this.options.run.tell("server", "has stopped")
    const open = [...this.options.fates].filter(([, fate]) => fate.endedAt === undefined)
    if (open.length > 0) this.wrong(`has stopped with query ${open.map(([id]) => id).join(", ")} open`)
    for (const { client, may, watch } of this.guests) {
      const over = watch.closedAt !== undefined || may.has("dropped")
      if (!over) this.wrong(`has stopped with client ${client.id} connected`)
    }
  }

  /** When it waits for responses no longer. */
  get expiresAt(): number {
    const timeout = this.stopsAt + Number(this.options.scenario.settings.drainTimeout)
    return Math.min(timeout, Math.max(this.stopsAt, this.hurriesAt))
  }

  /** When it waits for nothing any more, not for last words either. */
  get dropsAt(): number {
    const hurried = Math.max(this.stopsAt, this.hurriesAt) + millis(Shutdown.hastyGoodbye)
    return Math.min(this.expiresAt + millis(Shutdown.goodbye), hurried)
  }

  /** Whether the limit of queries may have been reached when this one came. */
  wasFull(id: number): boolean {
    const { maxConcurrentQueries, maxQueuedQueries } = this.options.scenario.settings
    return (this.others(id)?.length ?? 0) >= maxConcurrentQueries + maxQueuedQueries
  }

  /** Whether its address may have had as many queries as it may when this one came. */
  wasAddressFull(id: number): boolean {
    const { maxQueriesPerAddress = Infinity } = this.options.scenario.settings
    const own = this.all.find(({ asked }) => asked.id === id)?.guest.client.address
    const others = this.others(id)?.filter(({ guest }) => guest.client.address === own)
    return (others?.length ?? 0) >= maxQueriesPerAddress
  }

  /** Whether a query of another address may have taken the place of this one: the queue was full when that came. */
  mayBeDisplaced(id: number): boolean {
    const own = this.all.find(({ asked }) => asked.id === id)
    return this.all.some(
      ({ asked, guest }) =>
        own !== undefined &&
        asked.id !== undefined &&
        guest.client.address !== own.guest.client.address &&
        asked.at >= own.asked.at &&
        this.wasFull(asked.id)
    )
  }

  private get all() {
    return this.guests.flatMap((guest) => guest.watch.asked.map((asked) => ({ asked, guest })))
  }

  /** The queries that may have had a place when this one came. */
  private others(id: number) {
    const { all } = this
    const at = all.find(({ asked }) => asked.id === id)?.asked.at
    if (at === undefined) return undefined
    return all.filter(
      ({ asked, guest }) =>
        asked.id !== id && guest.may.has("served") && asked.at <= at && this.leftAt(guest, asked) >= at
    )
  }

  /** Everything that can run has run: what must be by now, is. */
  atRest(): void {
    for (const guest of this.guests) this.patience(guest)
    this.queries()
    if (this.options.run.now >= this.stopsAt && this.stoppedAt === undefined) this.stopping()
  }

  /** Neither a response nor the silence between two takes longer than it may. */
  private patience(guest: Guest): void {
    const { run, scenario } = this.options
    const { client, reference, watch } = guest
    if (!this.isQuiet(guest) || reference.violated) return
    const { current } = watch
    const since = current === undefined ? watch.openedAt : current.answeredAt
    const idle = Math.max(...idleTimes(guest, scenario, current === undefined))
    const { at = Infinity, cancelledAt = Infinity } = current ?? {}
    const queryTimeout = Number(scenario.settings.queryTimeout)
    // A deadline that is put off keeps the tolerance of a longer one before it.
    const tolerance = latest(Math.max(idle, queryTimeout)) - Math.max(idle, queryTimeout)
    const late = Math.min(at + latest(queryTimeout), cancelledAt, this.expiresAt)
    if (since === undefined)
      this.expect(run.now <= late + longestFinalizer, `client ${client.id} waits for an end`)
    else this.expect(run.now <= since + idle + tolerance, `client ${client.id} is idle for too long`)
  }

  /**
   * As many queries run as may, the others wait for their turn, and none is overtaken by its own address's. One that
   * waits for its reader has no place after `stallTimeout`, unless too many have none.
   */
  private queries(): void {
    const { fates, run, scenario } = this.options
    const { maxConcurrentQueries, maxQueriesPerAddress = Infinity, maxQueuedQueries } = scenario.settings
    const stallMillis = latest(Number(scenario.settings.stallTimeout))
    const waiting = this.guests.filter((guest) => this.isWaiting(guest))
    const newest = new Map<string, number>()
    const counts = new Map<string, number>()
    const count = ({ client: { address } }: Guest) => counts.set(address, (counts.get(address) ?? 0) + 1)
    let running = 0
    let computing = 0
    let stalled = 0
    for (const guest of this.guests) {
      for (const { at, id = Number.NaN } of guest.watch.asked) {
        const fate = fates.get(id)
        if (fate === undefined) continue
        if (!isSurely(guest, "served")) this.is(guest, "served")
        newest.set(guest.client.address, Math.max(newest.get(guest.client.address) ?? 0, at))
        if (fate.endedAt !== undefined) continue
        running++
        if (fate.idleSince === undefined) computing++
        else if (!fate.isEnding && fate.idleSince + stallMillis < run.now) stalled++
        count(guest)
        this.expect(guest.watch.closedAt === undefined, `query ${id} has outlived its connection`)
      }
    }
    this.expect(computing <= maxConcurrentQueries, `${computing} queries run`)
    this.expect(running <= maxConcurrentQueries + maxQueuedQueries, `${running} queries have begun`)
    // Those that must have given their places up, unless as many have as may.
    const placed = stalled >= maxQueuedQueries ? running : running - stalled
    this.expect(waiting.length <= maxQueuedQueries, `${waiting.length} queries wait`)
    for (const guest of waiting) {
      const { client, watch } = guest
      count(guest)
      const { at = 0, id } = watch.current ?? {}
      this.expect(placed >= maxConcurrentQueries, `query ${id} waits while only ${placed} run`)
      this.expect(at >= (newest.get(client.address) ?? 0), `query ${id} was overtaken`)
    }
    for (const [address, own] of counts) {
      this.expect(own <= maxQueriesPerAddress, `${own} queries of ${address} run or wait`)
    }
  }

  /** Whether a request waits for its turn, for certain. */
  private isWaiting(guest: Guest): boolean {
    const { current } = guest.watch
    const { fates, run, scenario } = this.options
    if (current?.id === undefined || fates.has(current.id)) return false
    if (guest.reference.violated || !isSurely(guest, "served") || !this.isQuiet(guest)) return false
    if (current.cancelledAt !== undefined || current.answeredAt !== undefined) return false
    const timeout = Math.min(Number(scenario.settings.queryTimeout), Number(scenario.settings.queueTimeout))
    return run.now < Math.min(current.at + timeout, this.expiresAt)
  }

  /** Whether a connection is open and no write holds up what comes next on it. */
  private isQuiet({ may, watch }: Guest): boolean {
    return watch.closedAt === undefined && !may.has("dropped") && !watch.isOver && !watch.isWriting
  }

  /** Nothing is left but what responds, and that not for ever. */
  private stopping(): void {
    const { now } = this.options.run
    for (const guest of this.guests) {
      const { client, reference, watch } = guest
      const idle = watch.current === undefined || watch.current.answeredAt !== undefined
      const kept = idle && this.isQuiet(guest) && !reference.violated
      this.expect(!kept, `client ${client.id} is kept although it is idle`)
    }
    const open = this.guests.filter(({ may, watch }) => watch.closedAt === undefined && !may.has("dropped"))
    this.expect(open.length > 0, "waits for nobody")
    this.expect(now <= this.dropsAt + longestFinalizer, "does not stop")
  }

  /** How many of those that have come have this place. Who left a moment ago may not have given it back. */
  private count(place: Place, address?: string): { readonly least: number; readonly most: number } {
    const { now } = this.options.run
    const all = this.guests.filter(
      ({ client, may }) => may.has(place) && (address ?? client.address) === client.address
    )
    return {
      least: all.filter(({ may, watch }) => may.size === 1 && watch.closedAt === undefined).length,
      most: all.filter(({ watch }) => (watch.closedAt ?? now) >= now).length
    }
  }

  private leftAt({ reference, watch }: Guest, { answeredAt, id }: Asked): number {
    const fate = id === undefined ? undefined : this.options.fates.get(id)
    if (fate !== undefined) return fate.endedAt ?? Number.POSITIVE_INFINITY
    const gone = watch.closedAt ?? Number.POSITIVE_INFINITY
    return reference.violated ? gone : Math.min(gone, answeredAt ?? gone)
  }

  private expect(condition: boolean, otherwise: string): void {
    if (!condition) this.wrong(otherwise)
  }

  private wrong(what: string): void {
    this.options.run.wrong("server", what)
  }
}
