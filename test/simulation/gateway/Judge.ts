/**
 * What a gateway may do, after its README and PROTOCOL.md: told of all that happens, it tells the run of everything
 * that may not be.
 */
import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import type * as GatewayError from "../../../src/gateway/GatewayError.ts"
import type { Instance } from "../../../src/gateway/Instance.ts"
import type { Open } from "../../../src/gateway/Queries.ts"
import type { Run } from "../Run.ts"
import { ConversationReference } from "./ConversationReference.ts"
import type { Attempt, Process } from "./Engine.ts"
import * as Excuses from "./Excuses.ts"
import * as Scenario from "./Scenario.ts"
import type { Exchange, Link, Listener } from "./Wiretap.ts"

/** What is known of one query. */
export interface Followed {
  readonly client: Scenario.Client
  readonly request: Scenario.Request
  readonly key: string | undefined
  readonly beganAt: number
  /** What the gateway keeps of it, if it has taken it up. */
  open: Open | undefined
  /** The addresses that were asked. */
  readonly asked: Array<string>
  readonly exchanges: Array<Exchange>
  readonly attempts: Array<Attempt>
  /** When somebody cancelled it by its id, and when its client went away. */
  cancelledAt: number | undefined
  leftAt: number | undefined
  /** When its client had seen its end. */
  endedAt: number | undefined
  /** What its client has seen: the bytes of a whole result, or an error, or nothing since it was gone. */
  outcome: "complete" | "cancelled" | "failed" | "gone" | undefined
}

/** How long a cancel may take: a connection whose server does not answer to it is dropped then. */
const cancelTimeout = 5000

/** How much later than asked for something may happen that has a limit. */
const late = (millis: number) => millis * 0.02 + 150

const nothingWasRun = ["overloaded", "shutting_down"]

export class Judge implements Listener {
  readonly followed = new Map<number, Followed>()
  readonly conversations: ConversationReference
  readonly scenario: Scenario.Scenario
  readonly run: Run
  readonly links: Array<Link> = []
  private readonly attempts: Array<Attempt> = []
  private readonly probes: Array<Exchange> = []
  /** Since when each address has been out of use. */
  private readonly outSince = new Map<string, number>()
  /** The request that each attempt answers. */
  private readonly exchangeOf = new Map<Attempt, Exchange>()
  private readonly logged: Array<string> = []
  private ticks = 0
  /** Whether the gateway has been told to stop. */
  isDraining = false
  private hasDrained = false

  constructor(run: Run, scenario: Scenario.Scenario) {
    this.run = run
    this.scenario = scenario
    this.conversations = new ConversationReference(run, scenario.gateway.conversationTimeout)
  }

  readonly tick = (): number => ++this.ticks

  private wrong(what: string): void {
    this.run.wrong("judge", what)
  }

  private of(query: number): Followed {
    const found = this.followed.get(query)
    if (found === undefined) throw new Error(`Query ${query} has not begun`)
    return found
  }

  /** A client asks. */
  begins(client: Scenario.Client, request: Scenario.Request): Followed {
    const { id } = request.query
    const followed: Followed = {
      ...{ client, request, key: ConversationReference.key(client.caller, request), beganAt: this.run.now },
      ...{ open: undefined, asked: [], exchanges: [], attempts: [] },
      ...{ cancelledAt: undefined, leftAt: undefined, endedAt: undefined, outcome: undefined }
    }
    this.followed.set(id, followed)
    return followed
  }

  /** The gateway has taken a query up. */
  takesUp(query: number, open: Open): void {
    const followed = this.of(query)
    if (this.hasDrained) this.wrong(`query ${query} is taken up by a gateway that has stopped`)
    const running = [...this.followed.values()].filter(
      ({ client, open }) => client.caller === followed.client.caller && open?.entry.state === "running"
    )
    if (followed.client.caller !== "" && running.length >= this.scenario.quota) {
      this.wrong(`caller ${followed.client.caller} has ${running.length + 1} queries`)
    }
    followed.open = open
    if (followed.key !== undefined) this.conversations.begins(followed.key, query)
  }

