/**
 * Many hostile clients at once against the real server in a process of its own, beside clients that do nothing
 * wrong; and what is left of it all in the server afterwards.
 */
import { performance } from "node:perf_hooks"
import * as Effect from "effect/Effect"
import type { Live } from "../support/Gauge.ts"
import type { ProcessStatus } from "../support/ProcessStatus.ts"
import * as WatchedServer from "../support/WatchedServer.ts"
import * as Controls from "./Controls.ts"
import * as Conversation from "./Conversation.ts"
import * as Player from "./Player.ts"
import * as Script from "./Script.ts"

export interface Options {
  readonly seed: number
  /** Scripts that are played before the server is measured the first time. */
  readonly warmUp: number
  /** Whether to begin another script, after so many and so many milliseconds. */
  readonly goesOn: (played: number, millis: number) => boolean
  /** In place of the scripts of the seed. */
  readonly scripts?: Iterator<Script.Script, unknown> | undefined
}

/** What a server holds when nobody but the control clients is connected, and these have nothing under way. */
export interface Measure extends ProcessStatus, Live {
  readonly fibers: number
  readonly connections: number
  readonly queries: number
}

export interface Fault {
  /** Which script of the seed it was; none if it was not one script's doing. */
  readonly number: number | undefined
  readonly script: Script.Script | undefined
  readonly texts: ReadonlyArray<string>
}

export interface Outcome {
  readonly faults: ReadonlyArray<Fault>
  readonly played: number
  readonly seconds: number
  /** How often the server gave each answer, and each reason for the end of a connection. */
  readonly answers: Readonly<Record<string, number>>
  readonly closings: Readonly<Record<string, number>>
  readonly latencies: ReadonlyArray<number>
  readonly before: Measure
  readonly after: Measure
}

/** Hostile clients at a time: fewer than the queries that may run at once, so that none has to be refused. */
const clients = 24

/**
 * By how much memory may have grown: what the server holds, by what it does for the first time; what is resident
 * beside that, by what allocators keep for themselves.
 */
export const memoryBounds = {
  heapBytes: 4 * 1024 * 1024,
  externalBytes: 1024 * 1024,
  residentBytes: 96 * 1024 * 1024
} as const

/** How long the server may take to come to rest, and a line of its log to come, in milliseconds. */
const restMillis = 30_000

const settings = [
  ["--request-timeout", `${Player.requestTimeoutMillis} millis`],
  ["--write-timeout", `${Player.writeTimeoutMillis} millis`],
  ["--query-timeout", `${Player.queryTimeoutMillis} millis`],
  ["--heartbeat-interval", "500 millis"]
].flat()

/** Waits until something holds, for a while; whether it does. */
const eventually = Effect.fnUntraced(function* (condition: () => boolean) {
  const deadline = performance.now() + restMillis
  while (!condition()) {
    if (performance.now() > deadline) return false
    yield* Effect.sleep(20)
  }
  return true
})

class Run {
  readonly faults: Array<Fault> = []
  readonly answers: Record<string, number> = {}
  played = 0
  /** The last reason for the end of the connection of each address. */
  private readonly closings = new Map<string, string>()

  /** Hears of the beginning and the end of connections. An address may be used again. */
  connection(remote: string, reason: string | undefined): void {
    if (reason === undefined) this.closings.delete(remote)
    else this.closings.set(remote, reason)
  }

  fault(texts: ReadonlyArray<string>, number?: number, script?: Script.Script): void {
    if (texts.length > 0) this.faults.push({ texts, number, script })
  }

  /** Plays scripts, several at a time, for as long as it goes on. */
  play(
    server: Player.Server,
    scripts: Iterator<Script.Script, unknown>,
    goesOn: () => boolean
  ): Effect.Effect<unknown> {
    const client = Effect.gen({ self: this }, function* () {
      while (goesOn()) {
        const { done, value } = scripts.next()
        if (done === true) return
        const number = this.played++
        const script = value as Script.Script
        const { answers, faults, violator } = yield* Player.play(server, script)
        for (const answer of answers) this.answers[answer] = (this.answers[answer] ?? 0) + 1
        this.fault(faults, number, script)
        if (violator !== undefined) yield* this.told(violator, number, script)
      }
    })
    return Effect.replicateEffect(client, clients, { concurrency: "unbounded", discard: true })
  }

