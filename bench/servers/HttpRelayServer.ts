/**
 * HTTP in front of a DataConn server by hand, as somebody would write it who wants speed and knows how:
 * `HttpRelayServer.js PORT`. The format is what the client accepts. Connections to the back-end are kept, chunks are written as they come, a slow client holds
 * the back-end back, and a client that leaves ends its connection there.
 */
import * as Http from "node:http"
import * as Net from "node:net"
import * as FrameReader from "../support/FrameReader.ts"

const [upstream = ""] = process.argv.slice(2)
const host = "127.0.0.1"
const letters = { A: 0x41, E: 0x45, F: 0x46, I: 0x49, J: 0x4a, R: 0x52 } as const

interface Handlers {
  readonly onChunk: (bytes: Buffer) => void
  readonly onAccept: () => void
  readonly onEnd: (isWhole: boolean) => void
}

class Line {
  readonly socket = Net.connect({ host, port: Number(upstream), noDelay: true })
  private handlers: Handlers | undefined

  constructor() {
    const read = FrameReader.make({
      onBody: (type, bytes) => {
        if (type === letters.I || type === letters.F) this.handlers?.onChunk(bytes as Buffer)
      },
      onEnd: (type) => {
        if (type === letters.A) this.handlers?.onAccept()
        else if (type === letters.F) this.end(true)
        else if (type === letters.E || type === letters.J) this.end(false)
      }
    })
    this.socket.on("data", read)
    this.socket.on("error", () => {})
    this.socket.on("close", () => this.end(false))
  }

  private end(isWhole: boolean): void {
    const { handlers } = this
    this.handlers = undefined
    handlers?.onEnd(isWhole)
  }

  ask(query: string, format: string, handlers: Handlers): void {
    this.handlers = handlers
    const body = Buffer.from(JSON.stringify({ version: "v1", query, format }))
    const head = Buffer.alloc(5)
    head.writeUInt32LE(body.length)
    head[4] = letters.R
    this.socket.write(Buffer.concat([head, body]))
  }
}

const free: Array<Line> = []

const answer = (query: string, format: string, response: Http.ServerResponse): void => {
  const line = free.pop() ?? new Line()
  const onDrain = () => line.socket.resume()
  response.on("drain", onDrain)
  response.on("close", () => {
    if (!response.writableEnded) line.socket.destroy()
  })
  line.ask(query, format, {
    onAccept: () => response.writeHead(200, { "content-type": format, "cache-control": "no-store" }),
    onChunk: (bytes) => {
      if (!response.write(bytes)) line.socket.pause()
    },
    onEnd: (isWhole) => {
      response.off("drain", onDrain)
      line.socket.resume()
      if (!isWhole) {
        response.destroy()
        return
      }
      response.end()
      free.push(line)
    }
  })
}

const server = Http.createServer({ highWaterMark: 256 * 1024, noDelay: true }, (request, response) => {
  const parts: Array<Buffer> = []
  request.on("data", (part) => parts.push(part))
  request.on("end", () =>
    answer(String(Buffer.concat(parts)), request.headers.accept ?? "application/json", response)
  )
})

server.listen(0, host, () => console.log(`port ${(server.address() as Net.AddressInfo).port}`))
