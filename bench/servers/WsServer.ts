/**
 * The peer `ws`: each response is a text message with the accept, which says whether the next message is the
 * last, and a binary message for each chunk; a text message announces the last one of several. No compression,
 * no copies, back-pressure by the bytes that a socket holds, and a rest for the event loop after each mebibyte.
 */
import type { AddressInfo } from "node:net"
import { setImmediate } from "node:timers/promises"
import { type WebSocket, WebSocketServer } from "ws"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Workload from "../support/Workload.ts"
import * as WsMessages from "../support/WsMessages.ts"

const highWaterMark = 512 * 1024
const bytesPerTurn = 1024 * 1024

const respond = async (socket: WebSocket, request: Uint8Array): Promise<void> => {
  const next = Workload.source(Workload.parse(request))
  let chunk = next()
  let following = next()
  let sent = 0
  socket.send(following === undefined ? WsMessages.acceptSingle : WsMessages.accept, { binary: false })
  while (chunk !== undefined) {
    if (following === undefined && sent > 0) socket.send(WsMessages.last, { binary: false })
    if (socket.bufferedAmount < highWaterMark) socket.send(chunk)
    else await sendAndWait(socket, chunk)
    const before = sent
    sent += chunk.length
    if (Math.floor(sent / bytesPerTurn) > Math.floor(before / bytesPerTurn)) await setImmediate()
    chunk = following
    following = next()
  }
}

const sendAndWait = (socket: WebSocket, chunk: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => socket.send(chunk, (error) => (error ? reject(error) : resolve())))

const server = new WebSocketServer({
  host: ServerProcess.listen.host,
  port: ServerProcess.listen.port,
  backlog: ServerProcess.listen.backlog,
  perMessageDeflate: false,
  clientTracking: false
})
server.on("connection", (socket) => {
  socket.on("error", () => {})
  socket.on("message", (data) => void respond(socket, data as Buffer).catch(() => socket.terminate()))
})
server.on("listening", () => ServerProcess.ready((server.address() as AddressInfo).port))
