/**
 * A response that the server gives on its own account, such as the acknowledgement of a cancel: one small frame,
 * for which the client waits.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type * as Frame from "../wire/Frame.ts"
import type * as FrameWriter from "../wire/FrameWriter.ts"
import type { QueryDriver } from "./QueryDriver.ts"
import type { Turn } from "./Turns.ts"

/** What such a response needs of those that it is one of. */
export interface Host {
  readonly writer: FrameWriter.FrameWriter
  readonly isOpen: boolean
  readonly announce: (request: Uint8Array, then: () => void) => void
  /** What the machine has decided on, if it still wants to answer. */
  readonly nextAnswer: Frame.Frame | undefined
  readonly terminalBegun: (now: number) => void
  readonly answered: (query: QueryDriver | undefined, frame: Frame.Frame) => void
  readonly failed: (query: QueryDriver | undefined, cause: Cause.Cause<FrameWriter.Failure>) => void
}

/** The answer to a request for which no query was started, or to that of the query which was stopped for it. */
export const make = (host: Host, request: Uint8Array | undefined, query: QueryDriver | undefined): Turn =>
  new ServerAnswer(host, request, query)

class ServerAnswer implements Turn, FrameWriter.Submission {
  readonly urgent = true
  private readonly host: Host
  private readonly request: Uint8Array | undefined
  private readonly query: QueryDriver | undefined
  private answer: Frame.Frame | undefined
  private submitted = false
  private over = false

  constructor(host: Host, request: Uint8Array | undefined, query: QueryDriver | undefined) {
    this.host = host
    this.request = request
    this.query = query
  }

  start(): void {
    if (this.request === undefined) this.submit()
    else this.host.announce(this.request, this.submit)
  }

  abandon(): void {
    if (this.submitted) this.ended(Exit.interrupt())
  }

  private readonly submit = (): void => {
    this.submitted = true
    if (this.host.isOpen) this.host.writer.submit(this)
    else this.abandon()
  }

  take(now: number): ReadonlyArray<Frame.Frame> {
    this.answer = this.host.nextAnswer
    if (this.answer === undefined) return []
    this.host.terminalBegun(now)
    return [this.answer]
  }

  ended(exit: Exit.Exit<void, FrameWriter.Failure>): void {
    if (this.over) return
    this.over = true
    this.host.writer.withdraw(this)
    if (Exit.isFailure(exit)) this.host.failed(this.query, exit.cause)
    else if (this.answer === undefined) this.host.failed(this.query, Cause.interrupt())
    else this.host.answered(this.query, this.answer)
  }
}
