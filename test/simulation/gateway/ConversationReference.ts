/**
 * Where the queries of a conversation may go: to the address that accepted the first of them, until the conversation
 * has been idle for long.
 */
import type { Run } from "../Run.ts"
import type * as Scenario from "./Scenario.ts"

interface Conversation {
  /** Queries that have begun and not ended. */
  readonly active: Set<number>
  address: string | undefined
  usedAt: number
}

export class ConversationReference {
  private readonly run: Run
  private readonly timeout: number
  private readonly all = new Map<string, Conversation>()
  private readonly homes = new Set<string>()

  constructor(run: Run, timeout: number) {
    this.run = run
    this.timeout = timeout
  }

  /** Each caller and each target has names of its own. */
  static key(caller: string, { conversation, target }: Scenario.Request): string | undefined {
    return conversation === undefined
      ? undefined
      : JSON.stringify([caller === "" ? null : caller, target ?? null, conversation])
  }

  get keys(): ReadonlyArray<string> {
    return [...this.all.keys()]
  }

  begins(key: string, query: number): void {
    const found = this.all.get(key)
    const isOver = found?.active.size === 0 && this.run.now - found.usedAt >= this.timeout
    const conversation =
      found === undefined || isOver ? { active: new Set<number>(), address: undefined, usedAt: 0 } : found
    conversation.active.add(query)
    this.all.set(key, conversation)
  }

  /** Whether it has been accepted anywhere. A query that the gateway refuses prolongs it, too. */
  hasBeen(key: string): boolean {
    return this.homes.has(key)
  }

  private addressOf(key: string): string | undefined {
    return this.all.get(key)?.address
  }

  /** A query of it goes to an address. */
  goes(key: string, query: number, address: string): void {
    const home = this.addressOf(key)
    if (home === undefined || home === address) return
    this.run.wrong("judge", `query ${query} of conversation ${key} goes to ${address}, and not to ${home}`)
  }

  /** A query of it is accepted at an address. */
  accepted(key: string, query: number, address: string): void {
    this.goes(key, query, address)
    const conversation = this.all.get(key)
    this.homes.add(key)
    if (conversation !== undefined) conversation.address ??= address
  }

  ends(key: string, query: number): void {
    const conversation = this.all.get(key)
    conversation?.active.delete(query)
    if (conversation !== undefined) conversation.usedAt = this.run.now
  }
}
