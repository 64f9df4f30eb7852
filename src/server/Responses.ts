/**
 * The responses of a connection, one after the other, and what an embedder is told of each.
 *
 * A request may arrive when the last bytes of the response before it have not been taken by the socket: it waits in a
 * fiber of its own, so that the machine hears of messages behind it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Message from "../protocol/Message.ts"
import type { Step } from "./ConnectionEvents.ts"
import type { Outcome, PendingResponse } from "./PendingResponse.ts"
import * as RequestQuota from "./RequestQuota.ts"
import type { ControlStatistics } from "./Statistics.ts"

export interface Dependencies {
  /** The memory of requests that wait. */
  readonly quota: RequestQuota.Quota
  /** The scope of the responses' fibers. */
  readonly scope: Scope.Scope
  /** Tells the embedder of a step; `undefined` if nobody listens. */
  readonly publish: ((step: Step) => Effect.Effect<void>) | undefined
}

const forked = { startImmediately: true, uninterruptible: true } as const

/**
 * The effect, to be run once, and not kept from then on. A fiber's observers lie where only a full collection finds them
 * once there are hundreds of connections, and keep what was forked: 48,000 small queries on 1000 connections left 23 MB
 * there to 97, and their collections stopped the thread for 0.16 s to 0.65.
 */
const once = (effect: Effect.Effect<void>): Effect.Effect<void> => {
  let held: Effect.Effect<void> | undefined = effect
  return Effect.suspend(() => {
    const effect = held ?? Effect.void
    held = undefined
    return effect
  })
}

export class Responses {
  private readonly dependencies: Dependencies
  private current: PendingResponse | undefined
  /** The memory of the request that waits. */
  private hold: RequestQuota.Hold | undefined
  private isStopped = false
  /** The fiber that tells the embedder of the current request. */
  private announcing: Fiber.Fiber<void> | undefined
  /** Where effects run that no fiber is left for. */
  private context = Context.empty()
  /** How the current response ended, and the fiber that tells the embedder of it. */
  private last: Step | undefined
  private tell: (() => void) | undefined
  private waiter: (() => void) | undefined
  private rejects = 0
  private cancels = 0

  constructor(dependencies: Dependencies) {
    this.dependencies = dependencies
  }

  /** The response that has not been written to its end. */
  get pending(): PendingResponse | undefined {
    return this.current
  }

  /** Whether there is memory for a request, if it has to wait. */
  mayBegin(body: Uint8Array): boolean {
    if (this.current === undefined) return true
    this.hold = new RequestQuota.Hold(this.dependencies.quota)
    return this.hold.resize(body.length)
  }

  /** Starts what {@link begin} gives, in a fiber of its own. */
  fork(response: Effect.Effect<void>): Effect.Effect<unknown> {
    return Effect.withFiber((parent) => {
      this.context = parent.context
      return Effect.map(Effect.forkIn(once(response), this.dependencies.scope, forked), (fiber) =>
        fiber.addObserver(this.observed)
      )
    })
  }

  /** One for all fibers, for it must not keep what was forked. */
  private readonly observed = (exit: Exit.Exit<void>): void => {
    const runner = this.current?.runner
    if (Exit.isSuccess(exit) || runner === undefined) return
    const rest = Effect.andThen(runner.broke(exit.cause), this.ending)
    Effect.runForkWith(this.context)(Effect.forkIn(rest, this.dependencies.scope, forked))
  }

  /** Answers one request, when the response before it has been written. An embedder is told before and after. */
  begin(body: Uint8Array, pending: PendingResponse, response: Effect.Effect<void>): Effect.Effect<void> {
    if (this.current === undefined) return this.inTurn(body, pending, response)
    const waited = Effect.ensuring(
      this.settled,
      Effect.sync(() => this.hold?.release())
    )
    return Effect.andThen(
      waited,
      Effect.suspend(() => this.inTurn(body, pending, response))
    )
  }

  private inTurn(
    body: Uint8Array,
    pending: PendingResponse,
    response: Effect.Effect<void>
  ): Effect.Effect<void> {
    this.current = pending
    const { publish } = this.dependencies
    if (publish === undefined) return response
    return Effect.andThen(
      this.announce(publish({ _tag: "Request", body })),
      Effect.andThen(response, this.ending)
    )
  }

  /** What follows the end of the current response, if somebody is told of it. */
  private get ending(): Effect.Effect<void> {
    const { publish } = this.dependencies
    if (publish === undefined) return Effect.void
    return Effect.flatMap(this.told, (step) => Effect.map(publish(step), () => this.settle()))
  }

  /** The end of the connection waits for the events that it brings, but not for this one. */
  private announce(published: Effect.Effect<void>): Effect.Effect<unknown> {
    const fiber = Effect.forkIn(published, this.dependencies.scope, { startImmediately: true })
    return Effect.flatMap(fiber, (announcing) => {
      this.announcing = announcing
      if (this.isStopped) announcing.interruptUnsafe()
      return Fiber.await(announcing)
    })
  }

  /** The connection ends. */
  stop(): void {
    this.isStopped = true
    this.announcing?.interruptUnsafe()
  }

  /** The current response is over. `isWriteFailure` says whether the connection ends because of a write. */
  over(pending: PendingResponse, outcome: Outcome, isWriteFailure: boolean): void {
    this.count(outcome)
    if (this.dependencies.publish === undefined) {
      this.settle()
    } else {
      this.last = stepOf(pending, outcome, isWriteFailure)
      this.tell?.()
    }
  }

  private count(outcome: Outcome): void {
    if (outcome._tag === "Broken") return
    if (outcome.terminal.type === Message.Type.Reject) this.rejects++
    else if (outcome.terminal.type === Message.Type.CancelAcknowledged) this.cancels++
  }

  /** Waits until the current response is over. */
  private get told(): Effect.Effect<Step> {
    return Effect.callback((resume) => {
      this.tell = () => {
        if (this.last === undefined) return
        const step = this.last
        this.last = undefined
        this.tell = undefined
        resume(Effect.succeed(step))
      }
      this.tell()
    })
  }

  /** The next request has its turn. */
  private settle(): void {
    this.current = undefined
    const { waiter } = this
    this.waiter = undefined
    waiter?.()
  }

  /** Waits until no response is under way. */
  get settled(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.current === undefined) return resume(Effect.void)
      if (this.waiter !== undefined) throw new Error("A connection settles for one waiter at a time")
      this.waiter = () => resume(Effect.void)
      return Effect.sync(() => {
        this.waiter = undefined
      })
    })
  }

  statistics(): Pick<ControlStatistics, "rejected" | "cancelled"> {
    return { rejected: this.rejects, cancelled: this.cancels }
  }
}

/** What an embedder is told of the end of a response. */
const stepOf = (pending: PendingResponse, outcome: Outcome, isWriteFailure: boolean): Step => {
  if (outcome._tag === "Broken") {
    const reason = outcome.isWriteFailure || isWriteFailure ? "fail" : "abort"
    return { _tag: "Aborted", query: pending.statistics(reason) }
  }
  const { body, type } = outcome.terminal
  switch (type) {
    case Message.Type.Reject:
      return { _tag: "Rejected", payload: body, query: pending.statistics("reject") }
    case Message.Type.Error:
      return { _tag: "Failed", payload: body, query: pending.statistics("error") }
    case Message.Type.CancelAcknowledged:
      return { _tag: "Cancelled", query: pending.statistics("cancel") }
    default:
      return { _tag: "Completed", query: pending.statistics("complete") }
  }
}