  /** The gateway hands a query to the pool of an address. */
  asks(instance: Instance, query: number): void {
    const { asked, key, open } = this.of(query)
    const { address, state } = instance
    asked.push(address)
    this.run.tell("gateway", `asks ${address} for query ${query}`)
    if (open?.entry.state !== "running" || open.control.stoppedBy !== undefined) {
      this.wrong(`query ${query} is asked for although it has ended`)
    }
    if (state !== "up") this.wrong(`query ${query} goes to ${address}, which is ${state}`)
    if (key !== undefined) this.conversations.goes(key, query, address)
  }

  /** An address is not in use any more. */
  leaves({ address, state }: Instance): void {
    this.run.tell("gateway", `leaves ${address}, which is ${state}`)
    this.outSince.set(address, this.tick())
  }

  /** It is in use again. */
  returns({ address }: Instance): void {
    this.run.tell("gateway", `comes back to ${address}`)
    const since = this.outSince.get(address) ?? 0
    const answered = this.probes.some(
      ({ accepted, link, terminal, tick }) =>
        link.address === address && tick > since && (accepted || terminal !== undefined)
    )
    const refused = this.links.some((link) => link.address === address && link.refusedTick > since)
    if (!answered && !refused) this.wrong(`the gateway comes back to ${address}, which has not answered`)
  }

  readonly opened = (link: Link): void => {
    this.links.push(link)
  }

  /** A request has been given to a connection. */
  readonly sent = (exchange: Exchange): void => {
    if (exchange.query === undefined) {
      this.probes.push(exchange)
      return
    }
    const { exchanges } = this.of(exchange.query)
    for (const { code, link, terminal } of exchanges) {
      if (terminal === "J" && nothingWasRun.includes(code ?? "")) continue
      this.wrong(`query ${exchange.query} is sent again, after ${terminal ?? "nothing"} from ${link.address}`)
    }
    exchanges.push(exchange)
  }

  /** An engine has begun a query. */
  readonly began = (attempt: Attempt): void => {
    const { query, process } = attempt
    const { attempts, exchanges } = this.of(query)
    const { drainTick } = process
    const exchange = exchanges.findLast(({ link }) => link.address === process.address)
    if (exchange === undefined) this.wrong(`query ${query} begins at ${process.address}, which was not asked`)
    else this.exchangeOf.set(attempt, exchange)
    if (drainTick !== undefined && (exchange?.tick ?? 0) > drainTick) {
      this.wrong(
        `query ${query} begins at ${process.address}, which had been told to stop before it was sent`
      )
    }
    for (const other of attempts) {
      if (!other.isOver) this.wrong(`query ${query} runs twice at a time`)
      if (other.produced > 0) this.wrong(`query ${query} runs again after ${other.produced} bytes`)
    }
    attempts.push(attempt)
    this.attempts.push(attempt)
  }

  readonly killed = (process: Process): void => {
    for (const attempt of this.attempts) if (attempt.process === process) attempt.isOver = true
  }

  /** A client has been told that its query was accepted. */
  accepted({ key, open, request }: Followed): void {
    const address = open?.entry.instance?.address
    if (address === undefined) this.wrong(`query ${request.query.id} is accepted by nobody`)
    else if (key !== undefined) this.conversations.accepted(key, request.query.id, address)
  }

  /** A query that was cancelled by its id is told to have ended. */
  cancelled(followed: Followed): void {
    const { cancelledAt = 0, open, request } = followed
    const { id } = request.query
    if (open?.entry.state === "running") this.wrong(`query ${id} runs after it has been cancelled`)
    this.stopped(followed, cancelledAt)
  }

