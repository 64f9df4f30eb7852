/**
 * What one client may see, after PROTOCOL.md §2 and the contracts of the engine: fed with what the client sends
 * and receives, it tells the run of everything that may not be.
 */
import type { Run } from "./Run.ts"
import * as Scenario from "./Scenario.ts"
import type { ServerReference } from "./ServerReference.ts"
import type { Fate } from "./SimulatedEngine.ts"
import type { Message } from "./Wire.ts"

/** One request and its response, as far as it has come. */
export interface Exchange {
  readonly request: Scenario.Request
  readonly sentAt: number
  cancelled: boolean
  accepted: boolean
  received: number
  /** The letter that ended the response. */
  terminal: string | undefined
}

export interface Options {
  readonly run: Run
  readonly who: string
  readonly scenario: Scenario.Scenario
  readonly client: Scenario.Client
  readonly server: ServerReference
  readonly fates: ReadonlyMap<number, Fate>
}

const decoder = new TextDecoder()

/** Whether a reject or an error says that the server closes the connection after it. */
export const isClosing = ({ body }: Message): boolean => /"closing":true\}$/.test(decoder.decode(body))

export class Reference {
  readonly exchanges: Array<Exchange> = []
  /** Whether the client has broken the protocol: then the server may close at any time. */
  violated = false
  /** Whether the client has gone, has stopped sending, or has stopped in the middle of a frame. */
  left = false
  /** Whether the network has lost what was under way. */
  lost = false
  /** Whether the server has said that it closes. */
  goodbye = false
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  get current(): Exchange | undefined {
    return this.exchanges.at(-1)
  }

  sent(request: Scenario.Request): Exchange {
    const exchange: Exchange = {
      request,
      sentAt: this.options.run.now,
      cancelled: false,
      accepted: false,
      received: 0,
      terminal: undefined
    }
    this.exchanges.push(exchange)
    return exchange
  }

  received(message: Message): void {
    // Whatever is left of a response to a client that breaks the protocol, it is nobody's promise.
    if (this.violated) return void this.passBy(message)
    if (message.type === "H") return void this.expect(message.body.length === 0, "H has a body")
    const { current } = this
    this.expect(!this.goodbye, `${message.type} after a goodbye`)
    this.goodbye = "JE".includes(message.type) && isClosing(message)
    if (current === undefined || current.terminal !== undefined) {
      return void this.expect(this.goodbye && message.type === "J", `${message.type} without a request`)
    }
    this.inOrder(current, message)
    this.content(current, message)
    if ("JFEK".includes(message.type)) this.ended(current, message)
  }

  private passBy({ type }: Message): void {
    if (this.current !== undefined && "JFEK".includes(type)) this.current.terminal ??= type
  }

  /** The grammar: `J`, `A I* F`, `A I* E`, `A I* K` or `K`. */
  private inOrder(exchange: Exchange, { type }: Message): void {
    switch (type) {
      case "A":
        this.expect(!exchange.accepted, "a second A")
        exchange.accepted = true
        return
      case "J":
        return void this.expect(!exchange.accepted, "J after A")
      case "I":
      case "F":
      case "E":
        return void this.expect(exchange.accepted, `${type} before A`)
      case "K":
        return void this.expect(exchange.cancelled, "K without a C")
      default:
        return void this.expect(false, `${type} from a server`)
    }
  }

  private content(exchange: Exchange, message: Message): void {
    const { query } = exchange.request
    switch (message.type) {
      case "A":
        this.expect(query.init === "accept", `A for a query that ends in ${query.init}`)
        return void this.expect(
          decoder.decode(message.body) === Scenario.accept(query),
          "another query's accept"
        )
      case "I":
      case "F":
        return void this.chunk(exchange, message)
      case "J":
        return void this.refusal(exchange, message)
      case "E":
        return void this.error(exchange, message)
      case "K":
        return void this.expect(message.body.length === 0, "K has a body")
    }
  }

