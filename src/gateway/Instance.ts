/** One address of a back-end: the pool of connections to it, its load, and whether it is in use. */
import type * as Client from "../client/Client.ts"
import type * as ClientPool from "../client/ClientPool.ts"

/**
 * Whether the address gets requests. An ejected address has failed several times in a row, and a draining one
 * has reported its stop: both return after a successful probe.
 */
export type State = "up" | "ejected" | "draining"

/** The outcome of a request for the address. */
export type Outcome = "answered" | "failed" | "draining"

export class Instance {
  /** The name of the back-end. */
  readonly backend: string
  /** Its index among the addresses of the back-end. */
  readonly index: number
  readonly address: string
  readonly client: ClientPool.PoolService
  /** The client for the gateway's own requests. */
  readonly prober: Client.ClientService
  /** The number of requests that wait or run there. */
  inFlight = 0
  private current: State = "up"
  private failures = 0
  private hasAnswered = false
  /** Whether a request has come since the last connection ended. */
  isUsed = false
  private sought = false
  private isParted = false

  constructor(options: {
    readonly backend: string
    readonly index: number
    readonly address: string
    readonly client: ClientPool.PoolService
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

  /**
   * The reported state: an address in use is `unknown` before its first answer, and after a failure or the
   * end of its last connection.
   */
  get told(): State | "unknown" {
    return this.current === "up" && (this.isParted || !this.answers) ? "unknown" : this.current
  }

  /** Whether the address is in use, and its last outcome was an answer. */
  get answers(): boolean {
    return this.current === "up" && this.hasAnswered && this.failures === 0
  }

  /** A request is sent to the address. Returns the function that ends it, once however often it is called. */
  enter(): () => void {
    this.inFlight++
    this.isUsed = true
    let isOver = false
    return () => {
      if (!isOver) this.inFlight--
      isOver = true
    }
  }

  /** Records an outcome. Returns whether it put the address out of use, so that it has to be probed. */
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
   * The last connection to the address was lost, or its server has closed it, so it is unknown whether it can
   * be reached. That is checked once after requests: a server that closes idle connections would otherwise be
   * probed without end.
   */
  lost(): void {
    this.hasAnswered = false
    this.sought ||= this.isUsed
    this.isUsed = false
  }

  /** The last connection was closed because it was idle: the state of the server is unknown. */
  parted(): void {
    this.isParted = true
    this.isUsed = false
  }

  /** The state was asked for. */
  asked(): void {
    this.sought ||= this.isParted
  }

  /** Whether to check if the address can be reached. */
  get isSought(): boolean {
    return this.sought && this.current === "up"
  }

  /** The address has answered, though earlier requests may have failed. */
  found(): void {
    this.hasAnswered = true
    this.isParted = false
    this.sought = false
  }

  /** A probe was successful. */
  restore(): void {
    this.current = "up"
    this.failures = 0
    this.found()
  }
}

/** The least busy of the addresses that are in use and were not tried; the first of equals. */
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
