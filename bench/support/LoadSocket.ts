/**
 * The socket of a client on Node, which looks at what comes in the one buffer that the socket reads into.
 */
import { once } from "node:events"
import * as Net from "node:net"
import type { Connection } from "./LoadClient.ts"

/** Connects to a server on loopback. `read` is handed views of one buffer. */
export const open = (port: number, read: (bytes: Buffer) => void): Net.Socket => {
  const buffer = Buffer.alloc(1024 * 1024)
  return Net.connect({
    port,
    host: "127.0.0.1",
    noDelay: true,
    onread: {
      buffer,
      callback: (length) => {
        read(buffer.subarray(0, length))
        return true
      }
    }
  })
}

/** How the response to the request that was sent ends. */
export interface Ending {
  readonly done: (frames: number) => void
  readonly failed: (error: Error) => void
}

/** A protocol by hand: how a request is written, and how what comes is read. */
export interface Protocol {
  readonly encode: (body: Uint8Array) => Uint8Array
  /** The next response begins, whose result is handed over so. */
  readonly begin: (onBytes: (bytes: Uint8Array) => void) => void
  readonly read: (bytes: Buffer) => void
}

/** Connects, for one request after the other. */
export const connect = async (port: number, speak: (ending: Ending) => Protocol): Promise<Connection> => {
  let settle: { resolve: (frames: number) => void; reject: (error: Error) => void } | undefined
  const failed = (error: Error) => settle?.reject(error)
  const { begin, encode, read } = speak({
    done: (frames) => {
      const { resolve } = settle ?? {}
      settle = undefined
      resolve?.(frames)
    },
    failed
  })
  const socket = open(port, read)
  await once(socket, "connect")
  socket.on("error", failed)
  socket.on("close", () => failed(new Error("the server closed the connection")))
  let request: { readonly body: Uint8Array; readonly bytes: Uint8Array } | undefined
  return {
    request: (body, onBytes) =>
      new Promise((resolve, reject) => {
        if (request?.body !== body) request = { body, bytes: encode(body) }
        begin(onBytes)
        settle = { resolve, reject }
        socket.write(request.bytes)
      }),
    close: () => socket.destroy()
  }
}