  private chunk(exchange: Exchange, { body, type }: Message): void {
    const { client, fates, scenario } = this.options
    const { query } = exchange.request
    this.expect(body.length <= scenario.settings.chunkSize, `a chunk of ${body.length} bytes`)
    const wrong = body.findIndex((byte, i) => byte !== Scenario.byteAt(query, exchange.received + i))
    this.expect(wrong < 0, `byte ${exchange.received + wrong} of query ${query.id} is wrong`)
    exchange.received += body.length
    const produced = fates.get(query.id)?.produced ?? 0
    this.expect(exchange.received <= produced, `more bytes of query ${query.id} than there are`)
    if (type !== "F") return
    this.expect(
      query.ending === "complete",
      `F for a query of client ${client.id} that ends in ${query.ending}`
    )
    this.expect(exchange.received === Scenario.size(query), `F after ${exchange.received} bytes`)
  }

  private refusal(exchange: Exchange, { body }: Message): void {
    const { query } = exchange.request
    const text = decoder.decode(body)
    if (text === Scenario.reject(query)) return void this.expect(query.init === "reject", "J, but no reject")
    if (JSON.parse(text).code === "internal") {
      return void this.expect(/defect|interrupt/.test(query.init), `internal, but ${query.init}`)
    }
    this.own(exchange, text)
  }

  private error(exchange: Exchange, { body }: Message): void {
    const { query } = exchange.request
    const text = decoder.decode(body)
    const whole = exchange.received === Scenario.size(query)
    if (text === Scenario.error(query)) {
      return void this.expect(query.ending === "fail" && whole, `E after ${exchange.received} bytes`)
    }
    if (JSON.parse(text).code === "internal") {
      return void this.expect(whole && /defect|interrupt/.test(query.ending), `internal, but ${query.ending}`)
    }
    this.own(exchange, text)
  }

  /** A response that the server gives on its own account needs a reason. */
  private own(exchange: Exchange, text: string): void {
    const { client, run, scenario, server } = this.options
    const { query } = exchange.request
    const { closing, code, message } = JSON.parse(text)
    const { timeout = Number.POSITIVE_INFINITY } = query
    const limit = Math.min(Number(scenario.settings.queryTimeout), exchange.accepted ? timeout : Infinity)
    const late = run.now - exchange.sentAt >= limit
    const allowed: Record<string, () => boolean> = {
      // A goodbye that crosses a request answers it; whether it was time for that, the server's watch knows.
      shutting_down: () =>
        run.now >= server.expiresAt ||
        (closing && !exchange.accepted && (run.now >= server.stopsAt || /No request came/.test(message))),
      timeout: () => late,
      // Only a query that had begun by then was in the process.
      engine_lost: () => {
        const startedAt = this.options.fates.get(query.id)?.startedAt ?? Number.POSITIVE_INFINITY
        return scenario.losses.some((at) => at >= startedAt && at <= run.now)
      },
      overloaded: () => {
        if (exchange.accepted) {
          const least = Number(scenario.settings.stallTimeout) + Number(scenario.settings.queueTimeout)
          return /stallTimeout/.test(message) && run.now - exchange.sentAt >= least
        }
        if (/queueTimeout/.test(message)) {
          return run.now - exchange.sentAt >= Number(scenario.settings.queueTimeout)
        }
        if (/maxQueriesPerAddress/.test(message)) return server.wasAddressFull(query.id)
        if (/taken this one's place/.test(message)) return server.mayBeDisplaced(query.id)
        return /maxQueuedQueries/.test(message) ? server.wasFull(query.id) : server.refuses(client)
      }
    }
    this.expect(allowed[code]?.() === true, `${code} after ${run.now - exchange.sentAt} ms of ${limit} ms`)
  }

  private ended(exchange: Exchange, { type }: Message): void {
    const { fates } = this.options
    const { query } = exchange.request
    exchange.terminal = type
    const fate = fates.get(query.id)
    const open = fate !== undefined && fate.endedAt === undefined
    this.expect(!open, `${type} while query ${query.id} is open`)
  }

  expect(condition: boolean, otherwise: string): void {
    if (!condition) this.options.run.wrong(this.options.who, otherwise)
  }
}
