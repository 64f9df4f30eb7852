/**
 * A socket whose every write the test sees, holds back and releases, and whose input it feeds.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Socket from "effect/socket/Socket"

export interface FakeSocket {
  readonly socket: Socket.Socket
  /** What each `writeAll` was given. */
  readonly batches: ReadonlyArray<ReadonlyArray<Uint8Array>>
  /** From now on writes wait. */
  readonly block: () => void
  /** Writes that wait are done. */
  readonly release: () => void
  /** What the next pull brings: whole batches, then the error for ever. */
  readonly feed: (...chunks: ReadonlyArray<Uint8Array>) => void
  readonly fail: (error: Socket.SocketError) => void
  readonly destroyed: () => boolean
}

export const closeError = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

export const readError = (message: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: new Error(message) }) })

const writeError = (): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: new Error("write EPIPE") }) })

export const make = (): FakeSocket => {
  const batches: Array<ReadonlyArray<Uint8Array>> = []
  const input: Array<NonEmptyReadonlyArray<Uint8Array>> = []
  const open = Latch.makeUnsafe(true)
  const arrived = Latch.makeUnsafe(false)
  let destroyed = false
  let error: Socket.SocketError | undefined

  const writeAll = (chunks: ReadonlyArray<Uint8Array | string>) =>
    Effect.suspend(() => {
      if (destroyed) return Effect.fail(writeError())
      batches.push(chunks as ReadonlyArray<Uint8Array>)
      return Effect.andThen(
        open.await,
        Effect.suspend(() => (destroyed ? Effect.fail(writeError()) : Effect.void))
      )
    })
  const fail = (reason: Socket.SocketError) => {
    error ??= reason
    arrived.openUnsafe()
  }
  const destroy = Effect.sync(() => {
    destroyed = true
    fail(closeError(1000))
    open.openUnsafe()
  })
  const pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError> = Effect.suspend(() => {
    const batch = input.shift()
    if (batch !== undefined) return Effect.succeed(batch)
    if (error !== undefined) return Effect.fail(error)
    arrived.closeUnsafe()
    return Effect.andThen(arrived.await, pull)
  })

  return {
    socket: Socket.make({
      reader: Effect.succeed({ pull, upgrade: Socket.SocketUpgradeError.unsupported }),
      writer: Effect.succeed({
        write: (chunk) => (Socket.isCloseEvent(chunk) ? destroy : writeAll([chunk])),
        writeAll
      })
    }),
    batches,
    block: () => void open.closeUnsafe(),
    release: () => void open.openUnsafe(),
    feed: (...chunks) => {
      input.push(chunks as unknown as NonEmptyReadonlyArray<Uint8Array>)
      arrived.openUnsafe()
    },
    fail,
    destroyed: () => destroyed
  }
}
