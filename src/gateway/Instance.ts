/**
 * One address of a back-end: the pool of connections to it, how busy it is, and whether it is in use.
 */
import type * as Client from "../client/Client.ts"

/**
 * Whether requests go there. An ejected address has failed several times in a row, and a draining one has said that it
 * stops: both come back once a probe was answered.
 */
export type State = "up" | "ejected" | "draining"

/** What happened to a request, as far as the address is concerned. */
export type Outcome = "answered" | "failed" | "draining"

export class Instance {
  /** The name of the back-end. */
  readonly backend: string
  /** Its place among the addresses of the back-end. */
  readonly index: number
  readonly address: string
  readonly client: Client.ClientService
  /** For what the gateway asks itself. */
  readonly prober: Client.ClientService
  /** Requests that wait there or run there. */
  inFlight = 0
  private current: State = "up"
  private failures = 0
  private hasAnswered = false
  /** Whether a request has come since the last connection has gone. */
  isUsed = false
  private sought = false
  private isParted = false

  constructor(options: {
    readonly backend: string
    readonly index: number
    readonly address: string
    readonly client: Client.ClientService
    readonly prober: Client.ClientService
  }) {
    this.backend = options.backend
    this.index = options.index
    this.address = options.address
    this.client = options.client
    this.prober = options.prober
  }

  get state(): State {
    return this.current
  }

  /** The state as it is told: whether an address that is in use can be reached shows with its first answer since it was lost. */
  get told(): State | "unknown" {
    return this.current === "up" && (this.isParted || !this.answers) ? "unknown" : this.current
  }

  /** Whether it is in use, and has answered the last time. */
  get answers(): boolean {
    return this.current === "up" && this.hasAnswered && this.failures === 0
  }

  /** A request is sent there. Returns how it leaves, once however often that is called. */
  enter(): () => void {
    this.inFlight++
    this.isUsed = true
    let isOver = false
    return () => {
      if (!isOver) this.inFlight--
      isOver = true
    }
  }

  /** Takes note of an outcome. Whether the address has gone out of use by it, so that it has to be probed. */
  note(outcome: Outcome, ejectAfter: number): boolean {
    if (outcome === "answered") {
      this.failures = 0
      this.found()
      return false
    }
    this.failures++
    if (this.current !== "up") return false
    if (outcome === "draining") this.current = "draining"
    else if (this.failures >= ejectAfter) this.current = "ejected"
    return this.current !== "up"
  }

  /**
   * The last connection to the address was lost, or its server has ended it: whether it can be reached is not known any
   * more. That is to be found out once for the requests before: a server that ends connections which nobody uses would be
   * asked without end.
   */
  lost(): void {
    this.hasAnswered = false
    this.sought ||= this.isUsed
    this.isUsed = false
  }

  /** The last connection was closed, since nobody used it: what has become of the server does not show. */
  parted(): void {
    this.isParted = true
    this.isUsed = false
  }

  /** Somebody wants to know how it is. */
  asked(): void {
    this.sought ||= this.isParted
  }

  /** Whether it is to be found out if the address can be reached. */
  get isSought(): boolean {
    return this.sought && this.current === "up"
  }

  /** It has answered, though requests before may have failed. */
  found(): void {
    this.hasAnswered = true
    this.isParted = false
    this.sought = false
  }

  /** A probe was answered. */
  restore(): void {
    this.current = "up"
    this.failures = 0
    this.found()
  }
}

/** The least busy of the addresses that are in use, but for those that were tried; the first of several. */
export const leastBusy = (
  instances: ReadonlyArray<Instance>,
  tried: ReadonlyArray<Instance>
): Instance | undefined => {
  let best: Instance | undefined
  for (const instance of instances) {
    if (instance.state !== "up" || tried.includes(instance)) continue
    if (best === undefined || instance.inFlight < best.inFlight) best = instance
  }
  return best
}
