/**
 * Commits that wait for the word of the parent: a query may commit only when its result has been handed to the client,
 * which the process that runs it does not see.
 *
 * The accept names the commit by a token, which the parent takes off again. Once all chunks have been emitted the child
 * says how many bytes they had, and its stream ends, so that its server commits, when the parent says so.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { AcceptedQuery, Engine } from "../engine/QueryEngine.ts"
import * as RequestFields from "./RequestFields.ts"

/** The child's half. `handedOver` tells the parent that a result has been emitted whole. */
export class Commits {
  private readonly handedOver: (token: number, bytes: number) => void
  private readonly waiting = new Map<number, Deferred.Deferred<void>>()
  private lastToken = 0

  constructor(handedOver: (token: number, bytes: number) => void) {
    this.handedOver = handedOver
  }

  /** The engine, with commits that wait. One whose accept is no JSON object cannot name them, and does not wait. */
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

  /** The parent's word. The query may have ended without it. */
  go(token: number): void {
    const word = this.waiting.get(token)
    if (word !== undefined) Deferred.doneUnsafe(word, Exit.void)
  }
}

/** The parent's half, of one process. */
export class HandedOver {
  private readonly results = new Map<number, Deferred.Deferred<number>>()

  /** Done with the bytes of the result once the process has emitted them all. */
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
