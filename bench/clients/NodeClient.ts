/**
 * DataConn's protocol by hand on `node:net`: headers parsed, bodies counted in the one buffer that the socket
 * reads into.
 */
import { once } from "node:events"
import * as Net from "node:net"
import * as FrameReader from "../support/FrameReader.ts"
import * as LoadClient from "../support/LoadClient.ts"

const letters = { A: 0x41, F: 0x46, H: 0x48, I: 0x49, R: 0x52 } as const

const requestFrame = (body: Uint8Array): Uint8Array => {
  const bytes = Buffer.alloc(5 + body.length)
  bytes.writeUInt32LE(body.length)
  bytes[4] = letters.R
  bytes.set(body, 5)
  return bytes
}

await LoadClient.main(async (port) => {
  let frames = 0
  let onBytes: (bytes: Uint8Array) => void = () => {}
  let settle: { resolve: (frames: number) => void; reject: (error: Error) => void } | undefined
  let request: { readonly body: Uint8Array; readonly bytes: Uint8Array } | undefined

  const read = FrameReader.make({
    onHeader: (type) => {
      frames++
      if (type !== letters.A && type !== letters.I && type !== letters.F && type !== letters.H) {
        settle?.reject(new Error(`the server answered ${String.fromCharCode(type)}`))
      }
    },
    onBody: (type, bytes) => {
      if (type === letters.I || type === letters.F) onBytes(bytes)
    },
    onEnd: (type) => {
      if (type !== letters.F) return
      const { resolve } = settle ?? {}
      settle = undefined
      resolve?.(frames)
    }
  })
  const buffer = Buffer.alloc(512 * 1024)
  const socket = Net.connect({
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
  await once(socket, "connect")
  socket.on("error", (error) => settle?.reject(error))
  socket.on("close", () => settle?.reject(new Error("the server closed the connection")))

  return {
    request: (body, each) =>
      new Promise((resolve, reject) => {
        if (request?.body !== body) request = { body, bytes: requestFrame(body) }
        frames = 0
        onBytes = each
        settle = { resolve, reject }
        socket.write(request.bytes)
      }),
    close: () => socket.destroy()
  }
})
