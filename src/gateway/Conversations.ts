/**
 * The address of each conversation: set by its first query, until the conversation has been idle for too
 * long.
 */
import * as GatewayError from "./GatewayError.ts"
import type { Instance } from "./Instance.ts"

export interface Options {
  /** How long a conversation may be idle, in nanoseconds; `undefined` is for ever. */
  readonly timeoutNanos: bigint | undefined
  readonly maxConversations: number
}

/** One conversation. */
export interface Conversation {
  /** The address of its queries, or the one tried last. */
  instance: Instance
  /** Whether a query of it has been accepted there. Until then it may use another address. */
  isBound: boolean
  /** The number of running queries. */
  active: number
  usedAt: bigint
}

export class Conversations {
  private readonly options: Options
  /** In the order of their last use. */
  private readonly table = new Map<string, Conversation>()

  constructor(options: Options) {
    this.options = options
  }

  get size(): number {
    return this.table.size
  }

  /** The conversation with a key, unless it has expired. */
  get(key: string, now: bigint): Conversation | undefined {
    const found = this.table.get(key)
    if (found === undefined || !this.isOver(found, now)) return found
    this.table.delete(key)
    return undefined
  }

  private isOver({ active, usedAt }: Conversation, now: bigint): boolean {
    const { timeoutNanos } = this.options
    return active === 0 && timeoutNanos !== undefined && now - usedAt >= timeoutNanos
  }

  /** Begins a conversation, or returns an error if there is no room. */
  begin(key: string, instance: Instance, now: bigint): Conversation | GatewayError.GatewayError {
    this.forget(now)
    const { maxConversations } = this.options
    if (this.table.size >= maxConversations) {
      return GatewayError.make(
        "overloaded",
        `There are ${maxConversations} conversations already (maxConversations)`,
        {
          retryable: true
        }
      )
    }
    const conversation: Conversation = { instance, isBound: false, active: 0, usedAt: now }
    this.table.set(key, conversation)
    return conversation
  }

  /** A query of the conversation begins. Returns the function that ends it. */
  use(key: string, conversation: Conversation): (now: bigint) => void {
    conversation.active++
    return (now) => {
      conversation.active--
      conversation.usedAt = now
      if (this.table.get(key) !== conversation) return
      this.table.delete(key)
      // A query that was never accepted leaves no conversation.
      if (conversation.isBound || conversation.active > 0) this.table.set(key, conversation)
    }
  }

  /** An address has accepted a query of the conversation, which stays there. */
  bind(key: string, conversation: Conversation, instance: Instance): void {
    if (conversation.isBound) return
    conversation.instance = instance
    conversation.isBound = true
    this.table.set(key, conversation)
  }

  private forget(now: bigint): void {
    for (const [key, conversation] of this.table) {
      if (conversation.active > 0) continue
      if (!this.isOver(conversation, now)) return
      this.table.delete(key)
    }
  }
}
