/**
 * The back-ends: sends a request to the least busy address of one, and fails over only if nothing was run.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Client from "../client/Client.ts"
import type { ClientError } from "../client/ClientError.ts"
import * as ClientPool from "../client/ClientPool.ts"
import type { QueryRejected } from "../engine/QueryEngine.ts"
import * as Spawner from "../loop/Spawner.ts"
import * as Address from "../net/Address.ts"
import * as Tcp from "../net/Tcp.ts"
import type * as Transport from "../net/Transport.ts"
import * as Value from "../settings/Value.ts"
import * as GatewayError from "./GatewayError.ts"
import { Instance, leastBusy, type Outcome } from "./Instance.ts"
import * as Readiness from "./Readiness.ts"

/**
 * The location of a server: an address, or a connection within the process.
 *
 * @category models
 * @since 0.1.0
 */
export type Place = Address.Input | { readonly name: string; readonly connect: Transport.Open }

/** The addresses of each back-end by its name. */
export type Places = Readonly<Record<string, ReadonlyArray<Place>>>

export interface Options {
  readonly backends: Places
  readonly pool: Partial<ClientPool.PoolSettings>
  /** The number of consecutive failures after which an address is ejected. */
  readonly ejectAfter: number
  /** The interval of probes of an address that is out of use. */
  readonly probeInterval: Duration.Duration
}

/** A response, and the address that gives it. */
export interface Answer extends Client.Response {
  readonly instance: Instance
}

/** A back-end by its name and addresses. */
export interface Backend {
  readonly name: string
  readonly instances: ReadonlyArray<Instance>
}

/** A request to a back-end. */
export interface Sent {
  readonly body: Uint8Array
  /** Whether the request asks for a receipt. */
  readonly receipt: boolean
  /** Called when the response is complete, also if it was cancelled too late. */
  readonly onComplete?: (() => void) | undefined
  /** Called with each address that is tried. */
  readonly tried?: ((instance: Instance) => void) | undefined
  /**
   * Called with true when an address may have run the request, and with false when it reports that it did
   * not.
   */
  readonly mayRun?: ((mayRun: boolean) => void) | undefined
  /** Ends the response, because its client does not read while others wait. */
  readonly evict?: Effect.Effect<void> | undefined
  /** The constraints of its conversation on the address. */
  readonly home?: Home | undefined
}

/** The address of a conversation's queries. */
export interface Home {
  /** The address that is tried first. */
  readonly preferred: () => Instance
  /** Whether other addresses are excluded. */
  readonly isFixed: () => boolean
  /** Called when an address is tried. */
  readonly tried: (instance: Instance) => void
}

export interface Backends {
  readonly all: ReadonlyArray<Backend>
  readonly get: (name: string) => Backend | undefined
  /** Sends a request to one of the addresses. The scope owns the response. */
  readonly request: (
    instances: ReadonlyArray<Instance>,
    sent: Sent
  ) => Effect.Effect<Answer, GatewayError.GatewayError, Scope.Scope>
  /** Whether an address would answer a query. */
  readonly isReady: Effect.Effect<boolean>
  /** Called when the states are read: checks addresses in unknown states, for the next time. */
  readonly observed: Effect.Effect<void>
  /** Records that the response of an address has failed. */
  readonly failed: (instance: Instance, error: GatewayError.Upstream) => void
}

const encoder = new TextEncoder()

/** Any answer to this probe shows that the server is up. */
const probe = encoder.encode(JSON.stringify({ version: "v1", query: "SELECT 1" }))

/** Errors of requests that were not sent, for reasons unrelated to the address. */
const ownReasons: ReadonlyArray<string> = ["TooManyRequests", "QueueTimeout", "RequestTooLarge"]

/** The outcome for the address of an error, if the error concerns it. */
const outcomeOf = (error: GatewayError.Upstream): Outcome | undefined => {
  if (error._tag === "ClientError") return ownReasons.includes(error.reason._tag) ? undefined : "failed"
  if (error._tag === "QueryRejected" && isWithoutEngine(error)) return "failed"
  return GatewayError.fromUpstream(error).code === "shutting_down" ? "draining" : "answered"
}

/** A server that cannot start its engine answers no queries. */
const isWithoutEngine = ({ payload }: QueryRejected): boolean => {
  const { code, retryable } = GatewayError.fromBody(payload)
  return code === "engine_lost" && retryable
}

