/**
 * A connection within the process: a pair of transports, each of which reads the writes of the other.
 *
 * Bytes are copied once, so that neither end holds memory of the other. An action at one end reaches the
 * other in a later turn of the event loop, as over a network.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import * as Transport from "./Transport.ts"

/** The number of bytes that a direction buffers before its writer waits. */
const capacity = 256 * 1024

const failed = (reason: Socket.SocketError["reason"]) => new Socket.SocketError({ reason })
const endOfFile = failed(new Socket.SocketCloseError({ code: 1000 }))
const reset = () => failed(new Socket.SocketReadError({ cause: new Error("the other end was dropped") }))
const notWritable = () => failed(new Socket.SocketWriteError({ cause: new Error("socket closed") }))

type Written = (exit: Exit.Exit<void, Socket.SocketError>) => void

class End implements Transport.Transport {
  private peer: End | undefined
  private receiver: Transport.Receiver | undefined
  private inbox: Array<Uint8Array> = []
  private inboxSize = 0
  private paused = false
  private isScheduled = false
  private isClosed = false
  /** The end of the input, which follows the bytes in the inbox. */
  private ending: Socket.SocketError | undefined
  /** The peer's write, which waits for room here. */
  private waiting: Written | undefined

  join(peer: End): void {
    this.peer = peer
  }

  read(receiver: Transport.Receiver): void {
    this.receiver = receiver
    this.schedule()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.schedule()
  }

  write(parts: Transport.Chunks, written: Written): Exit.Exit<void, Socket.SocketError> | undefined {
    const { peer } = this
    if (this.isClosed || peer === undefined || peer.isClosed) return Exit.fail(notWritable())
    // The slice of a Buffer would be a view of it.
    for (const part of parts) if (part.length > 0) peer.inbox.push(new Uint8Array(part))
    peer.inboxSize += Transport.byteLength(parts)
    peer.schedule()
    if (peer.inboxSize <= capacity) return Exit.void
    peer.waiting = written
    return undefined
  }

  unsent(): number {
    return this.peer?.inboxSize ?? 0
  }

  destroy(): void {
    this.leave(reset())
  }

  /** The peer reads the end after all earlier bytes. */
  close(): void {
    this.leave(endOfFile)
  }

  private leave(why: Socket.SocketError): void {
    if (this.isClosed) return
    this.isClosed = true
    this.receiver = undefined
    this.inbox = []
    this.inboxSize = 0
    const { peer, waiting } = this
    this.waiting = undefined
    if (waiting !== undefined) setImmediate(() => waiting(Exit.fail(notWritable())))
    if (peer === undefined || peer.isClosed) return
    if (why !== endOfFile) peer.inbox = []
    peer.ending ??= why
    peer.schedule()
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(() => {
      this.isScheduled = false
      this.hand()
    })
  }

  private hand(): void {
    const { inbox, receiver } = this
    if (receiver === undefined || this.paused) return
    if (inbox.length > 0) {
      this.inbox = []
      this.inboxSize = 0
      receiver.received(inbox as unknown as Transport.Chunks)
      const { waiting } = this
      this.waiting = undefined
      waiting?.(Exit.void)
    }
    // The receiver may have paused or ended the transport in the meantime.
    if (this.paused || this.receiver === undefined || this.ending === undefined || this.inbox.length > 0)
      return
    this.receiver = undefined
    receiver.ended(Cause.fail(this.ending))
  }
}

/** The two ends. The scope of an end's opener closes it. */
export const pair = (): readonly [Transport.Open, Transport.Open, drop: () => void] => {
  const near = new End()
  const far = new End()
  near.join(far)
  far.join(near)
  const open = (end: End): Transport.Open =>
    Effect.acquireRelease(Effect.succeed(end), () => Effect.sync(() => end.close()))
  return [open(near), open(far), () => far.destroy()]
}
