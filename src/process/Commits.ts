/**
 * Commits that wait for the parent. A query may commit only when its result has been handed to the client,
 * which its own process cannot see.
 *
 * The accept names the commit by a token, which the parent removes. Once all chunks have been emitted,
 * the child reports their number of bytes. When the parent answers, the child's stream ends, and so
 * its server commits.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { AcceptedQuery, Engine } from "../engine/QueryEngine.ts"
import * as RequestFields from "./RequestFields.ts"

/** The child's half. `handedOver` tells the parent that a whole result has been emitted. */
export class Commits {
  private readonly handedOver: (token: number, bytes: number) => void
  private readonly waiting = new Map<number, Deferred.Deferred<void>>()
  private lastToken = 0

  constructor(handedOver: (token: number, bytes: number) => void) {
    this.handedOver = handedOver
  }

  /**
   * The engine, with commits that wait. An accept that is no JSON object cannot name its commit, which
   * then does not wait.
   */
  of(engine: Engine): Engine {
    return {
      ...engine,
      init: (request) => Effect.map(engine.init(request), (query) => this.waits(query))
    }
  }

  private waits(query: AcceptedQuery): AcceptedQuery {
    if (query.commit === undefined) return query
    const token = ++this.lastToken
    const payload = RequestFields.withCommit(query.payload, token)
    if (payload === undefined) return query
    let bytes = 0
    const counted = Stream.map(query.chunks, (chunk) => {
      bytes += chunk.length
      return chunk
    })
    const told = Effect.suspend(() => {
      const word = Deferred.makeUnsafe<void>()
      this.waiting.set(token, word)
      this.handedOver(token, bytes)
      return Effect.ensuring(
        Deferred.await(word),
        Effect.sync(() => this.waiting.delete(token))
      )
    })
    return { ...query, payload, chunks: Stream.concat(counted, Stream.fromEffectDrain(told)) }
  }

  /** The parent's answer. The query may have ended without it. */
  go(token: number): void {
    const word = this.waiting.get(token)
    if (word !== undefined) Deferred.doneUnsafe(word, Exit.void)
  }
}

/** The parent's half, for one process. */
export class HandedOver {
  private readonly results = new Map<number, Deferred.Deferred<number>>()

  /** Completes with the number of bytes of the result once the process has emitted all of them. */
  of(token: number): Deferred.Deferred<number> {
    const known = this.results.get(token) ?? Deferred.makeUnsafe<number>()
    this.results.set(token, known)
    return known
  }

  tell(token: number, bytes: number): void {
    Deferred.doneUnsafe(this.of(token), Exit.succeed(bytes))
  }

  forget(token: number): void {
    this.results.delete(token)
  }
}