/** Whether an error means that nothing was run, and another address might take the request. */
const mayGoElsewhere = (error: QueryRejected | ClientError): boolean => {
  if (error._tag === "QueryRejected") {
    const { code } = GatewayError.fromBody(error.payload)
    return ["overloaded", "shutting_down"].includes(code) || isWithoutEngine(error)
  }
  return ["ConnectFailed", "ConnectionClosed", "TooManyRequests"].includes(error.reason._tag)
}

const words = ({ address, backend }: Instance): string => `The back-end ${backend} at ${address}`

/** The ways in which the last connection to a place ends. */
interface Ends {
  /** The connection was lost, or its server has closed it. */
  readonly lost: () => void
  /** The pool has closed it. */
  readonly parted: () => void
}

/** The gateway's own requests have a separate connection, and take none from queries. */
const forQuestions = { maxConnections: 1, maxQueuedRequests: 1 }

const connect = Effect.fnUntraced(function* (
  place: Place,
  pool: Options["pool"],
  ofQueries: Ends,
  ofQuestions: Ends
) {
  const { name, open, settings } = yield* opening(place, pool)
  const client = (own: Options["pool"], { lost, parted }: Ends) =>
    ClientPool.overTransports(open, { ...settings, ...own }, name, ({ _tag }, left) => {
      if (left > 0) return
      if (_tag !== "Closed") lost()
      else if (!isWithin(place)) parted()
    })
  return {
    address: name,
    client: yield* client({}, ofQueries),
    prober: yield* client(forQuestions, ofQuestions)
  }
})

const opening = Effect.fnUntraced(function* (place: Place, settings: Options["pool"]) {
  if (isWithin(place)) {
    // Both ends are in one process: silence is no sign of a failure.
    return {
      name: place.name,
      open: place.connect,
      settings: { ...settings, heartbeatTolerance: Duration.infinity }
    }
  }
  const address = yield* Effect.fromResult(Address.fromInput(place, "backends"))
  return { name: Address.format(address), open: Tcp.connect({ address }), settings }
})

/** Whether a place is in the same process. */
const isWithin = (place: Place): place is Exclude<Place, Address.Input> =>
  Value.isRecord(place) && "connect" in place

