/**
 * One connection of a load: sends requests, and counts the responses without keeping them. The pure
 * `ClientMachine` decides which messages the server may send.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type * as Socket from "effect/socket/Socket"
import * as BodyLimits from "../../client/BodyLimits.ts"
import { defaults } from "../../client/Settings.ts"
import type { Decoder } from "../../framing/Codec.ts"
import * as Chunk from "../../net/Chunk.ts"
import type * as Transport from "../../net/Transport.ts"
import * as Machine from "../../protocol/ClientMachine.ts"
import * as Message from "../../protocol/Message.ts"

/** The end of a response. `body` is that of a reject or an error. */
export type End =
  | { readonly _tag: "Complete" }
  | { readonly _tag: "Rejected" | "Failed"; readonly body: Uint8Array }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Lost"; readonly detail: string }

/** Events of the response in flight. */
export interface Listener {
  /** The server accepted. */
  readonly accepted: () => void
  /** Bytes of the result, which are released afterwards. */
  readonly chunk: (bytes: Uint8Array) => void
  /** The response has ended. The connection takes the next request, unless it was lost. */
  readonly ended: (end: End) => void
}

/** Events of the connection. */
export interface Owner {
  readonly heartbeat: () => void
  /** The connection ended without a request in flight. */
  readonly closed: (detail: string) => void
}

const codec = Message.codec({ ...defaults, bodyLimits: BodyLimits.make(defaults), splitChunks: () => true })

const requestEvent: Machine.Event = { _tag: "Request" }
const cancelEvent: Machine.Event = { _tag: "Cancel" }
const cancelMessage = Message.make(Message.Type.Cancel)

/** A connection over an open transport, which it reads from now on. */
export class Connection implements Transport.Receiver {
  private readonly transport: Transport.Transport
  private readonly owner: Owner
  private readonly decoder: Decoder<Message.Message, Message.FrameError>
  private state: Machine.State = Machine.initial
  private listener: Listener | undefined
  private isWriting = false
  private unwritten: Message.Message | undefined

  constructor(transport: Transport.Transport, owner: Owner) {
    this.transport = transport
    this.owner = owner
    this.decoder = codec.makeDecoder()
    transport.read(this)
  }

  /** Whether a request may be sent. */
  get isFree(): boolean {
    return this.state._tag === "Idle"
  }

  /** Sends a request. Must only be called while the connection is free. */
  request(body: Uint8Array, listener: Listener): void {
    if (!this.isFree) throw new Error("A connection has one request in flight")
    this.listener = listener
    this.dispatch(requestEvent, Message.make(Message.Type.Request, body))
  }

  /** Cancels the response in flight, whose end is reported like any other. */
  cancel(): void {
    this.dispatch(cancelEvent, cancelMessage)
  }

  received(chunks: Transport.Chunks): void {
    const messages: Array<Message.Message> = []
    for (const chunk of chunks) {
      const error = this.decoder.push(chunk, messages)
      for (const message of messages.splice(0)) this.message(message)
      if (error !== undefined) this.lose({ _tag: "Malformed", detail: error.message })
    }
  }

  private message(message: Message.Message): void {
    if (message.type === Message.Type.Heartbeat) this.owner.heartbeat()
    this.dispatch({ _tag: "Received", type: message.type }, message)
  }

  ended(cause: Cause.Cause<Socket.SocketError>): void {
    const detail = this.decoder.end()?.message ?? Cause.squash(cause)
    this.lose({ _tag: "ReadFailed", detail: detail instanceof Error ? detail.message : String(detail) })
  }

  private lose(event: Machine.Event): void {
    this.dispatch(event, cancelMessage)
  }

  private dispatch(event: Machine.Event, message: Message.Message): void {
    const [state, action] = Machine.step(this.state, event)
    this.state = state
    this.perform(action, message)
  }

  private perform(action: Machine.Action, message: Message.Message): void {
    switch (action) {
      case "SendRequest":
      case "SendCancel":
        this.write(message)
        break
      case "Accept":
        this.listener?.accepted()
        break
      case "Chunk":
        this.give(message.body)
        break
      case "Finish":
        this.give(message.body)
        this.end({ _tag: "Complete" })
        break
      case "Reject":
        this.end({ _tag: "Rejected", body: Chunk.keep(message.body) })
        break
      case "Fail":
        this.end({ _tag: "Failed", body: Chunk.keep(message.body) })
        break
      case "EndCancelled":
        this.end({ _tag: "Cancelled" })
        break
      case "Close":
        this.transport.destroy()
        this.end({ _tag: "Lost", detail: this.why })
        break
      case "None":
        Chunk.release(message.body)
    }
  }

  private give(bytes: Uint8Array): void {
    if (bytes.length > 0) this.listener?.chunk(bytes)
    Chunk.release(bytes)
  }

  private end(end: End): void {
    const { listener } = this
    this.listener = undefined
    if (listener !== undefined) listener.ended(end)
    else if (end._tag === "Lost") this.owner.closed(end.detail)
  }

  private get why(): string {
    const why = this.state._tag === "Closed" ? this.state.why : undefined
    return why !== undefined && "detail" in why ? why.detail : "the server closed the connection"
  }

  /** One write at a time: a cancel may follow while its request is still being written. */
  private write(message: Message.Message): void {
    if (this.isWriting) {
      this.unwritten = message
      return
    }
    this.isWriting = true
    const exit = this.transport.write(codec.layOut([message]), this.written)
    if (exit !== undefined) this.written(exit)
  }

  private readonly written = (exit: Exit.Exit<void, Socket.SocketError>): void => {
    this.isWriting = false
    const next = this.unwritten
    this.unwritten = undefined
    if (Exit.isFailure(exit)) this.lose({ _tag: "WriteFailed", detail: "writing failed" })
    else if (next !== undefined && this.state._tag !== "Closed") this.write(next)
  }
}
