/**
 * The baseline: the same protocol by hand on `node:net`, as somebody would write it who wants speed and knows
 * how: gather writes of many chunks, small bodies copied beside their headers, one buffer for a small response,
 * back-pressure, a budget of bytes for each turn of the event loop that all connections share, and one timer
 * for all heartbeats. Cancel ends a response at once. It has no limits, timeouts, errors, statistics or logs.
 */
import * as Net from "node:net"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Workload from "../support/Workload.ts"

const batchSize = 512 * 1024
const bytesPerTurn = 1024 * 1024
const inlineSize = 2048
const headerSize = 5
const letters = { A: 0x41, C: 0x43, F: 0x46, H: 0x48, I: 0x49, K: 0x4b, R: 0x52 } as const
const empty = new Uint8Array(0)

let spent = 0
let waiting: Array<() => void> = []

/** Runs in a later turn of the event loop, as many in a turn as the budget lasts for. */
const inNextTurn = (resume: () => void): void => {
  waiting.push(resume)
  if (waiting.length > 1) return
  setImmediate(() => {
    spent = 0
    const turn = waiting
    waiting = []
    for (const run of turn) spent < bytesPerTurn ? run() : inNextTurn(run)
  })
}

interface Frame {
  readonly type: number
  readonly body: Uint8Array
}

const acceptFrame: Frame = { type: letters.A, body: Workload.accept }
const acknowledged: Frame = { type: letters.K, body: empty }
const heartbeat: Frame = { type: letters.H, body: empty }

let second = 0
const connections = new Set<Connection>()

class Connection {
  private readonly socket: Net.Socket
  /** What has arrived of a frame that is not whole, and how long it must at least be to be looked at again. */
  private pending: Array<Buffer> = []
  private pendingBytes = 0
  private wanted = 0
  private response: Response | undefined
  private wroteAt = second

  constructor(socket: Net.Socket) {
    this.socket = socket
    connections.add(this)
    socket.on("data", (data) => this.receive(data as Buffer))
    socket.on("drain", () => this.response?.resume())
    socket.on("error", () => {})
    socket.on("close", () => {
      this.response = undefined
      connections.delete(this)
    })
  }

  isCurrent(response: Response): boolean {
    return this.response === response
  }

  ended(): void {
    this.response = undefined
  }

  /** Writes frames at once; false if the socket wants a rest until it has drained. */
  write(frames: ReadonlyArray<Frame>): boolean {
    let inline = 0
    for (const { body } of frames) inline += headerSize + (body.length <= inlineSize ? body.length : 0)
    const staging = Buffer.allocUnsafe(inline)
    const { socket } = this
    let start = 0
    let end = 0
    let corked = false
    for (const { body, type } of frames) {
      const { length } = body
      staging[end] = length
      staging[end + 1] = length >>> 8
      staging[end + 2] = length >>> 16
      staging[end + 3] = length >>> 24
      staging[end + 4] = type
      end += headerSize
      if (length <= inlineSize) {
        staging.set(body, end)
        end += length
      } else {
        if (!corked) socket.cork()
        corked = true
        socket.write(staging.subarray(start, end))
        socket.write(body)
        start = end
      }
    }
    if (start < end) socket.write(start === 0 ? staging : staging.subarray(start, end))
    if (corked) socket.uncork()
    this.wroteAt = second
    return !socket.writableNeedDrain
  }

  beat(): void {
    if (second - this.wroteAt >= ServerProcess.heartbeatSeconds && !this.socket.writableNeedDrain)
      this.write([heartbeat])
  }

  private receive(data: Buffer): void {
    this.pendingBytes += data.length
    if (this.pendingBytes < this.wanted) {
      this.pending.push(data)
      return
    }
    let bytes = this.pending.length === 0 ? data : Buffer.concat([...this.pending, data])
    while (bytes.length >= headerSize) {
      const end = headerSize + bytes.readUInt32LE(0)
      this.wanted = end
      if (bytes.length < end) break
      this.handle(bytes[4] ?? 0, bytes.subarray(headerSize, end))
      bytes = bytes.subarray(end)
      this.wanted = headerSize
    }
    this.pending = bytes.length === 0 ? [] : [bytes]
    this.pendingBytes = bytes.length
  }

  private handle(type: number, body: Buffer): void {
    if (type === letters.R && this.response === undefined) {
      this.response = new Response(this, Workload.parse(body))
      this.response.start()
    } else if (type === letters.C) {
      if (this.response === undefined) return
      this.response = undefined
      this.write([acknowledged])
    } else {
      this.socket.destroy()
    }
  }
}

class Response {
  private readonly connection: Connection
  private readonly next: () => Uint8Array | undefined
  private readonly streamed: boolean
  private frames: Array<Frame> = [acceptFrame]
  private held: Uint8Array | undefined
  private drained: (() => void) | undefined

  constructor(connection: Connection, workload: Workload.Workload) {
    this.connection = connection
    this.next = Workload.source(workload)
    this.streamed = workload.mode === "streamed"
  }

  start(): void {
    if (this.streamed) {
      void this.stream()
    } else {
      this.held = this.next()
      this.send()
    }
  }

  resume(): void {
    const resume = this.drained
    this.drained = undefined
    resume?.()
  }

  /** Adds the frame of the chunk that was held back to know whether it is the last. */
  private add(following: Uint8Array | undefined): number {
    const body = this.held ?? empty
    this.frames.push({ type: following === undefined ? letters.F : letters.I, body })
    this.held = following
    spent += body.length
    return body.length
  }

  private flush(): boolean {
    const { frames } = this
    this.frames = []
    if (this.held === undefined) this.connection.ended()
    return this.connection.write(frames)
  }

  /** Sends batch after batch of a result that is there. */
  private readonly send = (): void => {
    while (this.connection.isCurrent(this)) {
      if (spent >= bytesPerTurn) {
        inNextTurn(this.send)
        return
      }
      let batch = 0
      do batch += this.add(this.next())
      while (this.held !== undefined && batch < batchSize)
      if (!this.flush()) {
        this.drained = this.send
        return
      }
    }
  }

  /** Sends each chunk of a result as it comes. */
  private async stream(): Promise<void> {
    const later = async () => this.next()
    this.held = await later()
    while (this.connection.isCurrent(this)) {
      this.add(await later())
      if (!this.connection.isCurrent(this)) return
      if (!this.flush()) await new Promise<void>((resume) => (this.drained = resume))
      else if (spent >= bytesPerTurn) await new Promise<void>(inNextTurn)
    }
  }
}

setInterval(() => {
  second++
  for (const connection of connections) connection.beat()
}, 1000)

const server = Net.createServer({ noDelay: true }, (socket) => {
  new Connection(socket)
})
server.listen(ServerProcess.listen, () => ServerProcess.ready((server.address() as Net.AddressInfo).port))