  /** The query's scope has closed. What its client has seen: the bytes of a whole result, or an error. */
  ended(followed: Followed, exit: Exit.Exit<Uint8Array, GatewayError.GatewayError>): void {
    const { key, leftAt, open, request } = followed
    const { id } = request.query
    followed.endedAt = this.run.now
    if (open !== undefined && key !== undefined) {
      const address = open.entry.instance?.address
      if (address !== undefined) this.conversations.accepted(key, id, address)
      this.conversations.ends(key, id)
    }
    if (exit._tag === "Success") {
      followed.outcome = "complete"
      this.run.tell(`client ${followed.client.id}`, `has query ${id}`)
      this.whole(followed, exit.value)
    } else {
      const error = Cause.findErrorOption(exit.cause)
      if (error._tag === "Some") {
        const { code, message } = error.value
        followed.outcome = code === "cancelled" ? "cancelled" : "failed"
        this.run.tell(`client ${followed.client.id}`, `query ${id} fails: ${code}: ${message}`)
        const problem = Excuses.missing(this, followed, error.value)
        if (problem !== undefined) this.wrong(`query ${id} fails with ${code}, but ${problem}`)
      } else {
        followed.outcome = "gone"
        if (leftAt === undefined) this.wrong(`query ${id} breaks: ${exit.cause}`)
      }
    }
    if (open !== undefined) this.verdict(followed)
    this.stopped(followed, leftAt ?? this.run.now)
  }

  /** A result is whole only if one engine has given all of it away. */
  private whole({ attempts, request }: Followed, bytes: Uint8Array): void {
    const { query } = request
    const attempt = attempts.at(-1)
    if (attempt?.isWhole !== true) this.wrong(`query ${query.id} is complete, but its engine was not done`)
    const wrong = bytes.findIndex((byte, i) => byte !== Scenario.byteAt(query, i))
    if (wrong >= 0) this.wrong(`byte ${wrong} of query ${query.id} is wrong`)
    const size = Scenario.size(query)
    if (bytes.length !== size)
      this.wrong(`query ${query.id} is complete with ${bytes.length} bytes of ${size}`)
  }

  /** The verdict says what the client has seen. */
  private verdict({ open, outcome, request }: Followed): void {
    const { id } = request.query
    const state = open?.entry.state
    if (state === "running") this.wrong(`query ${id} has ended, and its verdict says that it runs`)
    // To a client that has gone it may have ended in any way just before.
    else if (outcome !== "gone" && state !== outcome) {
      this.wrong(`query ${id} is ${outcome} for its client, and ${state} in its verdict`)
    }
  }

  /** Nothing of a query that has ended is left at a back-end, unless its connection has broken. */
  private stopped({ attempts, exchanges, request }: Followed, since: number): void {
    const { id } = request.query
    const { now } = this.run
    for (const { link, terminal } of exchanges) {
      if (terminal === undefined && !link.isOver) {
        this.wrong(`query ${id} has ended, and goes on at ${link.address}`)
      }
    }
    for (const attempt of attempts) {
      const { terminal } = this.exchangeOf.get(attempt) ?? {}
      if (terminal === undefined || attempt.isOver) continue
      this.wrong(`query ${id} has ended, and its engine at ${attempt.process.address} has not`)
    }
    const took = now - since
    if (took > cancelTimeout + late(cancelTimeout)) this.wrong(`query ${id} takes ${took} ms to stop`)
  }

  /** The gateway has logged the end of a query. */
  readonly ends = (id: string, state: string): void => {
    this.logged.push(`${id} ${state}`)
  }

  /** The gateway says that it has stopped. */
  drained(): void {
    this.hasDrained = true
    for (const [id, { open }] of this.followed) {
      if (open?.entry.state === "running") this.wrong(`query ${id} runs after the gateway has stopped`)
    }
  }

  /** All is over. */
  atEnd(): void {
    const told = [...this.followed.values()].flatMap(({ open }) =>
      open === undefined ? [] : [`${open.entry.id} ${open.entry.state}`]
    )
    const [expected, logged] = [told.sort().join(", "), [...this.logged].sort().join(", ")]
    if (expected !== logged) this.wrong(`the log tells of ${logged}, and not of ${expected}`)
    for (const { isOver, process, query } of this.attempts) {
      if (!isOver) this.wrong(`query ${query} still runs at ${process.address}`)
    }
    for (const followed of this.followed.values()) if (followed.open !== undefined) this.verdict(followed)
  }
}
