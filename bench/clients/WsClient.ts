/**
 * The client of the `ws` peer.
 */
import { once } from "node:events"
import { WebSocket } from "ws"
import * as LoadClient from "../support/LoadClient.ts"
import * as WsMessages from "../support/WsMessages.ts"

await LoadClient.main(async (port) => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false })
  await once(socket, "open")
  let onBytes: (bytes: Uint8Array) => void = () => {}
  let resolve: (frames: number) => void = () => {}
  let reject: (error: Error) => void = () => {}
  let frames = 0
  let isLast = false
  socket.on("message", (data, isBinary) => {
    frames++
    if (isBinary) onBytes(data as Buffer)
    if (isBinary && isLast) resolve(frames)
    else isLast = !isBinary && WsMessages.announcesLast(data as Buffer)
  })
  socket.on("error", (error) => reject(error))
  socket.on("close", () => reject(new Error("the server closed the connection")))
  return {
    request: (body, each) =>
      new Promise((onEnd, onFailure) => {
        onBytes = each
        resolve = onEnd
        reject = onFailure
        frames = 0
        socket.send(body)
      }),
    close: () => socket.terminate()
  }
})
