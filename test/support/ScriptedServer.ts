/**
 * A TCP server on loopback that does what a script says, whatever the client expects of it.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Message from "../../src/protocol/Message.ts"
import * as ServerPeer from "./ServerPeer.ts"

export interface Conversation {
  readonly socket: Net.Socket
  /** Sends frames, given as `ServerPeer.frame` has them. */
  readonly send: (...frames: ReadonlyArray<string>) => void
  /** Does it again and again until the connection has ended. */
  readonly forever: (action: () => void) => void
  /** Called with the type of each message of the client. */
  readonly onMessage: (listener: (letter: string) => void) => void
}

export interface ScriptedServer {
  readonly address: string
  readonly port: number
  /** The types of all messages that clients have sent. */
  readonly received: () => string
}

/** Starts it; it ends with the scope, and so do its connections. */
export const make = (
  script: (conversation: Conversation) => void
): Effect.Effect<ScriptedServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ScriptedServer & { readonly stop: () => void }>((resume) => {
      const sockets = new Set<Net.Socket>()
      let received = ""
      const server = Net.createServer((socket) => {
        sockets.add(socket)
        // The client leaves as it likes.
        socket.on("error", () => {})
        script(converse(socket, (letter) => (received += letter)))
      })
      server.listen({ host: "127.0.0.1", port: 0 }, () => {
        const { port } = server.address() as Net.AddressInfo
        const stop = () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
        resume(Effect.succeed({ address: `127.0.0.1:${port}`, port, received: () => received, stop }))
      })
    }),
    ({ stop }) => Effect.sync(stop)
  )

const converse = (socket: Net.Socket, note: (letter: string) => void): Conversation => {
  const decoder = Message.codec().makeDecoder()
  const listeners: Array<(letter: string) => void> = []
  return {
    socket,
    send: (...frames) => {
      for (const text of frames) if (socket.writable) socket.write(Message.encode(ServerPeer.frame(text)))
    },
    forever: (action) => {
      const timer = setInterval(action, 5)
      socket.on("close", () => clearInterval(timer))
    },
    onMessage: (listener) => {
      listeners.push(listener)
      if (listeners.length > 1) return
      socket.on("data", (chunk) => {
        const frames: Array<Message.Message> = []
        decoder.push(chunk as Uint8Array, frames)
        for (const letter of frames.map(({ type }) => Message.letter(type))) {
          note(letter)
          for (const listener of listeners) listener(letter)
        }
      })
    }
  }
}