  /** The log must say of a violation that it was one. */
  private told(violator: string, number: number, script: Script.Script): Effect.Effect<void> {
    return Effect.map(
      eventually(() => this.closings.has(violator)),
      () => {
        const reason = this.closings.get(violator)
        if (reason !== "protocol") this.fault([`the log gives "${reason}" for a violation`], number, script)
      }
    )
  }
}

const measure = Effect.fnUntraced(function* (server: WatchedServer.WatchedServer): Effect.fn.Return<Measure> {
  const fibers = yield* server.fibers
  const live = yield* server.live
  const { connections, queries } = server.counts()
  return { ...server.status(), ...live, fibers, connections, queries }
})

/** What must be no more than before. */
const counted = ["handles", "threads", "connections", "fibers", "sockets"] as const
const bounded = ["heapBytes", "externalBytes", "residentBytes"] as const

/**
 * The timers of a server at rest: one keeps the process alive, one wakes all connections, one looks for dead paths, one has
 * DuckDB give memory back and one the C library, and two look after the directories for what outgrows the memory, the
 * server's and the engine's. That of a write which was kept waiting goes within the writeTimeout.
 */
const restTimers = 7

/** What of a measure is more than it was. */
const excess = (after: Measure, before: Measure): ReadonlyArray<string> => {
  const more = counted.filter((name) => after[name] > before[name]).map((name) => `${name}: ${after[name]}`)
  if (after.queries > 0) more.push(`queries: ${after.queries}`)
  if (after.timers > restTimers) more.push(`timers: ${after.timers}`)
  for (const name of bounded) {
    const grown = after[name] - before[name]
    if (grown > memoryBounds[name]) more.push(`${name}: ${(grown / 2 ** 20).toFixed(1)} MiB more`)
  }
  return more
}

/** Measures until nothing is more than before, for a while; the last measure. */
const rest = Effect.fnUntraced(function* (server: WatchedServer.WatchedServer, before: Measure) {
  const deadline = performance.now() + restMillis
  while (true) {
    const after = yield* measure(server)
    if (excess(after, before).length === 0 || performance.now() > deadline) return after
  }
})

export const run = (options: Options): Effect.Effect<Outcome> =>
  Effect.scoped(
    Effect.gen(function* () {
      const all = new Run()
      const server = yield* WatchedServer.start({
        args: settings,
        onConnection: (remote, reason) => all.connection(remote, reason)
      })
      const addresses = [server.tcp, server.unix]
      const controls = yield* Controls.start(addresses)
      const scripts = options.scripts ?? Script.sample(Conversation.script, options.seed)
      const rested = () => server.counts().connections === addresses.length

      yield* all.play(server, scripts, () => server.running() && all.played < options.warmUp)
      if (!(yield* eventually(rested)))
        all.fault([`${server.counts().connections} connections after the warm-up`])
      const before = yield* controls.paused(measure(server))

      const startedAt = performance.now()
      const goesOn = () => options.goesOn(all.played - options.warmUp, performance.now() - startedAt)
      yield* all.play(server, scripts, () => server.running() && goesOn())
      const seconds = (performance.now() - startedAt) / 1000

      const after = yield* controls.paused(rest(server, before))
      all.fault(excess(after, before).map((text) => `did not come to rest within ${restMillis} ms: ${text}`))
      all.fault(controls.faults)
      const { closings } = server.counts()
      // Neither an engine that cannot tell whether it takes a request nor a driver that breaks is a client's doing.
      for (const reason of ["init", "run", "unknown"]) {
        if (closings[reason] !== undefined)
          all.fault([`${closings[reason]} connections ended by "${reason}"`])
      }
      const exit = yield* server.stop
      if (exit !== 0) all.fault([`the server ended with ${exit}`])
      all.fault(server.complaints().map((line) => `the server complained: ${line}`))
      return {
        faults: all.faults,
        played: all.played,
        seconds,
        answers: all.answers,
        closings,
        latencies: controls.latencies,
        before,
        after
      }
    })
  )