/** Makes the pools, which connect at the first request. The scope owns them. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Backends, Address.AddressError, Scope.Scope> {
  const spawner = yield* Spawner.make
  const all: Array<Backend> = []
  for (const [name, places] of Object.entries(options.backends)) {
    const instances: Array<Instance> = []
    for (const [index, place] of places.entries()) {
      const ofQueries: Ends = {
        lost: () => {
          instance.lost()
          seek(instance)
        },
        parted: () => instance.parted()
      }
      // This is the last connection if no query has come since the connections of queries ended.
      const ofQuestions: Ends = {
        lost: () => instance.isUsed || instance.lost(),
        parted: () => instance.isUsed || instance.parted()
      }
      const made = yield* connect(place, options.pool, ofQueries, ofQuestions)
      const instance: Instance = new Instance({ backend: name, index, ...made })
      instances.push(instance)
    }
    all.push({ name, instances })
  }
  const byName = new Map(all.map((backend) => [backend.name, backend]))

  const ask = (instance: Instance): Effect.Effect<Outcome | undefined> =>
    Effect.matchCauseEffect(Effect.scoped(instance.prober.request(probe)), {
      onSuccess: () => Effect.as(instance.client.reachable, "answered" as const),
      onFailure: (cause) => {
        const error = Option.getOrUndefined(Cause.findErrorOption(cause))
        return Effect.succeed(error && outcomeOf(error))
      }
    })

  const probing = (instance: Instance): Effect.Effect<void> =>
    Effect.gen(function* () {
      while (instance.state !== "up") {
        yield* Effect.sleep(options.probeInterval)
        if ((yield* ask(instance)) !== "answered") continue
        instance.restore()
        return yield* Effect.logInfo(`${words(instance)} answers again`)
      }
    })

  const looking = new Set<Instance>()

  /** Checks an address whose connections have ended, until it answers or is out of use. */
  const look = (instance: Instance): Effect.Effect<void> =>
    Effect.gen(function* () {
      while (instance.isSought) {
        const outcome = yield* ask(instance)
        if (outcome === "answered") instance.found()
        else note(instance, outcome)
        yield* Effect.sleep(options.probeInterval)
      }
      looking.delete(instance)
    })

  const seek = (instance: Instance): void => {
    if (!instance.isSought || looking.has(instance)) return
    looking.add(instance)
    spawner.spawn(look(instance))
  }

  const note = (instance: Instance, outcome: Outcome | undefined): void => {
    if (outcome === undefined || !instance.note(outcome, options.ejectAfter)) return
    const why = outcome === "draining" ? "shuts down" : "does not answer"
    const told = Effect.logWarning(`${words(instance)} ${why}: no query goes there until it answers`)
    spawner.spawn(Effect.andThen(told, probing(instance)))
  }

  const optionsOf = ({ evict, mayRun, onComplete, receipt }: Sent): Client.RequestOptions => ({
    holdsFinal: receipt,
    onComplete,
    onSent: mayRun && (() => mayRun(true)),
    onEvicted: evict && (() => spawner.spawn(evict))
  })

  /** Tries one address after the other until one answers, or may have run the request. */
  const attempt = (
    instances: ReadonlyArray<Instance>,
    sent: Sent,
    scope: Scope.Scope,
    tried: Array<Instance>,
    last?: GatewayError.GatewayError
  ): Effect.Effect<Answer, GatewayError.GatewayError, Scope.Scope> => {
    let leave = () => {}
    const asking = Effect.suspend(() => {
      // The request has been cancelled before this point.
      if (scope.state._tag === "Closed") return Effect.interrupt
      // Chosen only now: an address may have been ejected in the meantime.
      const allowed = allowedBy(sent.home, instances, tried.length === 0)
      const instance = leastBusy(allowed, tried)
      if (instance === undefined) return Effect.fail(last ?? unavailable(allowed, options))
      tried.push(instance)
      sent.home?.tried(instance)
      sent.tried?.(instance)
      leave = instance.enter()
      return Effect.matchEffect(instance.client.request(sent.body, optionsOf(sent)), {
        onSuccess: (response) => {
          note(instance, "answered")
          return Effect.succeed<Answer>({ ...response, instance })
        },
        onFailure: (error) => {
          leave()
          note(instance, outcomeOf(error))
          const failure = GatewayError.fromUpstream(error)
          if (!mayGoElsewhere(error)) return Effect.fail(failure)
          sent.mayRun?.(false)
          return attempt(instances, sent, scope, tried, failure)
        }
      })
    })
    return Effect.andThen(
      Scope.addFinalizer(
        scope,
        Effect.sync(() => leave())
      ),
      asking
    )
  }

  const request: Backends["request"] = (instances, sent) =>
    Effect.flatMap(Effect.scope, (scope) => attempt(instances, sent, scope, []))

  return {
    all,
    get: (name) => byName.get(name),
    request,
    isReady: yield* Readiness.make(
      all.flatMap(({ instances }) => instances),
      (instance) => Effect.map(ask(instance), (outcome) => note(instance, outcome))
    ),
    observed: Effect.sync(() => {
      for (const instance of all.flatMap(({ instances }) => instances)) {
        instance.asked()
        seek(instance)
      }
    }),
    failed: (instance, error) => note(instance, outcomeOf(error))
  }
})

/** The addresses that a request may be sent to next. */
const allowedBy = (
  home: Home | undefined,
  instances: ReadonlyArray<Instance>,
  isFirst: boolean
): ReadonlyArray<Instance> => {
  if (home === undefined) return instances
  const preferred = home.preferred()
  return home.isFixed() || (isFirst && preferred.state === "up") ? [preferred] : instances
}

/** Every address is out of use. */
export const unavailable = (
  instances: ReadonlyArray<Instance>,
  { probeInterval }: Pick<Options, "probeInterval">
): GatewayError.GatewayError => {
  const states = instances.map(({ address, state }) => `${address} ${state}`).join(", ")
  const name = instances[0]?.backend ?? ""
  return GatewayError.make("backend_unavailable", `No address of the back-end ${name} is in use: ${states}`, {
    retryable: true,
    retryAfterMs: Duration.toMillis(probeInterval)
  })
}
