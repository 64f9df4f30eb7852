/**
 * What goes over the connections between the gateway and its back-ends, as the gateway sends and receives it.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import type { Run } from "../Run.ts"
import * as Wire from "../Wire.ts"
import * as Scenario from "./Scenario.ts"

/** One connection of the gateway to a back-end. */
export interface Link {
  readonly name: string
  readonly address: string
  /** Whether it has ended for the gateway, in whichever way. */
  isOver: boolean
  /** The code with which the back-end has refused it, or a request that it has not seen whole. */
  refusal: string | undefined
  /** How many things had happened by then. */
  refusedTick: number
}

/** A request on the wire, and what has come of it. */
export interface Exchange {
  /** The number of the query; none for those that the gateway asks by itself. */
  readonly query: number | undefined
  readonly link: Link
  /** How many things had happened before. */
  readonly tick: number
  accepted: boolean
  cancelled: boolean
  /** The letter that ended the response, and the code of an error. */
  terminal: string | undefined
  code: string | undefined
}

export interface Listener {
  /** The number of things that have happened: orders those of one moment. */
  readonly tick: () => number
  readonly opened: (link: Link) => void
  readonly sent: (exchange: Exchange) => void
}

const decoder = new TextDecoder()

const codeOf = (body: Uint8Array): string | undefined => {
  const { code } = JSON.parse(decoder.decode(body)) as { readonly code?: string }
  return code
}

/** The query of a request's body. */
export const queryOf = (body: Uint8Array): number | undefined =>
  Scenario.idOf((JSON.parse(decoder.decode(body)) as { readonly query: string }).query)

class Tap {
  private readonly run: Run
  private readonly link: Link
  private readonly listener: Listener
  private current: Exchange | undefined

  constructor(run: Run, link: Link, listener: Listener) {
    this.run = run
    this.link = link
    this.listener = listener
  }

  sending(message: Wire.Message): void {
    const { link, listener, run } = this
    const query = message.type === "R" ? queryOf(message.body) : this.current?.query
    const of = query === undefined ? "" : ` of query ${query}`
    run.tell(link.name, `-> ${message.type}${of}`)
    if (message.type === "C" && this.current !== undefined) this.current.cancelled = true
    if (message.type !== "R") return
    this.current = {
      ...{ query, link, tick: listener.tick() },
      ...{ accepted: false, cancelled: false, terminal: undefined, code: undefined }
    }
    listener.sent(this.current)
  }

  receiving(message: Wire.Message): void {
    const { current, link, run } = this
    if (message.type === "H") return
    run.tell(link.name, `<- ${Wire.show(message)}`)
    if (current === undefined || current.terminal !== undefined) {
      if (message.type !== "J") return
      link.refusal = codeOf(message.body)
      link.refusedTick = this.listener.tick()
      return
    }
    if (message.type === "A") current.accepted = true
    if (!"JFEK".includes(message.type)) return
    current.terminal = message.type
    if ("JE".includes(message.type)) current.code = codeOf(message.body)
  }

  over(why: string): void {
    if (this.link.isOver) return
    this.link.isOver = true
    this.run.tell(this.link.name, why)
  }
}

/** The gateway's end of a connection, with everything that goes through it told. */
export const tap = (socket: Socket.Socket, link: Link, run: Run, listener: Listener): Socket.Socket => {
  const tapped = new Tap(run, link, listener)
  listener.opened(link)
  const sent = new Wire.Reader("body")
  const received = new Wire.Reader("body")
  const failing = <A>(effect: Effect.Effect<A, Socket.SocketError>) =>
    Effect.tapError(effect, ({ reason }) => Effect.sync(() => tapped.over(`sees ${reason._tag}`)))
  return Socket.make({
    reader: Effect.map(
      Effect.andThen(
        Effect.addFinalizer(() => Effect.sync(() => tapped.over("is closed"))),
        socket.reader
      ),
      (reader) => ({
        ...reader,
        pull: Effect.map(failing(reader.pull), (chunks) => {
          for (const bytes of chunks) {
            for (const message of received.push(bytes as Uint8Array)) tapped.receiving(message)
          }
          return chunks
        })
      })
    ),
    writer: Effect.map(socket.writer, (writer) => ({
      write: (chunk) =>
        Effect.suspend(() => {
          if (Socket.isCloseEvent(chunk)) tapped.over("is dropped")
          return failing(writer.write(chunk))
        }),
      writeAll: (chunks: NonEmptyReadonlyArray<Uint8Array | string>) =>
        Effect.suspend(() => {
          for (const bytes of chunks) {
            for (const message of sent.push(bytes as Uint8Array)) tapped.sending(message)
          }
          return failing(writer.writeAll(chunks))
        })
    }))
  })
}
